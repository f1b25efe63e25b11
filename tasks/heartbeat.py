"""The heartbeat of a worker: a record of its facts and speeds, stored every few seconds."""

import contextlib
import logging
import socket
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from celery import Celery

from facepaint.errors import FacepaintError, RecordInvalid, ServiceError
from facepaint.jobs.maintenance import requeue_lost
from facepaint.queue import QUEUES, Queue
from facepaint.records import keys
from facepaint.records.results import WorkerInfo
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.video.encoder_options import available_encoders

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
"""Seconds between two heartbeats."""


def consumed_queues(app: Celery) -> tuple[str, ...]:
    """The queues that this worker consumes, in polling order: those of ``--queues``, else all."""
    return tuple(name for name in QUEUES if name in app.amqp.queues.consume_from)


def worker_info(settings: Settings, app: Celery) -> WorkerInfo:
    """The record of this worker without any measured speed."""
    return WorkerInfo(
        name=settings.worker_name,
        at=datetime.now(UTC),
        host=socket.gethostname(),
        device=settings.device,
        encoders=available_encoders(),
        queues=consumed_queues(app),
    )


class Heartbeat(threading.Thread):
    """Stores that this worker runs every `HEARTBEAT_S`, and removes the record at the end.

    It also requeues what a broker that restarted empty has lost.
    """

    def __init__(self, settings: Settings, app: Celery) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._settings, self._app = settings, app
        self._ended = threading.Event()

    def run(self) -> None:
        store = Store(self._settings)
        key = keys.worker(self._settings.worker_name)
        while True:
            try:
                self._beat(store, key)
                self._requeue_lost(store)
            except ServiceError as exc:
                # A worker outlives an outage of the storage; its tasks are requeued meanwhile.
                log.warning("no heartbeat: %s", exc)
                if self._ended.wait(HEARTBEAT_S):
                    return
                continue
            if self._ended.wait(HEARTBEAT_S):
                with contextlib.suppress(ServiceError):
                    store.delete(key)
                return

    def _beat(self, store: Store, key: str) -> None:
        info = store.find_record(key, WorkerInfo) or worker_info(self._settings, self._app)
        # A crashed worker of the same name may have left a record with other queues.
        info = replace(info, queues=consumed_queues(self._app), at=datetime.now(UTC))
        store.put_record(key, info)

    def _requeue_lost(self, store: Store) -> None:
        try:
            sent = requeue_lost(store, Queue(self._settings, self._app))
        except FacepaintError as exc:
            # The worker itself waits for the broker to come back.
            log.warning("lost messages are not requeued: %s", exc)
            return
        if sent:
            log.warning("the broker had lost its messages: %d are queued again", sent)

    def begin(self, **_: Any) -> None:
        """Start, as the receiver of a signal of Celery."""
        self.start()

    def end(self, **_: Any) -> None:
        """Stop and remove the record, as the receiver of a signal of Celery."""
        self._ended.set()
        if self.is_alive():
            self.join(5)


@dataclass(slots=True)
class SpeedReport:
    """Adds the measured speed of a process's tasks to the record of its worker."""

    store: Store
    settings: Settings
    app: Celery
    _reported: dict[str, float] = field(default_factory=dict)

    def add(self, task: str, frames: int, seconds: float, device: str | None = None) -> None:
        """Report frames per second, at most once per `HEARTBEAT_S`."""
        now = time.monotonic()
        if not seconds or now - self._reported.get(task, -HEARTBEAT_S) < HEARTBEAT_S:
            return
        self._reported[task] = now
        key = keys.worker(self.settings.worker_name)
        # A lost report does no harm, so it fails no task.
        with contextlib.suppress(ServiceError, RecordInvalid):
            info = self.store.find_record(key, WorkerInfo)
            info = info or worker_info(self.settings, self.app)
            speeds = {**info.frames_per_s, task: round(frames / seconds, 1)}
            info = replace(info, at=datetime.now(UTC), device=device or info.device)
            self.store.put_record(key, replace(info, frames_per_s=speeds))
