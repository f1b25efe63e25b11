"""What a worker does with a message: read the store, call a plain function, write the store, wake what is ready.

Every task is idempotent by key: a result that stands is success, and doing the work twice stores the same thing twice.
A claim is written before anything is decoded and removed on every orderly end, so a claim found by a redelivered
message means that its owner crashed; after `Settings.max_tries` crashes the segment is given up.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from facepaint import keys
from facepaint.errors import (
    DeviceError,
    EncoderMissing,
    FacepaintError,
    NotYet,
    ObjectMissing,
    ServiceError,
    UnreadableMedia,
)
from facepaint.jobs import Claim, Faces, Failed, Job, Painted, Segment
from facepaint.keys import Task
from facepaint.looks import Look
from facepaint.queue import Queue
from facepaint.settings import Settings
from facepaint.status import alive_workers
from facepaint.store import Store
from facepaint.wake import Timeline, is_ready, load_job, wake
from models.providers import Runtime
from tasks.detect import detect_segment
from tasks.detectors import card_of, model_of
from tasks.encoders import require_encoder
from tasks.paint import Result, blank_segment, paint_segment
from tasks.pictures import detect_picture, paint_picture

log = logging.getLogger(__name__)

REMEMBERED_JOBS = 8

LONG_AGO = datetime.fromtimestamp(0, UTC)
"""When a claim was made whose owner is known to be gone."""

T = TypeVar("T")


@dataclass(slots=True)
class Workbench:
    """What a worker process keeps between tasks: its connections and what it has read of recent jobs."""

    store: Store
    queue: Queue
    settings: Settings
    _timelines: OrderedDict[str, tuple[Job, Timeline]] = field(default_factory=OrderedDict)

    def job(self, job_id: str) -> tuple[Job, Timeline] | None:
        """A job's record and timeline, or None if there is no such job (any more)."""
        if self.store.exists(keys.deleted(job_id)):
            self._timelines.pop(job_id, None)
            return None
        if job_id not in self._timelines:
            job = load_job(self.store, job_id)
            if job is None:
                return None
            self._timelines[job_id] = (job, Timeline(self.store, job))
            while len(self._timelines) > REMEMBERED_JOBS:
                self._timelines.popitem(last=False)
        self._timelines.move_to_end(job_id)
        return self._timelines[job_id]


def run_detect(bench: Workbench, job_id: str, index: int, redelivered: bool = False) -> Faces | None:
    """The detect task: faces of one segment, then wake. Whatever happens to the segment, the waking is not skipped.

    Returns the record if one was made.
    """
    known = bench.job(job_id)
    if known is None:
        return None
    faces = None
    job, timeline = known
    store = bench.store
    done, failed = keys.faces(job_id, index), keys.faces_failed(job_id, index)
    if not store.exists(done) and not store.exists(failed):
        run = _stored_run(timeline, index)
        if run is None:
            return None
        with _claimed(bench, job_id, "detect", index, None, redelivered) as claim:
            if claim is None:
                return None
            faces = _attempt(bench, claim, failed, index, lambda: _detect(bench, job, run))
            if faces is not None:
                store.put_record(done, faces)
    if not _removed_if_deleted(bench, job_id, [done, failed]):
        wake(store, bench.queue, job, [index], timeline=timeline)
    return faces


def run_paint(bench: Workbench, job_id: str, index: int, look_id: str, redelivered: bool = False) -> Painted | None:
    """The paint task: one segment with one look, unless it is painted, given up, or not ready (then it is woken).

    Returns the record if one was made.
    """
    known = bench.job(job_id)
    if known is None:
        return None
    job, timeline = known
    store = bench.store
    done, failed = keys.painted(job_id, look_id, index), keys.painted_failed(job_id, look_id, index)
    if store.exists(done) or store.exists(failed) or not is_ready(store, timeline, job_id, index):
        return None
    look = store.find_record(keys.look(job_id, look_id), Look)
    if look is None:
        return None
    with _claimed(bench, job_id, "paint", index, look_id, redelivered) as claim:
        if claim is None:
            return None
        # Giving up on a hiding look must still show something for these times, and never the source.
        give_up = (lambda: _blank(bench, job, timeline, index)) if look.hides and job.video else None
        result = _attempt(bench, claim, failed, index, lambda: _paint(bench, job, timeline, look, index), give_up)
        if result is not None:
            _store_painted(store, job_id, look_id, index, result)
    if result is None:
        _removed_if_deleted(bench, job_id, [done, failed])
        return None
    _removed_if_deleted(bench, job_id, [done, failed, keys.painted_data(job_id, look_id, result.record.name)])
    return result.record


def _store_painted(store: Store, job_id: str, look_id: str, index: int, result: Result) -> None:
    """Store a result and its record. The last record wins; whose record was replaced removes its own data."""
    data_key = keys.painted_data(job_id, look_id, result.record.name)
    kind = "video/mp4" if data_key.endswith(".mp4") else "application/octet-stream"
    store.put(data_key, result.data, kind)
    store.put_record(keys.painted(job_id, look_id, index), result.record)
    stands = store.get_record(keys.painted(job_id, look_id, index), type(result.record))
    if stands.name != result.record.name:
        store.delete(data_key)


