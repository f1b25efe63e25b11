"""Follow a job: yield its painted segments in order, while later ones are still being painted.

Nothing is listed: the keys of the next few segments are known. Each is requested at most once a
second, and less often the longer nothing comes. A segment that takes too long is requeued, because
the broker may lose messages.
"""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from facepaint.errors import (
    InputError,
    JobDeleted,
    JobError,
    ObjectDamaged,
    ObjectMissing,
    ServiceError,
    StoreUnreachable,
)
from facepaint.jobs.state import ABANDONED_AFTER_S
from facepaint.jobs.status import find_job, upload_abandoned
from facepaint.records import keys
from facepaint.records.job import Sealed
from facepaint.records.results import Failed, Painted
from facepaint.retry import RetryPolicy
from facepaint.store import Store

T = TypeVar("T")

Report = Callable[[str], None]
"""Called with one line about a failure that is retried."""


@dataclass(frozen=True, slots=True)
class PaintedSegment:
    """A painted segment: its record, and its bytes, which have the record's sha256.

    They are a fragmented MP4, or an image.
    """

    record: Painted
    data: bytes

    @property
    def index(self) -> int:
        """The segment's number, from 0."""
        return self.record.index


@dataclass(frozen=True, slots=True)
class Gap:
    """A segment whose painting failed, and why."""

    index: int
    reason: str


def _ignore(line: str) -> None:
    """Report nothing."""


FOLLOW_RETRY = RetryPolicy(first_delay_s=1.0, longest_delay_s=4.0, growth=1.5, deadline_s=600.0)
"""Painted segments show up about every two seconds, so the pauses stay near that."""


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """How to wait for what is not stored yet.

    Args:
        retry: pauses between requests for the same segment, which grow while nothing comes, and
            how long the storage may be unreachable.
        ahead: segments fetched in advance.
        requeue_after_s: how long the awaited segment may take before ``requeue_stalled`` is
            called: `Settings.requeue_after_s` where there are settings.
        abandoned_s: how long an unsealed upload may store nothing.
        damaged_tries: attempts to read bytes that are missing or do not match their record.
        requeue_stalled: called with the index of a segment that takes too long; see
            `facepaint.jobs.maintenance.requeue_stalled`.
        on_trouble: called with one line for each retry.
        stop: ends the waiting and the iteration when set.
    """

    retry: RetryPolicy = FOLLOW_RETRY
    ahead: int = 3
    requeue_after_s: float = math.inf
    abandoned_s: float = ABANDONED_AFTER_S
    damaged_tries: int = 4
    requeue_stalled: Callable[[int], None] | None = None
    on_trouble: Report = _ignore
    stop: threading.Event = field(default_factory=threading.Event)


DEFAULTS = FollowOptions()


def follow(
    store: Store, job_id: str, look_id: str, start: int = 0, options: FollowOptions = DEFAULTS
) -> Generator[PaintedSegment | Gap, None, None]:
    """Yield the painted segments from ``start`` on in order, until the end of the job.

    A segment whose painting failed is a `Gap`. The end is known once the job is sealed.

    Raises:
        UnknownJob: there is no such job.
        InputError: the job has no such look.
        JobDeleted: the job was deleted since.
        JobError: the upload was abandoned, or a segment's bytes stay missing or damaged.
        StoreUnreachable: the storage was unreachable for too long.
    """
    # Otherwise a wrong id would be waited for.
    find_job(store, job_id)
    if not store.exists(keys.look(job_id, look_id)):
        raise InputError(
            f"job {job_id} has no look {look_id}; `facepaint status {job_id}` lists them"
        )
    waiter = _Waiter(store, job_id, options)
    pool = ThreadPoolExecutor(options.ahead, thread_name_prefix="follow")
    prefetch = _Prefetch(store, job_id, look_id, options, pool)
    try:
        index = start
        while not waiter.ends_before(index) and not waiter.stopped:
            coming = range(index, index + options.ahead)
            prefetch.request(n for n in coming if not waiter.ends_before(n))
            item = waiter.attempt(partial(prefetch.take, index))
            if item is None:
                waiter.wait_for(index)
                continue
            yield item
            waiter.reset()
            index += 1
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def wait_until_sealed(
    store: Store, job_id: str, options: FollowOptions = DEFAULTS
) -> Sealed | None:
    """Wait for the end of a job's upload; returns its `Sealed` record, or None if stopped.

    Raises as `follow`.
    """
    waiter = _Waiter(store, job_id, options)
    index = 0
    while not waiter.stopped:
        sealed = waiter.attempt(waiter.find_sealed)
        if sealed is not None:
            return sealed
        index = waiter.wait_for_upload(index)
    return None


def retry_while_unreachable(action: Callable[[], T], options: FollowOptions) -> T:
    """Call ``action`` until the storage answers.

    Raises:
        StoreUnreachable: the storage was unreachable for too long.
    """
    return options.retry.call(
        action,
        StoreUnreachable,
        lambda why: options.on_trouble(f"{why}; trying again"),
        options.stop,
    )


