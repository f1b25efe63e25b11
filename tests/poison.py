"""A worker app whose process dies, or hangs, over one segment: ``celery -A tests.poison worker``.

``POISON`` is ``<task>-<index>-<how>``: which of detect and paint, which segment, kill or hang.
"""

import os
import signal
import threading
from typing import Any

import tasks.work
from tasks import app

__all__ = ["app"]

_task, _index, _how = os.environ["POISON"].split("-")


def _poisoned(function: Any) -> Any:
    def call(bench: Any, job: Any, timeline: Any, *rest: Any) -> Any:
        if rest[-1] == int(_index):
            if _how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()
        return function(bench, job, timeline, *rest)

    return call


setattr(tasks.work, f"_{_task}", _poisoned(getattr(tasks.work, f"_{_task}")))
