"""What every task of a worker stands on: its connections, claims, tries, and giving up.

A claim is written before anything is decoded and removed on every orderly end, so a claim found by
a redelivered message means that its owner crashed; after `Settings.max_tries` crashes the work is
given up.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from facepaint.errors import (
    DeviceError,
    EncoderMissing,
    FacepaintError,
    PartialProgress,
    ServiceError,
    UnreadableMedia,
)
from facepaint.jobs.readiness import SegmentIndex, load_job
from facepaint.jobs.workers import alive_workers
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import Job
from facepaint.records.keys import Task
from facepaint.records.results import Claim, Failed
from facepaint.records.segment import Segment
from facepaint.settings import Settings
from facepaint.store import Store

log = logging.getLogger(__name__)

REMEMBERED_JOBS = 8

LONG_AGO = datetime.fromtimestamp(0, UTC)
"""When a claim was made whose owner is known to be gone."""

T = TypeVar("T")


@dataclass(slots=True)
class WorkerContext:
    """What a worker process keeps between tasks: its connections and what it has read of recent
    jobs."""

    store: Store
    queue: Queue
    settings: Settings
    _timelines: OrderedDict[str, tuple[Job, SegmentIndex]] = field(default_factory=OrderedDict)

    def job(self, job_id: str) -> tuple[Job, SegmentIndex] | None:
        """A job's record and timeline, or None if there is no such job (any more)."""
        if self.store.exists(keys.deleted(job_id)):
            self._timelines.pop(job_id, None)
            return None
        if job_id not in self._timelines:
            job = load_job(self.store, job_id)
            if job is None:
                return None
            self._timelines[job_id] = (job, SegmentIndex(self.store, job))
            while len(self._timelines) > REMEMBERED_JOBS:
                self._timelines.popitem(last=False)
        self._timelines.move_to_end(job_id)
        return self._timelines[job_id]


def attempt(
    context: WorkerContext,
    claim: Claim,
    failed_key: str,
    index: int,
    work: Callable[[], T],
    instead: Callable[[], T] | None = None,
) -> T | None:
    """Do the work, or give up: at once on an error of ours that another try would not mend, else
    after many crashes.

    Giving up gives ``instead``'s result where there is one that can be made, else leaves a failed
    mark and None.
    """
    most = context.settings.max_tries
    try:
        if claim.tries <= most:
            return work()
        reason = f"its worker died or hung {claim.tries - 1} times"
    except EncoderMissing as exc:
        if _another_has(context, exc.encoder):
            raise
        reason = f"no worker that runs can encode with {exc.encoder}"
    except (ServiceError, DeviceError, PartialProgress):
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
    context.store.put_record(failed_key, Failed(index, reason, claim.tries))
    return None


def _another_has(context: WorkerContext, encoder: str) -> bool:
    """Whether another living worker has the encoder: then the message goes back to the queue, for
    that one to take."""
    others = (
        worker
        for worker in alive_workers(context.store)
        if worker.name != context.settings.worker_name
    )
    return any(encoder in worker.encoders for worker in others)


@contextmanager
def claimed(
    context: WorkerContext, job_id: str, task: Task, index: int, look: str | None, redelivered: bool
) -> Iterator[Claim | None]:
    """Claim a segment for a task; None if a living owner has it.

    The claim stays behind if the process dies, takes too long, or meets an error nobody foresaw:
    all count as crashes. A process that is told to stop meanwhile leaves things as they were
    before.
    """
    store, settings = context.store, context.settings
    key = keys.claim(job_id, task, index, look)
    before = store.find_record(key, Claim)
    now = datetime.now(UTC)
    if (
        before is not None
        and not redelivered
        and now - before.at < timedelta(seconds=settings.visibility_timeout_s)
    ):
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
        # Who exceeds the time limit is told to stop in the same way. The limit counts from before
        # the claim: half of it is surely less.
        if datetime.now(UTC) - now < timedelta(seconds=settings.task_time_limit_s / 2):
            _unclaim(store, key, before)
        raise
    store.delete(key)


def _unclaim(store: Store, key: str, before: Claim | None) -> None:
    """Nobody is at work any more, and the task will be tried again: the crashes of others before
    stay counted."""
    if before is None:
        store.delete(key)
    else:
        store.put_record(key, replace(before, at=LONG_AGO))


def removed_if_deleted(context: WorkerContext, job_id: str, written: Iterable[str]) -> bool:
    """Whether the job was deleted meanwhile; then what was written is removed again."""
    if not context.store.exists(keys.deleted(job_id)):
        return False
    for key in written:
        context.store.delete(key)
    return True


@dataclass(frozen=True, slots=True)
class StoredBins:
    """The bytes of each segment of a run, got when asked for and checked against their records."""

    store: Store
    job_id: str
    run: Sequence[Segment]

    def __getitem__(self, number: int) -> bytes:
        segment = self.run[number]
        data = self.store.get(keys.source(self.job_id, segment.index))
        if hashlib.sha256(data).hexdigest() != segment.sha256:
            raise UnreadableMedia(
                f"segment {segment.index} is damaged in the storage: its sha256 differs"
            )
        return data
