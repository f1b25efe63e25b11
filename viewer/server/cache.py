"""What the server reads of jobs, cached so that many open pages cost the storage no more than
one."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cachetools import LRUCache

from facepaint.errors import FacepaintError, InputError, ObjectMissing
from facepaint.jobs.status import BlankRecords, JobStatus, JobSummary, job_status, list_jobs
from facepaint.jobs.workers import alive_workers
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.job import ImageJob, Job, VideoJob
from facepaint.records.results import Painted, WorkerInfo
from facepaint.records.segment import Segment
from facepaint.store import Store
from viewer.server.audio import audio_end_s
from viewer.server.clock import Clock, clock_of

MAX_AGE_S = 1.0
"""A younger value is not read again."""

COMPLETE_MAX_AGE_S = 10.0
"""The same for the status of a complete job."""

COST_FACTOR = 4.0
"""A value is kept for this many times what it took to read, if that is longer: reading one job
takes a fifth of the time at most, and long jobs are listed less often."""

SLOW_READ_S = 0.3
"""A value that took longer to read is refreshed in the background, while the old one is served."""

LIST_TIMEOUT_S = 0.8
"""How long the list of jobs waits for their states. The others come with its next answer."""

READERS = 4
"""Threads that refresh values in the background."""

LISTED_JOBS = 100
CACHED_JOBS = 2 * LISTED_JOBS
CACHED_RECORDS = 4096

LOOKAHEAD = 8
"""How many segments are looked up that may have been painted since the job was listed."""

T = TypeVar("T")
K = TypeVar("K")


class _CachedValue(Generic[T]):
    """A value that one thread at a time reads and all share for a while.

    An error of `FacepaintError` is cached as well, so that a storage that is away is not asked by
    every request.
    """

    def __init__(
        self,
        read: Callable[[], T],
        readers: Executor,
        is_settled: Callable[[T], bool] = lambda _: False,
    ) -> None:
        """``is_settled`` tells the values that hardly change any more."""
        self._read = read
        self._readers = readers
        self._is_settled = is_settled
        self._lock = threading.Lock()
        self._pending: Future[None] | None = None
        self._fresh_until = 0.0
        self._cost_s = 0.0
        self.outcome: T | FacepaintError | None = None

    def get(self) -> T:
        """The value: read now if it is too old, unless reading takes long.

        Raises:
            FacepaintError: the value could not be read.
        """
        if self.outcome is not None and self._cost_s > SLOW_READ_S:
            self.refresh()
        else:
            self._read_if_due()
        assert self.outcome is not None
        if isinstance(self.outcome, FacepaintError):
            # The same error is raised for many requests: its traceback would grow with each.
            raise self.outcome.with_traceback(None)
        return self.outcome

    def refresh(self) -> Future[None] | None:
        """Read the value in another thread if it is too old; the future ends when it is read."""
        if time.monotonic() < self._fresh_until:
            return None
        if self._pending is None or self._pending.done():
            self._pending = self._readers.submit(self._read_if_due)
        return self._pending

    def _read_if_due(self) -> None:
        # Threads that wait for the lock find the value fresh and return.
        with self._lock:
            started = time.monotonic()
            if started < self._fresh_until:
                return
            max_age_s = MAX_AGE_S
            try:
                value = self._read()
                if self._is_settled(value):
                    max_age_s = COMPLETE_MAX_AGE_S
                self.outcome = value
            except FacepaintError as exc:
                self.outcome = exc
            # Errors cost as well: a storage that is away times out.
            ended = time.monotonic()
            self._cost_s = ended - started
            self._fresh_until = ended + max_age_s * max(1.0, COST_FACTOR * self._cost_s)


class _SharedLru(Generic[K, T]):
    """The ``size`` most recently used values, shared between threads."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._values: LRUCache[K, T] = LRUCache(size)

    def get(self, key: K, make: Callable[[], T]) -> T:
        """The value of a key.

        If two threads ask at once, ``make`` may run twice, as it reads from the storage without the
        lock. Both get the first result.
        """
        with self._lock:
            if key in self._values:
                return self._values[key]
        value = make()
        with self._lock:
            return self._values.setdefault(key, value)

    def discard(self, key: K) -> None:
        """Remove a key, if it is there."""
        with self._lock:
            self._values.pop(key, None)


@dataclass(frozen=True, slots=True)
class Window:
    """A segment's window in seconds on the clock, and the end of its audio (0 if it has none)."""

    start_s: float
    end_s: float
    audio_end_s: float


@dataclass(slots=True)
class _CachedJob:
    """What was read of one job.

    A stored segment never changes, so windows are kept. ``painted`` holds by look the segments that
    were looked up one by one, maybe after the job was listed.
    """

    status: _CachedValue[JobStatus]
    clock: Clock | None = None
    windows: dict[int, Window] = field(default_factory=dict)
    painted: dict[str, set[int]] = field(default_factory=dict)


