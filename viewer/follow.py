"""Follow a job: its painted segments in order, from the store, while later ones are still being
made.

Nothing is ever listed. The next few keys are known, each is asked for at most once a second, less
often the longer nothing comes. What has waited too long is queued again, since the broker may lose
messages.
"""

import hashlib
import math
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from facepaint.errors import (
    InputError,
    JobDeleted,
    JobError,
    ObjectMissing,
    ServiceError,
    StoreUnreachable,
)
from facepaint.jobs.state import ABANDONED_AFTER_S
from facepaint.jobs.status import find_job
from facepaint.records import keys
from facepaint.records.job import Sealed
from facepaint.records.results import Failed, Painted
from facepaint.store import Store

T = TypeVar("T")

Report = Callable[[str], None]
"""Is told, in one line, about trouble that is being waited out."""


@dataclass(frozen=True, slots=True)
class PaintedSegment:
    """A painted segment: its record and its bytes, a whole fragmented MP4 (or a picture) with the
    record's sha256."""

    record: Painted
    data: bytes

    @property
    def index(self) -> int:
        """The segment's number, from 0."""
        return self.record.index


@dataclass(frozen=True, slots=True)
class Gap:
    """A segment that was given up, and why."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to ask, how far ahead, and how long to wait for what; all times in seconds.

    ``poll_s`` grows to ``slowest_poll_s`` while nothing comes. ``unreachable_s``: how long the
    storage may be away.
    ``revive_s``: how long the awaited segment may take before it is queued again,
    `Settings.requeue_after_s` where one is; by default it never is. ``abandoned_s``: how long an
    upload that is not sealed may bring nothing new.
    ``damaged_tries``: how often bytes that do not fit their record, or are gone, are asked for
    again.
    """

    poll_s: float = 1.0
    slowest_poll_s: float = 4.0
    ahead: int = 3
    unreachable_s: float = 600.0
    revive_s: float = math.inf
    abandoned_s: float = ABANDONED_AFTER_S
    damaged_tries: int = 4


PATIENT = Patience()
"""What a person watching expects."""


def follow(
    store: Store,
    job_id: str,
    look_id: str,
    start: int = 0,
    *,
    patience: Patience = PATIENT,
    requeue_stalled: Callable[[int], None] | None = None,
    on_trouble: Report | None = None,
    stop: threading.Event | None = None,
) -> Generator[PaintedSegment | Gap, None, None]:
    """Yield the painted segments from ``start`` on in order, given-up ones as a `Gap`, until the
    job's end.

    The end is known once the job is sealed. ``requeue_stalled`` is called with the number of a
    segment that was waited for too long (see `facepaint.jobs.maintenance.requeue_stalled`);
    ``stop`` ends the waiting and the iteration.

    Raises:
        UnknownJob: there is no such job.
        InputError: the job has no such look.
        JobDeleted: the job was deleted meanwhile.
        JobError: the upload was abandoned, or a segment's bytes stay missing or damaged.
        StoreUnreachable: the storage was away for longer than ``patience.unreachable_s``.
    """
    find_job(store, job_id)
    if not store.exists(keys.look(job_id, look_id)):
        raise InputError(
            f"job {job_id} has no look {look_id}; `facepaint status {job_id}` lists them"
        )
    waiter = _Waiter(store, job_id, patience, on_trouble or _ignore, stop or threading.Event())
    pool = ThreadPoolExecutor(patience.ahead, thread_name_prefix="follow")
    window = _Window(store, job_id, look_id, patience, pool)
    try:
        index = start
        while not waiter.ends_before(index) and not waiter.stopped:
            window.ask(n for n in range(index, index + patience.ahead) if not waiter.ends_before(n))
            item = waiter.attempt(partial(window.take, index))
            if item is None:
                waiter.wait_for(index, requeue_stalled)
                continue
            yield item
            waiter.came()
            index += 1
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def wait_until_sealed(
    store: Store,
    job_id: str,
    *,
    patience: Patience = PATIENT,
    on_trouble: Report | None = None,
    stop: threading.Event | None = None,
) -> Sealed | None:
    """Wait for a job's upload to end and return its `Sealed` record; None if ``stop`` was set.
    Raises as `follow`."""
    waiter = _Waiter(store, job_id, patience, on_trouble or _ignore, stop or threading.Event())
    index = 0
    while not waiter.stopped:
        sealed = waiter.attempt(waiter.find_sealed)
        if sealed is not None:
            return sealed
        index = waiter.wait_for_upload(index)
    return None


