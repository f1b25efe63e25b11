"""The Celery app with its tasks: each parses the message, calls a plain function, maps errors to
retry or give up."""

import contextlib
import faulthandler
import inspect
import logging
import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import cv2
from celery import Celery, Task
from celery.exceptions import Reject
from celery.signals import worker_init, worker_process_init, worker_ready, worker_shutting_down

from facepaint.errors import (
    DeviceError,
    FacepaintError,
    PartialProgress,
    RecordInvalid,
    ServiceError,
    UsageError,
)
from facepaint.queue import DETECT, PAINT, PORTRAITS, QUEUES, TRACK, Queue, make_app
from facepaint.records import keys
from facepaint.records.keys import JOB_ID, LOOK_ID
from facepaint.records.results import WorkerInfo
from facepaint.settings import Settings
from facepaint.store import Store
from models.session import check_device
from tasks.context import WorkerContext
from tasks.track import run_portraits, run_track
from tasks.video.encoder_options import encoders_here
from tasks.work import run_detect, run_paint

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
PAUSE_S = 3.0
"""Rest before a message goes back, beside the retries of the storage client itself: it may come
straight here again."""

ALONE_S = 5
"""What a task may take over its time limit before a worker without a parent ends itself."""

STDERR = 2
"""The real one: Celery puts its logger in the place of `sys.stderr`."""

settings = Settings.load()
app: Celery = make_app(settings)

_context: WorkerContext | None = None


def context() -> WorkerContext:
    """This process's workbench, made at its first task: connections must not cross a fork."""
    global _context
    if _context is None:
        cv2.setNumThreads(1)
        _context = WorkerContext(Store(settings), Queue(settings, app), settings)
    return _context


@worker_process_init.connect
def _forget_context(**_: Any) -> None:
    global _context
    _context = None


class SegmentTask(Task):  # type: ignore[type-arg]
    """Sends a message back when a service or the device is away, and at what nobody foresaw; see
    `tasks.context`."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        try:
            message = inspect.signature(self.run).bind(*args, **kwargs).arguments
        except TypeError as exc:  # no message of ours: it would come back for ever
            raise Reject(f"not a message for {self.name}: {exc}", requeue=False) from exc
        # A pool's parent keeps the time limit. A worker of one process, as on a GPU, has none and
        # ends itself.
        faulthandler.dump_traceback_later(
            settings.task_time_limit_s + ALONE_S, exit=True, file=STDERR
        )
        try:
            self._work(message)
        except (ServiceError, DeviceError) as exc:
            log.warning("%s; the task goes back to the queue", exc)
            time.sleep(PAUSE_S)
            raise Reject(str(exc), requeue=True) from exc
        except FacepaintError as exc:
            log.exception("task ended")
            raise Reject(str(exc), requeue=False) from exc
        except Exception as exc:  # a bug: tried again elsewhere, and given up by its claims
            log.exception("unforeseen")
            time.sleep(PAUSE_S)
            raise Reject(repr(exc), requeue=True) from exc
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _work(self, message: dict[str, Any]) -> None:
        try:
            super().__call__(**message)
        except PartialProgress as exc:
            log.info("%s; the rest is a message of its own", exc)
            context().queue.go_on(self.name, message)

    @property
    def redelivered(self) -> bool:
        """Whether the broker hands this message out again."""
        return bool((self.request.delivery_info or {}).get("redelivered"))


@app.task(name=DETECT, base=SegmentTask, bind=True)
def detect(self: SegmentTask, job: str, index: int) -> None:
    """Find the faces of one segment."""
    if _sound(job, index):
        made = run_detect(context(), job, index, self.redelivered)
        if made is not None:
            report_speed("detect", len(made.frames), sum(made.times_s.values()), made.device)


@app.task(name=PAINT, base=SegmentTask, bind=True)
def paint(self: SegmentTask, job: str, index: int, look: str) -> None:
    """Paint one segment with one look."""
    if _sound(job, index, look):
        made = run_paint(context(), job, index, look, self.redelivered)
        if made is not None:
            report_speed("paint", made.frames, sum(made.times_s.values()))


@app.task(name=TRACK, base=SegmentTask, bind=True)
def track(self: SegmentTask, job: str) -> None:
    """Find out who is where in a whole job."""
    if _sound(job):
        run_track(context(), job, self.redelivered)


@app.task(name=PORTRAITS, base=SegmentTask, bind=True)
def portraits(self: SegmentTask, job: str, index: int) -> None:
    """Cut out the faces of the people who are seen best in one segment."""
    if _sound(job, index):
        run_portraits(context(), job, index, self.redelivered)


def _sound(job: object, index: object = 0, look: object = "0" * 12) -> bool:
    """Whether a message names a segment and a look; a stranger's message must not become a key."""
    return (
        (isinstance(job, str) and bool(JOB_ID.fullmatch(job)))
        and (isinstance(index, int) and 0 <= index < 1_000_000)
        and (isinstance(look, str) and bool(LOOK_ID.fullmatch(look)))
    )