class JobCache:
    """Reads jobs for the pages; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="job-cache")
        self._list = _CachedValue(lambda: list_jobs(store, limit=LISTED_JOBS), self._readers)
        self._workers = _CachedValue(lambda: alive_workers(store), self._readers)
        self._jobs: _SharedLru[str, _CachedJob] = _SharedLru(CACHED_JOBS)
        self._records: _SharedLru[tuple[str, str, int], Painted] = _SharedLru(CACHED_RECORDS)

    def close(self) -> None:
        """Stop reading in the background."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    def jobs(self) -> list[JobSummary]:
        """The newest jobs."""
        return self._list.get()

    def workers(self) -> list[WorkerInfo]:
        """The running workers."""
        return self._workers.get()

    def status(self, job_id: str, look: str | None = None) -> JobStatus:
        """A job's status, read again if it is too old or lacks the look.

        Raises:
            UnknownJob: there is no such job.
            InputError: the job has no such look.
        """
        status = self._job(job_id).status.get()
        if look is None or status.look(look) is not None:
            return status
        # The look may have been added since the job was listed.
        self._jobs.discard(job_id)
        status = self._job(job_id).status.get()
        if status.look(look) is None:
            raise InputError(
                f"job {job_id} has no look {look}; `facepaint status {job_id}` lists them"
            )
        return status

    def statuses(self, job_ids: Iterable[str]) -> dict[str, JobStatus | FacepaintError | None]:
        """The statuses of many jobs that can be had in `LIST_TIMEOUT_S`; None for the others."""
        cached = {job_id: self._job(job_id).status for job_id in job_ids}
        pending = [future for status in cached.values() if (future := status.refresh())]
        wait(pending, LIST_TIMEOUT_S)
        return {job_id: status.outcome for job_id, status in cached.items()}

    def _job(self, job_id: str) -> _CachedJob:
        # Kept between the reads of one job: see `job_status`.
        blank_records: BlankRecords = {}

        def read() -> JobStatus:
            return job_status(self.store, job_id, blank_records=blank_records)

        def make() -> _CachedJob:
            status = _CachedValue(read, self._readers, lambda status: status.state == "complete")
            return _CachedJob(status)

        return self._jobs.get(job_id, make)

    def painted_segments(self, status: JobStatus, look: str, wanted: int | None) -> frozenset[int]:
        """The painted segments of a look.

        ``wanted`` and the segments after it are looked up one by one: a player that waits for them
        need not wait until the job is listed again.
        """
        listed = status.keys.painted[look]
        looked_up = self._job(status.job.id).painted.setdefault(look, set())
        if wanted is not None:
            for index in range(wanted, wanted + LOOKAHEAD):
                if index in listed or index in looked_up:
                    continue
                try:
                    self.painted(status.job.id, look, index)
                except ObjectMissing:
                    # A player needs the segments in order, so later ones can wait for a listing.
                    break
                looked_up.add(index)
        return listed | looked_up

    def painted(self, job_id: str, look: str, index: int) -> Painted:
        """The record of a painted segment.

        Raises:
            ObjectMissing: the segment is not painted.
        """
        # A missing record is not cached: it may be stored at any moment.
        key = (job_id, look, index)
        return self._records.get(key, lambda: self.store.get_record(keys.painted(*key), Painted))

    def discard_painted(self, job_id: str, look: str, index: int) -> None:
        """Read that record again when it is needed next."""
        self._records.discard((job_id, look, index))

    def clock(self, job: VideoJob) -> Clock:
        """The clock of a video's players.

        Raises:
            ObjectMissing: the first segment is not stored yet.
        """
        cached = self._job(job.id)
        if cached.clock is None:
            cached.clock = clock_of(job, self.store.get_record(keys.segment(job.id, 0), Segment))
        return cached.clock

    def end_s(self, status: JobStatus) -> float | None:
        """When both the frames and the audio of a video have ended; None until it is sealed."""
        if not status.total:
            return None
        last = self.windows(status.job, [status.total - 1])[0]
        return max(last.end_s, last.audio_end_s)

    def windows(self, job: Job, indexes: Sequence[int], limit: int | None = None) -> list[Window]:
        """The windows of stored segments.

        Args:
            job: a list of images has none.
            indexes: the segments.
            limit: how many records are read at most. The windows from the first one on that is
                still unread are left out.
        """
        if isinstance(job, ImageJob):
            return []
        cached = self._job(job.id).windows
        unread = [index for index in indexes if index not in cached][:limit]
        if unread:
            clock = self.clock(job)

            def read(index: int) -> None:
                record = self.store.get_record(keys.segment(job.id, index), Segment)
                cached[index] = _window(job, clock, record)

            # One by one, the latency of the storage would add up.
            in_parallel(read, unread)
        found = []
        for index in indexes:
            if index not in cached:
                break
            found.append(cached[index])
        return found


def _window(job: VideoJob, clock: Clock, segment: Segment) -> Window:
    start_s, end_s = clock.window_s(segment)
    return Window(float(start_s), float(end_s), float(audio_end_s(job, clock, segment)))


def first_missing(indexes: frozenset[int], first: int = 0) -> int:
    """The first index from ``first`` on that is not among ``indexes``."""
    index = first
    while index in indexes:
        index += 1
    return index
