"""What the page knows about jobs: read from the storage, kept for a while so that many tabs cost no
more than one."""

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
from viewer.server.audio import sound_ends_s
from viewer.server.clock import Clock, clock_of

FRESH_S = 1.0
"""What is younger than this is not read again."""

SETTLED_S = 10.0
"""The same for a job that is complete."""

COST_SHARE = 4.0
"""Reading takes at most one part in so many of the time: long jobs are listed less often."""

QUICK_S = 0.3
"""What took longer to read than this is read anew behind the scenes, while the older answer
serves."""

LIST_PATIENCE_S = 0.8
"""So long the list of jobs waits for their states; those not read by then come with its next
answer."""

READERS = 4
JOBS_SHOWN = 100
JOBS_KEPT = 2 * JOBS_SHOWN
RECORDS_KEPT = 4096

AHEAD = 8
"""How many segments are looked up that were painted since a job was last listed."""

T = TypeVar("T")
K = TypeVar("K")


class _Fresh(Generic[T]):
    """A value read by one thread at a time and kept for a while, an error of ours as well.

    ``settled`` says of a value that it will hardly change.
    """

    def __init__(
        self,
        read: Callable[[], T],
        readers: Executor,
        settled: Callable[[T], bool] = lambda _: False,
    ) -> None:
        self._read = read
        self._readers = readers
        self._settled = settled
        self._lock = threading.Lock()
        self._coming: Future[None] | None = None
        self._until = 0.0
        self._cost_s = 0.0
        self.outcome: T | FacepaintError | None = None

    def get(self) -> T:
        """The value, read now unless a young one is there or reading takes long."""
        if self.outcome is not None and self._cost_s > QUICK_S:
            self.refresh()
        else:
            self._read_if_due()
        assert self.outcome is not None
        if isinstance(self.outcome, FacepaintError):
            raise self.outcome.with_traceback(None)
        return self.outcome

    def refresh(self) -> Future[None] | None:
        """Have it read by another thread, if it is time to; the future ends when it is."""
        if time.monotonic() < self._until:
            return None
        if self._coming is None or self._coming.done():
            self._coming = self._readers.submit(self._read_if_due)
        return self._coming

    def _read_if_due(self) -> None:
        with self._lock:
            begun = time.monotonic()
            if begun < self._until:
                return
            keep_s = FRESH_S
            try:
                value = self._read()
                keep_s = SETTLED_S if self._settled(value) else FRESH_S
                self.outcome = value
            except FacepaintError as exc:
                self.outcome = exc
            ended = time.monotonic()
            self._cost_s = ended - begun
            self._until = ended + keep_s * max(1.0, COST_SHARE * self._cost_s)


