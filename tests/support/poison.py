"""A worker app whose process dies, or hangs, over one segment: ``celery -A tests.support.poison
worker``.

``POISON`` is ``<task>-<index>-<how>``: which of detect and paint, which segment, kill or hang; of
link the number of segments.
"""

import os
import signal
import threading
from typing import Any

import tasks.track
import tasks.work
from tasks import app

__all__ = ["app"]

_task, _index, _how = os.environ["POISON"].split("-")


def _poisoned(function: Any) -> Any:
    def call(*arguments: Any) -> Any:
        last = arguments[-1]  # the segment's number, or its run, which ends with it
        if (last if isinstance(last, int) else last[-1].index) == int(_index):
            if _how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()
        return function(*arguments)

    return call


_module = tasks.track if _task == "track" else tasks.work
setattr(_module, f"_{_task}", _poisoned(getattr(_module, f"_{_task}")))