def abandoned(job_id: str) -> JobError:
    """The error of a job whose upload stopped."""
    return JobError(
        f"the upload of job {job_id} stopped before its end: `facepaint upload --resume "
        f"{job_id} FILE` goes on, "
        f"`facepaint resume {job_id} --seal` ends it with what is stored"
    )


def patiently(action: Callable[[], T], patience: Patience, on_trouble: Report | None = None) -> T:
    """Call ``action`` until the storage answers, or was away for longer than
    ``patience.unreachable_s``."""
    since, delay_s = time.monotonic(), patience.poll_s
    while True:
        try:
            return action()
        except StoreUnreachable as exc:
            if time.monotonic() - since >= patience.unreachable_s:
                raise
            (on_trouble or _ignore)(f"{exc}; trying again")
        time.sleep(delay_s)
        delay_s = min(patience.slowest_poll_s, delay_s * 1.5)


def _ignore(line: str) -> None:
    """Takes reports nobody asked for."""


class _Damaged(Exception):
    """A painted record stands and its bytes are missing or are not those it names."""


class _Window:
    """The next few segments being fetched, each in a thread of its own."""

    def __init__(
        self, store: Store, job_id: str, look_id: str, patience: Patience, pool: ThreadPoolExecutor
    ) -> None:
        self._store, self._job, self._look = store, job_id, look_id
        self._patience, self._pool = patience, pool
        self._asked: dict[int, float] = {}
        self._futures: dict[int, Future[PaintedSegment | Gap | None]] = {}
        self._damaged: dict[int, int] = {}

    def ask(self, indexes: Iterable[int]) -> None:
        """Start to fetch those segments that are not on their way, each at most once in
        ``poll_s``."""
        now = time.monotonic()
        for index in indexes:
            if (
                not self._is_coming(index)
                and now - self._asked.get(index, -math.inf) >= self._patience.poll_s
            ):
                self._asked[index] = now
                self._futures[index] = self._pool.submit(self._fetch, index)

    def _is_coming(self, index: int) -> bool:
        future = self._futures.get(index)
        if future is None or not future.done():
            return future is not None
        return future.exception() is None and future.result() is not None

    def take(self, index: int) -> PaintedSegment | Gap | None:
        """What became of a segment; None if it is not there yet."""
        future = self._futures.get(index)
        if future is None:
            return None
        try:
            item = future.result()
        except _Damaged as exc:
            self._damaged[index] = self._damaged.get(index, 0) + 1
            if self._damaged[index] < self._patience.damaged_tries:
                return None
            raise JobError(f"{exc}; `facepaint resume {self._job}` makes it again") from exc
        finally:
            del self._futures[index]
        if item is not None:
            self._asked.pop(index, None)
        return item

    def _fetch(self, index: int) -> PaintedSegment | Gap | None:
        record = self._record(index)
        while record is not None:
            try:
                return self._read(record)
            except (ObjectMissing, _Damaged) as exc:
                # A record is replaced by a later one, whose writer removes the older bytes.
                newer = self._record(index)
                if newer is None or newer.name == record.name:
                    raise _Damaged(str(exc)) from exc
                record = newer
        failed = self._store.find_record(keys.painted_failed(self._job, self._look, index), Failed)
        if failed is None:
            return None
        record = self._record(index)  # a result beats a failed mark, also one that came in between
        return Gap(index, failed.reason) if record is None else self._read(record)

    def _record(self, index: int) -> Painted | None:
        return self._store.find_record(keys.painted(self._job, self._look, index), Painted)

    def _read(self, record: Painted) -> PaintedSegment:
        key = keys.painted_data(self._job, self._look, record.name)
        data = self._store.get(key)
        if hashlib.sha256(data).hexdigest() != record.sha256:
            raise _Damaged(f"{key} is damaged in the storage (its sha256 is not the one recorded)")
        return PaintedSegment(record, data)


