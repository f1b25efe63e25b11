"""The Celery app and its tasks: each checks its message and calls a handler.

Errors become a requeued message, a dropped one, or, in `tasks.context.run_or_give_up`, a failed
mark.
"""

import faulthandler
import inspect
import logging
import time
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
from facepaint.records.keys import JOB_ID, LOOK_ID
from facepaint.settings import Settings
from facepaint.store import Store
from models.session import check_device
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.heartbeat import Heartbeat, SpeedReport
from tasks.paint import run_paint
from tasks.portraits import run_portraits
from tasks.track import run_track

log = logging.getLogger(__name__)

REQUEUE_PAUSE_S = 3.0
"""Pause before a message goes back to the queue, which may hand it to this worker again."""

UNSUPERVISED_S = 5
"""Seconds over its time limit after which a worker without a parent process ends itself."""

STDERR = 2
"""The real standard error: Celery replaces `sys.stderr` by its logger."""

settings = Settings.load()
app: Celery = make_app(settings)


@dataclass(slots=True)
class _Process:
    """The state of this worker process, made at its first task: connections must not cross a
    fork."""

    context: WorkerContext | None = None
    speeds: SpeedReport | None = None


_process = _Process()


def context() -> WorkerContext:
    """The context of this process."""
    if _process.context is None:
        cv2.setNumThreads(1)
        _process.context = WorkerContext(Store(settings), Queue(settings, app), settings)
    return _process.context


def speeds() -> SpeedReport:
    """Where this process reports the speed of its tasks."""
    if _process.speeds is None:
        _process.speeds = SpeedReport(context().store, settings, app)
    return _process.speeds


@worker_process_init.connect
def _forget_parent(**_: Any) -> None:
    _process.context = _process.speeds = None


class SegmentTask(Task):  # type: ignore[type-arg]
    """Requeues a message when a service or the device is away, and after an unexpected error."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        try:
            message = inspect.signature(self.run).bind(*args, **kwargs).arguments
        except TypeError as exc:
            # Not a message of ours. Requeued, it would return for ever.
            raise Reject(f"not a message for {self.name}: {exc}", requeue=False) from exc
        # The parent of a pool enforces the time limit. A worker of one process, as on a GPU, has no
        # parent and ends itself.
        faulthandler.dump_traceback_later(
            settings.task_time_limit_s + UNSUPERVISED_S, exit=True, file=STDERR
        )
        try:
            self._work(message)
        except (ServiceError, DeviceError) as exc:
            log.warning("%s; the task is requeued", exc)
            time.sleep(REQUEUE_PAUSE_S)
            raise Reject(str(exc), requeue=True) from exc
        except FacepaintError as exc:
            log.exception("task ended")
            raise Reject(str(exc), requeue=False) from exc
        except Exception as exc:
            # A bug. Another worker tries again; its claims bound the attempts.
            log.exception("unexpected error")
            time.sleep(REQUEUE_PAUSE_S)
            raise Reject(repr(exc), requeue=True) from exc
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _work(self, message: dict[str, Any]) -> None:
        try:
            super().__call__(**message)
        except PartialProgress as exc:
            log.info("%s; the rest is requeued", exc)
            context().queue.requeue_remainder(self.name, message)

    @property
    def redelivered(self) -> bool:
        """Whether the broker delivers this message again."""
        return bool((self.request.delivery_info or {}).get("redelivered"))


@app.task(name=DETECT, base=SegmentTask, bind=True)
def detect(self: SegmentTask, job: str, index: int) -> None:
    """Detect the faces of one segment."""
    if _is_valid(job, index):
        made = run_detect(context(), job, index, self.redelivered)
        if made is not None:
            speeds().add("detect", len(made.frames), sum(made.times_s.values()), made.device)


@app.task(name=PAINT, base=SegmentTask, bind=True)
def paint(self: SegmentTask, job: str, index: int, look: str) -> None:
    """Paint one segment with one look."""
    if _is_valid(job, index, look):
        made = run_paint(context(), job, index, look, self.redelivered)
        if made is not None:
            speeds().add("paint", made.frames, sum(made.times_s.values()))


@app.task(name=TRACK, base=SegmentTask, bind=True)
def track(self: SegmentTask, job: str) -> None:
    """Track the people of a whole job."""
    if _is_valid(job):
        run_track(context(), job, self.redelivered)


@app.task(name=PORTRAITS, base=SegmentTask, bind=True)
def portraits(self: SegmentTask, job: str, index: int) -> None:
    """Cut out portraits of the people whose best frame is in one segment."""
    if _is_valid(job, index):
        run_portraits(context(), job, index, self.redelivered)


def _is_valid(job: object, index: object = 0, look: object = "0" * 12) -> bool:
    """Whether a message holds valid ids: they become part of a key."""
    return (
        (isinstance(job, str) and bool(JOB_ID.fullmatch(job)))
        and (isinstance(index, int) and 0 <= index < 1_000_000)
        and (isinstance(look, str) and bool(LOOK_ID.fullmatch(look)))
    )


@worker_init.connect
def _check_device(**_: Any) -> None:
    try:
        check_device(settings.device, settings.float16)
    except UsageError as exc:
        # Celery only logs an error of a signal's receiver, but a worker must not run on the wrong
        # device.
        raise SystemExit(f"facepaint worker: {exc}") from exc


_heartbeat = Heartbeat(settings, app)


@worker_ready.connect
def _start_heartbeat(**_: Any) -> None:
    _heartbeat.start()


@worker_shutting_down.connect
def _end_heartbeat(**_: Any) -> None:
    if _heartbeat.is_alive():
        _heartbeat.end()