class _Prefetch:
    """Fetches the next few segments, each in a thread of its own."""

    def __init__(
        self,
        store: Store,
        job_id: str,
        look_id: str,
        options: FollowOptions,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._store, self._job, self._look = store, job_id, look_id
        self._options, self._pool = options, pool
        self._requested_at: dict[int, float] = {}
        self._futures: dict[int, Future[PaintedSegment | Gap | None]] = {}
        self._damaged: dict[int, int] = {}

    def request(self, indexes: Iterable[int]) -> None:
        """Start to fetch segments that are not being fetched, each at most once per pause."""
        now = time.monotonic()
        for index in indexes:
            age_s = now - self._requested_at.get(index, -math.inf)
            if not self._is_coming(index) and age_s >= self._options.retry.first_delay_s:
                self._requested_at[index] = now
                self._futures[index] = self._pool.submit(self._fetch, index)

    def _is_coming(self, index: int) -> bool:
        future = self._futures.get(index)
        if future is None or not future.done():
            return future is not None
        return future.exception() is None and future.result() is not None

    def take(self, index: int) -> PaintedSegment | Gap | None:
        """A segment, or None if it is not there yet."""
        future = self._futures.get(index)
        if future is None:
            return None
        try:
            item = future.result()
        except (ObjectMissing, ObjectDamaged) as exc:
            self._damaged[index] = self._damaged.get(index, 0) + 1
            # Another worker may be replacing the segment at this moment.
            if self._damaged[index] < self._options.damaged_tries:
                return None
            raise JobError(f"{exc}; `facepaint resume {self._job}` paints it again") from exc
        finally:
            del self._futures[index]
        if item is not None:
            self._requested_at.pop(index, None)
        return item

    def _fetch(self, index: int) -> PaintedSegment | Gap | None:
        record = self._record(index)
        while record is not None:
            try:
                return self._read(record)
            except (ObjectMissing, ObjectDamaged):
                # The segment may have been painted again: the writer of the new record removes the
                # older bytes.
                newer = self._record(index)
                if newer is None or newer.name == record.name:
                    raise
                record = newer
        failed = self._store.find_record(keys.painted_failed(self._job, self._look, index), Failed)
        if failed is None:
            return None
        # A result takes precedence over a failed mark, even if it was stored in between.
        record = self._record(index)
        return Gap(index, failed.reason) if record is None else self._read(record)

    def _record(self, index: int) -> Painted | None:
        return self._store.find_record(keys.painted(self._job, self._look, index), Painted)

    def _read(self, record: Painted) -> PaintedSegment:
        key = keys.painted_data(self._job, self._look, record.name)
        return PaintedSegment(record, self._store.get_verified(key, record.sha256))


class _Waiter:
    """The deadlines of waiting, and the end of the job."""

    def __init__(self, store: Store, job_id: str, options: FollowOptions) -> None:
        self._store, self._job, self._options = store, job_id, options
        self._sealed: Sealed | None = None
        self._delay_s = options.retry.first_delay_s
        self._unreachable_since: float | None = None
        self._requeue_at = self._upload_at = 0.0
        self.reset()

    @property
    def stopped(self) -> bool:
        """Whether the caller asked to stop."""
        return self._options.stop.is_set()

    def reset(self) -> None:
        """Restart all deadlines, because a segment has come."""
        now = time.monotonic()
        self._delay_s = self._options.retry.first_delay_s
        self._requeue_at = now + self._options.requeue_after_s
        self._upload_at = now + self._options.abandoned_s

    def ends_before(self, index: int) -> bool:
        """Whether the job is sealed and has no segment of that number."""
        return self._sealed is not None and index >= self._sealed.segments

    def attempt(self, action: Callable[[], T]) -> T | None:
        """Call ``action``; returns None while the storage is unreachable for a short time."""
        try:
            result = action()
        except StoreUnreachable as exc:
            if self._unreachable_since is None:
                self._unreachable_since = time.monotonic()
            if self._options.retry.is_over(self._unreachable_since):
                raise
            self._options.on_trouble(f"{exc}; trying again")
            return None
        self._unreachable_since = None
        return result

    def find_sealed(self) -> Sealed | None:
        """The job's `Sealed` record once there is one.

        Raises:
            JobDeleted: the job was deleted.
        """
        if self._sealed is None:
            self._sealed = self._store.find_record(keys.sealed(self._job), Sealed)
        if self._store.exists(keys.deleted(self._job)):
            raise JobDeleted(f"job {self._job} was deleted")
        return self._sealed

    def wait_for(self, index: int) -> None:
        """Wait a little for a painted segment; check the upload and requeue when it is time."""
        self.attempt(self.find_sealed)
        if self.ends_before(index):
            return
        now = time.monotonic()
        if self._unreachable_since is None and now >= self._upload_at:
            self.attempt(partial(self._check_upload, index))
        if self._unreachable_since is None and now >= self._requeue_at:
            self._requeue_at = now + self._options.requeue_after_s
            self._requeue(index)
        self._pause()

    def _requeue(self, index: int) -> None:
        if self._options.requeue_stalled is None:
            return
        try:
            self._options.requeue_stalled(index)
        except ServiceError as exc:
            # The segment may come without it, and the next deadline tries again.
            self._options.on_trouble(f"{exc}; trying again")

    def wait_for_upload(self, index: int) -> int:
        """Wait a little for the upload.

        Returns the first segment from ``index`` on that is not stored.
        """
        # Without a listing: one request for each new segment.
        while self.attempt(partial(self._store.exists, keys.segment(self._job, index))):
            index += 1
            self.reset()
        if self._unreachable_since is None and time.monotonic() >= self._upload_at:
            self.attempt(partial(self._check_upload, index))
        self._pause()
        return index

    def _check_upload(self, index: int) -> None:
        key = keys.segment(self._job, index)
        if not self._store.exists(key):
            if self._sealed is None:
                raise upload_abandoned(self._job)
            raise JobError(f"job {self._job} is damaged: {key} is missing: upload the file again")
        self._upload_at = time.monotonic() + self._options.abandoned_s

    def _pause(self) -> None:
        self._options.stop.wait(self._delay_s)
        self._delay_s = self._options.retry.next_delay_s(self._delay_s)
