"""An uploader process with slow puts; ``HOLD_AT`` names an object that is never stored.

``python -m tests.support.slow_upload FILE`` uploads with the services of the environment.
"""

import os
import sys
import threading
from pathlib import Path

from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.settings import Settings
from tests.support.observed import ObservedStore
from uploader.upload import upload

PUT_S = 0.05


def before_put(key: str) -> None:
    """Wait for the latency of a put, or for ever."""
    hold = os.environ.get("HOLD_AT")
    threading.Event().wait(None if hold and key.endswith(hold) else PUT_S)


if __name__ == "__main__":
    settings = Settings.load()
    upload(
        Path(sys.argv[1]),
        parse_look(["blur"]),
        ObservedStore(settings, before_put),
        Queue(settings),
        settings,
    )
