"""The context that the tasks of a worker process share, and the rule for giving up.

A task is idempotent: a stored result is success. `tasks.claims` counts the attempts whose worker
crashed; after `Settings.max_tries` of them the task gives up and leaves a failed mark.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from facepaint.errors import (
    DeviceError,
    EncoderMissing,
    FacepaintError,
    ObjectMissing,
    PartialProgress,
    RecordInvalid,
    ServiceError,
)
from facepaint.jobs.readiness import SegmentIndex, load_job
from facepaint.jobs.workers import alive_workers
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import Job
from facepaint.records.results import Claim, Failed
from facepaint.records.segment import Segment
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.heartbeat import SpeedReport
from tasks.video.decode import DecoderPool, RunSource

if TYPE_CHECKING:
    from tasks.track import TrackingRun

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class WorkerContext:
    """What a worker process keeps between tasks.

    Args:
        cached_jobs: jobs whose records are kept at most.
        decoders: open decoders of runs that continue.
        tracking: the person tracking that the last attempt did not finish.
        tracking_attempt_s: seconds that one attempt at person tracking reads or writes. The work
            between fits into the rest of a task's time limit.
        tracking_batch: segments that person tracking reads or writes at once.

    ``speeds`` is where the process reports the speed of its tasks.
    """

    store: Store
    queue: Queue
    settings: Settings
    cached_jobs: int = 8
    decoders: DecoderPool = field(default_factory=DecoderPool)
    tracking: "TrackingRun | None" = None
    tracking_attempt_s: float = 40.0
    tracking_batch: int = 16
    speeds: SpeedReport = field(init=False)
    _jobs: OrderedDict[str, tuple[Job, SegmentIndex]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.speeds = SpeedReport(self.store, self.settings, self.queue.app)

    def job(self, job_id: str) -> tuple[Job, SegmentIndex] | None:
        """A job's record and its segments, or None if there is no such job or it was deleted."""
        if self.store.exists(keys.deleted(job_id)):
            self._jobs.pop(job_id, None)
            return None
        if job_id not in self._jobs:
            job = load_job(self.store, job_id)
            if job is None:
                return None
            self._jobs[job_id] = (job, SegmentIndex(self.store, job))
            while len(self._jobs) > self.cached_jobs:
                self._jobs.popitem(last=False)
        self._jobs.move_to_end(job_id)
        return self._jobs[job_id]

    def source(self, job_id: str, run: Sequence[Segment]) -> RunSource:
        """The source of a run whose bytes are in the storage."""
        data = StoredBytes(self.store, job_id, run)
        return RunSource(run, data, self.settings.threads, self.decoders)


def stored_run(segments: SegmentIndex, index: int) -> list[Segment] | None:
    """The records that a segment is decoded from.

    None while one of them is not stored: the uploader queues the segment once it is.
    """
    try:
        return segments.run(index)
    except ObjectMissing:
        return None


def run_or_give_up(
    context: WorkerContext,
    claim: Claim,
    failed: tuple[str, int],
    work: Callable[[], T],
    fallback: Callable[[], T] | None = None,
) -> T | None:
    """Do the work, or give up on it.

    An error of ours that another try would not mend ends the work at once; crashes of workers end
    it after `Settings.max_tries`. Giving up returns the result of ``fallback`` if there is one and
    it succeeds. Otherwise it leaves a failed mark and returns None.

    Args:
        failed: key of the failed mark, and the index of the segment.

    Raises:
        ServiceError, DeviceError, PartialProgress: the task goes back to the queue.
    """
    key, index = failed
    max_tries = context.settings.max_tries
    try:
        if claim.tries <= max_tries:
            return work()
        reason = f"its worker died or hung {claim.tries - 1} times"
    except EncoderMissing as exc:
        # Before `FacepaintError`, which is a parent. Another encoder would make segments that do
        # not join with those of workers that have this one.
        if _another_worker_has(context, exc.encoder):
            raise
        reason = f"no running worker can encode with {exc.encoder}"
    except (ServiceError, DeviceError, PartialProgress):
        raise
    except FacepaintError as exc:
        reason = str(exc)
    log.error("segment %d given up: %s", index, reason)
    # The fallback may crash its worker too, so its attempts are bounded as well.
    if fallback is not None and claim.tries <= 2 * max_tries:
        try:
            return fallback()
        except ServiceError:
            # No failure of the segment: the next attempt stores the fallback.
            raise
        except FacepaintError as exc:
            reason = f"{reason}; {exc}"
    context.store.put_record(key, Failed(index, reason, claim.tries))
    return None


@contextmanager
def failing_on_damaged_records(store: Store, failed: tuple[str, int]) -> Iterator[None]:
    """Leave a failed mark if a record cannot be read that a task needs before it has a claim.

    Without the mark the job would wait for ever: a message is not tried again after such an error.

    Args:
        failed: key of the failed mark, and the index of the segment.
    """
    key, index = failed
    try:
        yield
    except RecordInvalid as exc:
        log.error("segment %d given up: %s", index, exc)  # noqa: TRY400 - a fault of the data
        store.put_record(key, Failed(index, str(exc), 1))


def _another_worker_has(context: WorkerContext, encoder: str) -> bool:
    """Whether another running worker has the encoder, so that the message can go to it."""
    own_name = context.settings.worker_name
    return any(
        encoder in worker.encoders
        for worker in alive_workers(context.store)
        if worker.name != own_name
    )


def remove_if_deleted(context: WorkerContext, job_id: str, written: Iterable[str]) -> bool:
    """Remove what was written if the job was deleted in the meantime; returns whether it was."""
    # The client that deletes a job stores the tombstone first, then lists and deletes the objects.
    # What a task writes after that listing is removed here.
    if not context.store.exists(keys.deleted(job_id)):
        return False
    for key in written:
        context.store.delete(key)
    return True


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """The bytes of each segment of a run, fetched on demand and checked against their records."""

    store: Store
    job_id: str
    run: Sequence[Segment]

    def __getitem__(self, number: int) -> bytes:
        segment = self.run[number]
        # Damaged bytes may crash a decoder natively, and not every storage checks what it returns.
        return self.store.get_verified(keys.source(self.job_id, segment.index), segment.sha256)