class _Recent(Generic[K, T]):
    """The most recently used values, at most ``size``, for several threads."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._values: LRUCache[K, T] = LRUCache(size)

    def get(self, key: K, make: Callable[[], T]) -> T:
        """The value of a key. If two threads ask at once, ``make`` may run twice; the first result
        stays."""
        with self._lock:
            if key in self._values:
                return self._values[key]
        value = make()
        with self._lock:
            return self._values.setdefault(key, value)

    def forget(self, key: K) -> None:
        with self._lock:
            self._values.pop(key, None)


@dataclass(frozen=True, slots=True)
class Window:
    """When a segment's pictures begin and end and its last sound ends (0 without any), in seconds
    of the clock."""

    start_s: float
    end_s: float
    heard_s: float


@dataclass(slots=True)
class _Followed:
    """One job somebody looks at. What is stored of its segments never changes, so what was read is
    kept.

    ``painted`` are segments by look that were found painted one by one, maybe after the job was
    listed.
    """

    status: _Fresh[JobStatus]
    clock: Clock | None = None
    windows: dict[int, Window] = field(default_factory=dict)
    painted: dict[str, set[int]] = field(default_factory=dict)


class Board:
    """Reads jobs for the page; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="board")
        self._jobs = _Fresh(lambda: list_jobs(store, limit=JOBS_SHOWN), self._readers)
        self._workers = _Fresh(lambda: alive_workers(store), self._readers)
        self._followed: _Recent[str, _Followed] = _Recent(JOBS_KEPT)
        self._records: _Recent[tuple[str, str, int], Painted] = _Recent(RECORDS_KEPT)

    def close(self) -> None:
        """Begin to read nothing more."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    def jobs(self) -> list[JobSummary]:
        """The newest jobs."""
        return self._jobs.get()

    def workers(self) -> list[WorkerInfo]:
        """The workers that are running."""
        return self._workers.get()

    def status(self, job_id: str, look: str | None = None) -> JobStatus:
        """A job's status, a moment old, and knowing of a look that somebody asks for.

        Raises:
            UnknownJob: there is no such job.
            InputError: the job has no such look.
        """
        status = self._follow(job_id).status.get()
        if look is not None and status.look(look) is None:
            self._followed.forget(job_id)
            status = self._follow(job_id).status.get()
            if status.look(look) is None:
                raise InputError(
                    f"job {job_id} has no look {look}; `facepaint status {job_id}` lists them"
                )
        return status

    def statuses(self, job_ids: Iterable[str]) -> dict[str, JobStatus | FacepaintError | None]:
        """What is known of many jobs within a moment; None of those whose turn to be read has not
        come."""
        found = {job_id: self._follow(job_id).status for job_id in job_ids}
        wait([coming for status in found.values() if (coming := status.refresh())], LIST_PATIENCE_S)
        return {job_id: status.outcome for job_id, status in found.items()}

    def _follow(self, job_id: str) -> _Followed:
        blank_records: BlankRecords = {}

        def read() -> JobStatus:
            return job_status(self.store, job_id, blank_records=blank_records)

        def make() -> _Followed:
            return _Followed(_Fresh(read, self._readers, lambda status: status.state == "complete"))

        return self._followed.get(job_id, make)

    def painted_segments(self, status: JobStatus, look: str, wanted: int | None) -> frozenset[int]:
        """The painted segments of a look, the ``wanted`` one and those after it looked up even if
        listed long ago."""
        found = self._follow(status.job.id).painted.setdefault(look, set())
        listed = status.keys.painted[look]
        for index in range(wanted, wanted + AHEAD) if wanted is not None else ():
            if index in listed or index in found:
                continue
            try:
                self.painted(status.job.id, look, index)
            except ObjectMissing:
                break
            found.add(index)
        return listed | found

    def painted(self, job_id: str, look: str, index: int) -> Painted:
        """The record of a painted segment.

        Raises:
            ObjectMissing: the segment is not painted.
        """
        key = (job_id, look, index)
        return self._records.get(key, lambda: self.store.get_record(keys.painted(*key), Painted))

    def forget_painted(self, job_id: str, look: str, index: int) -> None:
        """Read that record anew when it is next asked for."""
        self._records.forget((job_id, look, index))

    def clock(self, job: VideoJob) -> Clock:
        """What a video's players count time by.

        Raises:
            ObjectMissing: its first segment is not stored yet.
        """
        followed = self._follow(job.id)
        if followed.clock is None:
            followed.clock = clock_of(job, self.store.get_record(keys.segment(job.id, 0), Segment))
        return followed.clock

    def ends_s(self, status: JobStatus) -> float | None:
        """When picture and sound of a video have both ended; None while that is not known."""
        if not status.total:
            return None
        last = self.windows(status.job, [status.total - 1])[0]
        return max(last.end_s, last.heard_s)

    def windows(self, job: Job, indexes: Sequence[int], limit: int | None = None) -> list[Window]:
        """The windows of stored segments, as many as are known after reading at most ``limit``
        records more."""
        if isinstance(job, ImageJob):
            return []
        known = self._follow(job.id).windows
        unread = [index for index in indexes if index not in known][:limit]
        if unread:
            clock = self.clock(job)

            def read(index: int) -> None:
                record = self.store.get_record(keys.segment(job.id, index), Segment)
                start_s, end_s = clock.window_s(record)
                known[index] = Window(
                    float(start_s), float(end_s), float(sound_ends_s(job, clock, record))
                )

            in_parallel(read, unread)
        found = []
        for index in indexes:
            if index not in known:
                break
            found.append(known[index])
        return found


def first_missing(indexes: frozenset[int], first: int = 0) -> int:
    """The first index from ``first`` on that is not among them."""
    index = first
    while index in indexes:
        index += 1
    return index
