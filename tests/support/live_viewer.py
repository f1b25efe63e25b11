"""Serves the viewer's app, or another one, on loopback in a thread of the test."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.helpers import eventually
from viewer.server.app import make_app
from viewer.server.serve import listen, server_of, url_of


@contextmanager
def live_viewer(settings: Settings, store: Store) -> Iterator[str]:
    """Serve the jobs; yields the URL, which ends in a slash."""
    listener = listen(settings.model_copy(update={"viewer_port": 0}))
    with live_app(make_app(settings, store), listener) as url:
        yield url


@contextmanager
def live_app(app: Starlette, listener: socket.socket | None = None) -> Iterator[str]:
    """Serve an app, on a free port unless a listener is given; yields the URL with a slash."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    server: uvicorn.Server = server_of(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started)
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
