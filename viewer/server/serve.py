"""Serve the pages: for ``python -m viewer``, and for commands that show one job."""

import contextlib
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from facepaint.errors import FacepaintError, UsageError
from facepaint.settings import Settings


def main() -> int:
    """Serve, print the address first, return the exit code."""
    from viewer.server.app import make_app

    # uvicorn ends tidily on SIGTERM and then raises the signal again: asked to stop is not a
    # failure.
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = Settings.load()
        listener = listen(settings)
        app = make_app(settings)
    except FacepaintError as exc:
        print(f"facepaint viewer: {exc}", file=sys.stderr)
        return exc.exit_code
    print(f"facepaint viewer at {url_of(listener)}", flush=True)
    try:
        server_of(app).run(sockets=[listener])
    except KeyboardInterrupt:
        return 130
    return 0


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve the jobs until interrupted; ``on_ready`` gets the base URL once the address is held.

    Raises:
        UsageError: the address cannot be had.
    """
    from viewer.server.app import make_app

    app = make_app(settings)
    listener = listen_nearby(settings)
    on_ready(url_of(listener))
    with contextlib.suppress(KeyboardInterrupt):
        server_of(app).run(sockets=[listener])


def server_of(app: Starlette) -> uvicorn.Server:
    """The server, quiet but for what goes wrong."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
            lifespan="on",
        )
    )


def listen(settings: Settings) -> socket.socket:
    """A socket on the settings' address.

    Raises:
        UsageError: the address or port cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.viewer_host else socket.AF_INET
    try:
        return socket.create_server(
            (settings.viewer_host, settings.viewer_port), family=family, backlog=128
        )
    except OSError as exc:
        raise UsageError(
            f"cannot listen on {settings.viewer_host} port {settings.viewer_port} "
            f"({exc.strerror}); "
            "set FACEPAINT_VIEWER_PORT to another port, or to 0 for a free one"
        ) from exc


def listen_nearby(settings: Settings) -> socket.socket:
    """A socket on the settings' port if it is free, else on any that is.

    Raises:
        UsageError: the address cannot be had.
    """
    try:
        return listen(settings)
    except UsageError:
        return listen(settings.model_copy(update={"viewer_port": 0}))


def url_of(listener: socket.socket) -> str:
    """The URL under which a browser on this machine finds the server."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - named to be replaced
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _stop(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)