class _Waiter:
    """Knows how long was waited for what, when to stop waiting, and when the job is at its end."""

    def __init__(
        self,
        store: Store,
        job_id: str,
        patience: Patience,
        on_trouble: Report,
        stop: threading.Event,
    ) -> None:
        self._store, self._job, self._patience = store, job_id, patience
        self._on_trouble, self._stop = on_trouble, stop
        self._sealed: Sealed | None = None
        self._delay_s = patience.poll_s
        self._away_since: float | None = None
        self._revive_at = self._upload_at = 0.0
        self.came()

    @property
    def stopped(self) -> bool:
        """Whether the caller asked to stop."""
        return self._stop.is_set()

    def came(self) -> None:
        """Something came: every clock starts anew."""
        now = time.monotonic()
        self._delay_s = self._patience.poll_s
        self._revive_at = now + self._patience.revive_s
        self._upload_at = now + self._patience.abandoned_s

    def ends_before(self, index: int) -> bool:
        """Whether the job is known to be sealed without a segment of that number."""
        return self._sealed is not None and index >= self._sealed.segments

    def attempt(self, action: Callable[[], T]) -> T | None:
        """Call ``action``; None while the storage is away, which is an error only once it lasts."""
        try:
            result = action()
        except StoreUnreachable as exc:
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
            if now - self._away_since >= self._patience.unreachable_s:
                raise
            self._on_trouble(f"{exc}; trying again")
            return None
        self._away_since = None
        return result

    def find_sealed(self) -> Sealed | None:
        """The job's `Sealed` record once there is one; a deleted job has none and is an error."""
        if self._sealed is None:
            self._sealed = self._store.find_record(keys.sealed(self._job), Sealed)
        if self._store.exists(keys.deleted(self._job)):
            raise JobDeleted(f"job {self._job} was deleted")
        return self._sealed

    def wait_for(self, index: int, requeue_stalled: Callable[[int], None] | None) -> None:
        """Wait a little for a painted segment, and do something about it if it was long."""
        self.attempt(self.find_sealed)
        if self.ends_before(index):
            return
        now = time.monotonic()
        if self._away_since is None and now >= self._upload_at:
            self.attempt(partial(self._check_upload, index))
        if self._away_since is None and now >= self._revive_at and requeue_stalled is not None:
            self._revive_at = now + self._patience.revive_s
            try:
                requeue_stalled(index)
            except ServiceError as exc:
                self._on_trouble(f"{exc}; trying again")
        self._pause()

    def wait_for_upload(self, index: int) -> int:
        """Wait a little for the upload to go on; the first segment at or after ``index`` that is
        not stored."""
        while self.attempt(partial(self._store.exists, keys.segment(self._job, index))):
            index += 1
            self.came()
        if self._away_since is None and time.monotonic() >= self._upload_at:
            self.attempt(partial(self._check_upload, index))
        self._pause()
        return index

    def _check_upload(self, index: int) -> None:
        if self._sealed is None and not self._store.exists(keys.segment(self._job, index)):
            raise abandoned(self._job)
        self._upload_at = time.monotonic() + self._patience.abandoned_s

    def _pause(self) -> None:
        self._stop.wait(self._delay_s)
        self._delay_s = min(self._patience.slowest_poll_s, self._delay_s * 1.5)