def _attempt(
    bench: Workbench,
    claim: Claim,
    failed_key: str,
    index: int,
    work: Callable[[], T],
    instead: Callable[[], T] | None = None,
) -> T | None:
    """Do the work, or give up: at once on an error of ours that another try would not mend, else after many crashes.

    Giving up gives ``instead``'s result where there is one that can be made, else leaves a failed mark and None.
    """
    most = bench.settings.max_tries
    try:
        if claim.tries <= most:
            return work()
        reason = f"its worker died or hung {claim.tries - 1} times"
    except EncoderMissing as exc:
        if _another_has(bench, exc.encoder):
            raise
        reason = f"no worker that runs can encode with {exc.encoder}"
    except (ServiceError, DeviceError, NotYet):
        raise
    except FacepaintError as exc:
        reason = str(exc)
    log.error("segment %d given up: %s", index, reason)
    # Should what is made instead kill its worker too, that must end as well.
    if instead is not None and claim.tries <= 2 * most:
        try:
            return instead()
        except ServiceError:
            raise
        except FacepaintError as exc:
            reason = f"{reason}; {exc}"
    bench.store.put_record(failed_key, Failed(index, reason, claim.tries))
    return None


def _another_has(bench: Workbench, encoder: str) -> bool:
    """Whether another living worker has the encoder: then the message goes back to the queue, for that one to take."""
    others = (worker for worker in alive_workers(bench.store) if worker.name != bench.settings.worker_name)
    return any(encoder in worker.encoders for worker in others)


@contextmanager
def _claimed(
    bench: Workbench, job_id: str, task: Task, index: int, look: str | None, redelivered: bool
) -> Iterator[Claim | None]:
    """Claim a segment for a task; None if a living owner has it.

    The claim stays behind if the process dies, takes too long, or meets an error nobody foresaw: all count as crashes.
    A process that is told to stop meanwhile leaves things as they were before.
    """
    store, settings = bench.store, bench.settings
    key = keys.claim(job_id, task, index, look)
    before = store.find_record(key, Claim)
    now = datetime.now(UTC)
    if before is not None and not redelivered and now - before.at < timedelta(seconds=settings.visibility_timeout_s):
        yield None
        return
    claim = Claim(settings.worker_name, 1 if before is None else before.tries + 1, now)
    store.put_record(key, claim)
    try:
        yield claim
    except FacepaintError:
        _unclaim(store, key, before)
        raise
    except (SystemExit, KeyboardInterrupt):
        # Who exceeds the time limit is told to stop in the same way. The limit counts from before the claim: half of
        # it is surely less.
        if datetime.now(UTC) - now < timedelta(seconds=settings.task_time_limit_s / 2):
            _unclaim(store, key, before)
        raise
    store.delete(key)


def _unclaim(store: Store, key: str, before: Claim | None) -> None:
    """Nobody is at work any more, and the task will be tried again: the crashes of others before stay counted."""
    if before is None:
        store.delete(key)
    else:
        store.put_record(key, replace(before, at=LONG_AGO))


def _removed_if_deleted(bench: Workbench, job_id: str, written: Sequence[str]) -> bool:
    """Whether the job was deleted meanwhile; then what was written is removed again."""
    if not bench.store.exists(keys.deleted(job_id)):
        return False
    for key in written:
        bench.store.delete(key)
    return True


@dataclass(frozen=True, slots=True)
class _StoredBins:
    """The bytes of each segment of a run, got when asked for and checked against their records."""

    store: Store
    job_id: str
    run: Sequence[Segment]

    def __getitem__(self, number: int) -> bytes:
        segment = self.run[number]
        data = self.store.get(keys.source(self.job_id, segment.index))
        if hashlib.sha256(data).hexdigest() != segment.sha256:
            raise UnreadableMedia(f"segment {segment.index} is damaged in the storage: its sha256 differs")
        return data


def _stored_run(timeline: Timeline, index: int) -> list[Segment] | None:
    """What a segment is decoded from, or None while a part is not stored: the uploader queues it when that is."""
    try:
        return timeline.run(index)
    except ObjectMissing:
        return None


def _detect(bench: Workbench, job: Job, run: Sequence[Segment]) -> Faces:
    index, settings = run[-1].index, bench.settings
    bins = _StoredBins(bench.store, job.id, run)
    model = model_of(job.detector, bench.store)
    runtime = Runtime(settings.device, settings.threads, settings.detect_batch, settings.float16)
    if job.video is None:
        return detect_picture(job, index, bins[0], runtime, settings.worker_name, model)
    return detect_segment(job, run, bins, runtime, settings.worker_name, model)


def _paint(bench: Workbench, job: Job, timeline: Timeline, look: Look, index: int) -> Result:
    store, settings = bench.store, bench.settings
    if job.video is not None:
        require_encoder(job.output.encoder)
    run = timeline.run(index)
    reach = timeline.reach(index) or []
    found = {segment.index: store.find_record(keys.faces(job.id, segment.index), Faces) for segment in reach}
    faces = {number: record for number, record in found.items() if record is not None}
    stickers = {sha256: store.get(keys.sticker(sha256)) for sha256 in look.stickers}
    bins = _StoredBins(store, job.id, run)
    if job.video is None:
        card = card_of(job.detector)
        return paint_picture(look, index, bins[0], faces.get(index), stickers, settings.worker_name, card)
    return paint_segment(job, look, run, bins, faces, stickers, settings.threads, settings.worker_name)


def _blank(bench: Workbench, job: Job, timeline: Timeline, index: int) -> Result:
    return blank_segment(job, timeline.run(index), bench.settings.threads, bench.settings.worker_name)
