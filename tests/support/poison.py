"""A worker app that dies or hangs on one segment: ``celery -A tests.support.poison worker``.

``POISON`` is ``<task>-<index>-<how>``: detect, paint or track; the index of the segment, 0 for
track; kill or hang.
"""

import logging
import os
import signal
import threading
from typing import Any

from celery import Celery

from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.results import Claim
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.context import WorkerContext
from tasks.worker import make_worker

HANGS = "this process hangs from now on"
"""The log message of a hanging process."""


class PoisonedStore(Store):
    """Kills or hangs the process when the claimed task reads its first frames or faces.

    A blank segment reads neither, so the fallback of a redacting look works.
    """

    def __init__(self, settings: Settings, poison: str) -> None:
        super().__init__(settings)
        task, index, self._how = poison.split("-")
        self._claim = f"/claims/{task}-", f"-{int(index):06d}.json"
        self._armed = False

    def put_record(self, key: str, record: object) -> None:
        super().put_record(key, record)
        if isinstance(record, Claim):
            start, end = self._claim
            self._armed = start in key and key.endswith(end)

    def get(self, key: str, *args: Any, **kwargs: Any) -> bytes:
        is_work = key.endswith(".bin") or "/faces/" in key
        if self._armed and is_work:
            if self._how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            logging.warning(HANGS)
            threading.Event().wait()
        return super().get(key, *args, **kwargs)

    def delete(self, key: str) -> None:
        super().delete(key)
        if key.startswith(keys.JOBS) and "/claims/" in key:
            self._armed = False


def _poisoned(settings: Settings, app: Celery) -> WorkerContext:
    store = PoisonedStore(settings, os.environ["POISON"])
    return WorkerContext(store, Queue(settings, app), settings)


def __getattr__(name: str) -> Celery:
    # As in `tasks`: made when Celery asks for it.
    if name != "app":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return globals().setdefault("app", make_worker(Settings.load(), _poisoned))
