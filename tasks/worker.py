"""The Celery app of a worker and its tasks: each checks its message and calls a handler.

Errors become a requeued message, a dropped one, or, in `tasks.context.run_or_give_up`, a failed
mark.
"""

import faulthandler
import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
from celery import Celery, Task
from celery.exceptions import Reject
from celery.signals import worker_init, worker_process_init, worker_ready, worker_shutting_down

from facepaint.errors import (
    DeviceError,
    FacepaintError,
    PartialProgress,
    ServiceError,
    UsageError,
)
from facepaint.queue import DETECT, PAINT, PORTRAITS, TRACK, Queue, make_app
from facepaint.records.bounds import MAX_SEGMENTS
from facepaint.records.keys import JOB_ID, LOOK_ID
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from facepaint.store import Store
from models.session import check_device
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.detector_cache import enter_empty_folder
from tasks.heartbeat import Heartbeat
from tasks.paint import run_paint
from tasks.portraits import run_portraits
from tasks.track import run_track

log = logging.getLogger(__name__)

REQUEUE_RETRY = RetryPolicy(first_delay_s=3.0, longest_delay_s=3.0)
"""The pause before a message goes back to the queue, which may hand it to this worker again.

There is no deadline: a message that is lost would have to be queued again by a user.
"""

UNSUPERVISED_S = 5
"""Seconds over its time limit after which a worker without a parent process ends itself."""

STDERR = 2
"""The real standard error: Celery replaces `sys.stderr` by its logger."""

MakeContext = Callable[[Settings, Celery], WorkerContext]


def connect(settings: Settings, app: Celery) -> WorkerContext:
    """The context of a process, with connections of its own."""
    cv2.setNumThreads(1)
    return WorkerContext(Store(settings), Queue(settings, app), settings)


@dataclass(slots=True)
class WorkerProcess:
    """The state of one process of a worker.

    The context is made at the first task: connections must not cross a fork.
    """

    settings: Settings
    app: Celery
    make_context: MakeContext
    requeue: RetryPolicy
    _context: WorkerContext | None = None

    @property
    def context(self) -> WorkerContext:
        """The context of this process."""
        if self._context is None:
            self._context = self.make_context(self.settings, self.app)
        return self._context

    def forget_parent(self, **_: Any) -> None:
        """Drop the context that a fork brought along."""
        self._context = None

    def prepare(self, **_: Any) -> None:
        """Leave the working folder; end the process if the requested device is missing."""
        try:
            enter_empty_folder()
            check_device(self.settings.device, self.settings.float16)
        except UsageError as exc:
            # Celery only logs an error of a signal's receiver, but a worker must not run on the
            # wrong device.
            raise SystemExit(f"facepaint worker: {exc}") from exc


class FacepaintTask(Task):  # type: ignore[type-arg]
    """Requeues a message when a service or the device is unreachable, and after a bug."""

    process: WorkerProcess
    """Set by `make_worker`."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        try:
            message = inspect.signature(self.run).bind(*args, **kwargs).arguments
        except TypeError as exc:
            # Not a message of ours. Requeued, it would return for ever.
            raise Reject(f"not a message for {self.name}: {exc}", requeue=False) from exc
        # The parent of a pool enforces the time limit. A worker of one process, as on a GPU, has no
        # parent and ends itself.
        limit_s = self.process.settings.task_time_limit_s + UNSUPERVISED_S
        faulthandler.dump_traceback_later(limit_s, exit=True, file=STDERR)
        try:
            self._work(message)
        except (ServiceError, DeviceError) as exc:
            log.warning("%s; the task is requeued", exc)
            self._pause()
            raise Reject(str(exc), requeue=True) from exc
        except FacepaintError as exc:
            log.exception("the task failed and is dropped")
            raise Reject(str(exc), requeue=False) from exc
        except Exception as exc:
            # A bug. Another worker tries again; its claims bound the attempts.
            log.exception("unexpected error")
            self._pause()
            raise Reject(repr(exc), requeue=True) from exc
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _work(self, message: dict[str, Any]) -> None:
        try:
            super().__call__(**message)
        except PartialProgress as exc:
            log.info("%s; the rest is requeued", exc)
            self.context.queue.requeue_remainder(self.name, message)

    def _pause(self) -> None:
        time.sleep(self.process.requeue.first_delay_s)

    @property
    def context(self) -> WorkerContext:
        """The context of this process."""
        return self.process.context

    @property
    def redelivered(self) -> bool:
        """Whether the broker delivers this message again."""
        return bool((self.request.delivery_info or {}).get("redelivered"))


def detect(self: FacepaintTask, job: str, index: int) -> None:
    """Detect the faces of one segment."""
    if not _is_valid(job, index):
        return
    made = run_detect(self.context, job, index, self.redelivered)
    if made is not None:
        seconds = sum(made.times_s.values())
        self.context.speeds.add("detect", len(made.frames), seconds, made.device)


def paint(self: FacepaintTask, job: str, index: int, look: str) -> None:
    """Paint one segment with one look."""
    if not _is_valid(job, index, look):
        return
    made = run_paint(self.context, job, index, look, self.redelivered)
    if made is not None:
        self.context.speeds.add("paint", made.frames, sum(made.times_s.values()))


def track(self: FacepaintTask, job: str) -> None:
    """Track the people of a whole job."""
    if _is_valid(job):
        run_track(self.context, job, self.redelivered)


def portraits(self: FacepaintTask, job: str, index: int) -> None:
    """Cut out portraits of the people whose best frame is in one segment."""
    if _is_valid(job, index):
        run_portraits(self.context, job, index, self.redelivered)


TASKS: dict[str, Callable[..., None]] = {
    DETECT: detect,
    PAINT: paint,
    TRACK: track,
    PORTRAITS: portraits,
}


def make_worker(
    settings: Settings,
    make_context: MakeContext = connect,
    requeue: RetryPolicy = REQUEUE_RETRY,
) -> Celery:
    """The Celery app of a worker.

    Args:
        make_context: makes the context of each process at its first task.
        requeue: the pause before a message goes back to the queue.
    """
    app = make_app(settings)
    process = WorkerProcess(settings, app, make_context, requeue)
    for name, function in TASKS.items():
        # Celery would add a shared task to every other app of the process, with this one's state.
        register = app.task(
            name=name, base=FacepaintTask, bind=True, process=process, shared=False, lazy=False
        )
        register(function)
    heartbeat = Heartbeat(settings, app)
    worker_init.connect(process.prepare, weak=False)
    worker_process_init.connect(process.forget_parent, weak=False)
    worker_ready.connect(heartbeat.begin, weak=False)
    worker_shutting_down.connect(heartbeat.end, weak=False)
    return app


def _is_valid(job: object, index: object = 0, look: object = "0" * 12) -> bool:
    """Whether a message holds valid ids, which become part of a key; another one is dropped."""
    valid = (
        (isinstance(job, str) and bool(JOB_ID.fullmatch(job)))
        and (isinstance(index, int) and 0 <= index < MAX_SEGMENTS)
        and (isinstance(look, str) and bool(LOOK_ID.fullmatch(look)))
    )
    if not valid:
        log.warning("a message with invalid ids is dropped")
    return valid
