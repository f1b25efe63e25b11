"""The viewer's app behind a real server on loopback, in a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.helpers import eventually
from viewer.server.app import make_app
from viewer.server.serve import listen, server_of, url_of


@contextmanager
def live_viewer(settings: Settings, store: Store) -> Iterator[str]:
    """Serve the jobs; gives the URL, ending in a slash."""
    listener = listen(settings.model_copy(update={"viewer_port": 0}))
    server: uvicorn.Server = server_of(make_app(settings, store))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started)
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
