"""Store cut segments, several at once, and queue each as soon as its record stands."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TypeVar

from facepaint.errors import QueueUnreachable, StoreUnreachable
from facepaint.jobs import Extras, Job, JobKeys, Sealed, keys
from facepaint.looks import Look
from facepaint.queue import Queue
from facepaint.store import Store
from facepaint.upkeep import queue_missing
from facepaint.wake import wake
from uploader.cut import CutSegment

T = TypeVar("T")

STORE_AWAY_S = 600.0
"""How long an upload waits for a storage that went away."""

BROKER_AWAY_S = 20.0
"""How long the end of an upload waits for the broker; what is stored can be queued by `resume` at any time."""

BROKER_PAUSE_S = 5.0
"""While the broker is away it is tried no more often than this, so that storing goes on."""

LONGEST_PAUSE_S = 10.0


class SegmentStorer:
    """Stores a job's segments in threads. Memory holds no more segments than are under way."""

    def __init__(self, store: Store, queue: Queue, job: Job, parallel: int) -> None:
        self._store, self._queue, self.job = store, queue, job
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="upload")
        self._limit = parallel + 1
        self._pending: set[Future[None]] = set()
        self._there: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self._unqueued: list[int] = []
        self._broker_tried = -BROKER_PAUSE_S
        self._closed = threading.Event()
        self._look: Look | None = None
        self.stored = 0
        self.on_wait: Callable[[str], None] = lambda _: None

    def begin(self, look: Look | None, start_pts: int | None = None) -> None:
        """Store the look and the job's record, which must stand before the first segment's."""
        if look is not None:
            self._look = look
            key = keys.look(self.job.id, look.id)
            self._patiently(lambda: self._store.put_record(key, look))
        if start_pts is not None:
            self.job = replace(self.job, start_pts=start_pts)
            self._patiently(lambda: self._store.put_record(keys.job(self.job.id), self.job))

    def skip_stored(self) -> None:
        """Leave out the segments whose record stands already."""
        found = JobKeys.read(info.key for info in self._store.list(keys.prefix(self.job.id)))
        self._there = found.stored

    def add(self, cut: CutSegment) -> None:
        """Store a segment in the background; waits while too many are under way, raises what went wrong with one."""
        self._reap(self._limit - 1)
        if cut.record.index in self._there:
            self.stored += 1
            return
        self._pending.add(self._pool.submit(self._store_segment, cut))

    def drain(self) -> None:
        """Wait until every segment is stored."""
        self._reap(0)

    def seal(self, extras: Extras, sealed: Sealed) -> bool:
        """Write what else is in the file and the job's end, and wake its last segments.

        Returns whether something is left that the broker did not get.
        """
        self._patiently(lambda: self._store.put_record(keys.extras(self.job.id), extras))
        self._patiently(lambda: self._store.put_record(keys.sealed(self.job.id), sealed))
        deadline = time.monotonic() + BROKER_AWAY_S
        while True:
            try:
                self._queue_rest(sealed)
            except QueueUnreachable as exc:
                if time.monotonic() > deadline:
                    return True
                self.on_wait(str(exc))
                self._closed.wait(BROKER_PAUSE_S / 5)
            else:
                return False

    def close(self) -> None:
        """Stop: what is being stored ends, what has not begun does not begin."""
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)

    def _queue_rest(self, sealed: Sealed) -> None:
        if self._there:
            queue_missing(self._store, self._queue, self.job.id)
            return
        while self._unqueued:
            self._queue.detect(self.job.id, self._unqueued[0])
            self._unqueued.pop(0)
        wake(self._store, self._queue, self.job, [sealed.segments - 1])

    def _store_segment(self, cut: CutSegment) -> None:
        job_id, index = self.job.id, cut.record.index
        self._patiently(lambda: self._store.put(keys.source(job_id, index), cut.data))
        if cut.audio:
            self._patiently(lambda: self._store.put(keys.audio(job_id, index), cut.audio))
        self._patiently(lambda: self._store.put_record(keys.segment(job_id, index), cut.record))
        self._queue_segment(index)
        with self._lock:
            self.stored += 1

    def _queue_segment(self, index: int) -> None:
        """Queue the segment's detection, and what the broker did not take before; never holds up the storing."""
        with self._lock:
            self._unqueued.append(index)
            if time.monotonic() - self._broker_tried < BROKER_PAUSE_S and len(self._unqueued) > 1:
                return
            try:
                while self._unqueued:
                    self._queue.detect(self.job.id, self._unqueued[0])
                    self._unqueued.pop(0)
            except QueueUnreachable as exc:
                self._broker_tried = time.monotonic()
                self.on_wait(str(exc))

    def _reap(self, allowed: int) -> None:
        while len(self._pending) > allowed:
            done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call until the storage answers, for `STORE_AWAY_S` at most."""
        deadline = time.monotonic() + STORE_AWAY_S
        pause = 0.5
        while True:
            try:
                return call()
            except StoreUnreachable as exc:
                if self._closed.is_set() or time.monotonic() > deadline:
                    raise
                self.on_wait(str(exc))
            self._closed.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
