"""A worker app that dies or hangs on one segment: ``celery -A tests.support.poison worker``.

``POISON`` is ``<task>-<index>-<how>``: detect, paint or track; the index of the segment, for track
the number of segments; kill or hang.
"""

import importlib
import os
import signal
import threading
from typing import Any

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


_module = importlib.import_module(f"tasks.{_task}")
setattr(_module, f"_{_task}", _poisoned(getattr(_module, f"_{_task}")))
