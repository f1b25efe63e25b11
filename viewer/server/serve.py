"""Run the server: for ``python -m viewer``, and for commands that open one job's page."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from facepaint.errors import FacepaintError, UsageError
from facepaint.settings import Settings
from viewer.server.app import make_app

HEADER_S = 10.0
"""Seconds that a client has for the header of its first request."""

KEEP_ALIVE_S = 15
"""Seconds that a connection may wait for its next request."""

MAX_HEADER_BYTES = 32 * 1024


def _most_connections() -> int:
    """Half of the files that this process may open: with all of them in use, it could accept no
    connection, and the event loop would log an error for each attempt."""
    try:
        import resource
    except ImportError:
        return 256
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if soft == resource.RLIM_INFINITY else max(16, min(1024, soft // 2))


MAX_CONNECTIONS = _most_connections()


def main() -> int:
    """Print the address, serve until stopped and return the exit code."""
    # uvicorn shuts down on SIGTERM and then raises the signal again, which must not end the process
    # with a failure.
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
    """Serve until interrupted; ``on_ready`` is called with the base URL once the socket is bound.

    Raises:
        UsageError: the address cannot be bound.
    """
    app = make_app(settings)
    listener = listen_or_free_port(settings)
    on_ready(url_of(listener))
    with contextlib.suppress(KeyboardInterrupt):
        server_of(app).run(sockets=[listener])


class LimitedProtocol(H11Protocol):
    """HTTP with limits: strangers must not take all connections, or hold one without a request."""

    max_connections = MAX_CONNECTIONS
    header_s = HEADER_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
            return
        self._header_deadline = self.loop.call_later(self.header_s, self._close_without_request)

    def _close_without_request(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        deadline = getattr(self, "_header_deadline", None)
        if deadline is not None:
            deadline.cancel()
        super().connection_lost(exc)


def server_of(app: Starlette) -> uvicorn.Server:
    """A server that logs warnings and errors only."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            http=LimitedProtocol,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            # A page that is still loading media must not delay the end.
            timeout_graceful_shutdown=3,
            lifespan="on",
        )
    )


def listen(settings: Settings) -> socket.socket:
    """A socket on the settings' address and port.

    Raises:
        UsageError: they cannot be bound.
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


def listen_or_free_port(settings: Settings) -> socket.socket:
    """A socket on the settings' port, or on a free one if it is taken.

    Raises:
        UsageError: the address cannot be bound.
    """
    try:
        return listen(settings)
    except UsageError:
        return listen(settings.model_copy(update={"viewer_port": 0}))


def url_of(listener: socket.socket) -> str:
    """The server's URL for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _stop(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)