_reported: dict[str, float] = {}


def report_speed(task: str, frames: int, seconds: float, device: str | None = None) -> None:
    """Tell the storage how fast a process of this worker is, now and then; a lost report is no
    loss."""
    now = time.monotonic()
    if not seconds or now - _reported.get(task, -HEARTBEAT_S) < HEARTBEAT_S:
        return
    _reported[task] = now
    store, key = context().store, keys.worker(settings.worker_name)
    with contextlib.suppress(ServiceError, RecordInvalid):
        known = store.find_record(key, WorkerInfo) or _worker_info()
        speeds = {**known.frames_per_s, task: round(frames / seconds, 1)}
        store.put_record(
            key,
            replace(
                known, at=datetime.now(UTC), device=device or known.device, frames_per_s=speeds
            ),
        )


class Heartbeat(threading.Thread):
    """Tells the storage that this worker lives, every `HEARTBEAT_S`, and takes it back at the
    end."""

    def __init__(self) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._ended = threading.Event()

    def run(self) -> None:
        store = Store(settings)
        key = keys.worker(settings.worker_name)
        while True:
            try:
                before = store.find_record(key, WorkerInfo)
                # An earlier worker of this name may have died without removing its record, and
                # served other queues.
                info = replace(before or _worker_info(), queues=consumed_queues())
                store.put_record(key, replace(info, at=datetime.now(UTC)))
                if self._ended.wait(HEARTBEAT_S):
                    store.delete(key)
                    return
            except ServiceError as exc:
                log.warning("no heartbeat: %s", exc)
                if self._ended.wait(HEARTBEAT_S):
                    return

    def end(self) -> None:
        """Stop, the record removed."""
        self._ended.set()
        self.join(5)


def _worker_info() -> WorkerInfo:
    return WorkerInfo(
        name=settings.worker_name,
        at=datetime.now(UTC),
        host=socket.gethostname(),
        device=settings.device,
        encoders=encoders_here(),
        queues=consumed_queues(),
    )


def consumed_queues() -> tuple[str, ...]:
    """The queues that this worker takes messages from, in order of polling: those after
    ``--queues``, else all."""
    return tuple(name for name in QUEUES if name in app.amqp.queues.consume_from)


@worker_init.connect
def _check_device(**_: Any) -> None:
    try:
        check_device(settings.device, settings.float16)
    except UsageError as exc:
        # Celery logs what a signal's receiver raises and goes on; a worker on the wrong device must
        # not.
        raise SystemExit(f"facepaint worker: {exc}") from exc


_heartbeat = Heartbeat()


@worker_ready.connect
def _begin(**_: Any) -> None:
    _heartbeat.start()


@worker_shutting_down.connect
def _end(**_: Any) -> None:
    if _heartbeat.is_alive():
        _heartbeat.end()
