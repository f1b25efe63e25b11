"""Store cut segments, several at once, and queue each as soon as its record stands."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import TypeVar

from facepaint.errors import JobDeleted, QueueUnreachable, StoreUnreachable
from facepaint.jobs.maintenance import queue_missing
from facepaint.jobs.readiness import enqueue_ready
from facepaint.jobs.state import JobKeys
from facepaint.looks.look import Look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import Extras, Job, Sealed, VideoJob
from facepaint.store import Store
from uploader.cutter import CutSegment

T = TypeVar("T")

BROKER_PAUSES = 5
"""Pauses of the queue's `RetryPolicy` between two tries to reach the broker while segments are
stored: a try blocks one of the threads that store."""


class SegmentWriter:
    """Stores a job's segments in threads. Memory holds no more segments than are under way."""

    def __init__(self, store: Store, queue: Queue, job: Job, parallel: int) -> None:
        self._store, self._queue, self.job = store, queue, job
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="upload")
        self._parallel = parallel
        self._pending: set[Future[None]] = set()
        self._there: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self._unqueued: deque[int] = deque()
        self._ended: set[int] = set()
        self._next = 0
        self._queueing = False
        self._try_broker_at = 0.0
        self._closed = threading.Event()
        self.stored = 0
        self.on_wait: Callable[[str], None] = lambda _: None

    def begin(self, look: Look, start_pts: int) -> None:
        """Store the look and the job's record, which must stand before the first segment's."""
        if isinstance(self.job, VideoJob):
            self.job = replace(self.job, start_pts=start_pts)
        self._patiently(lambda: self._store.put_record(keys.look(self.job.id, look.id), look))
        self._patiently(lambda: self._store.put_record(keys.job(self.job.id), self.job))

    def skip_stored(self) -> None:
        """Leave out the segments whose record stands already."""
        found = JobKeys.read(info.key for info in self._store.list(keys.prefix(self.job.id)))
        self._there = found.stored

    def add(self, cut: CutSegment) -> None:
        """Store a segment in the background; waits while too many are under way, raises what went
        wrong with one."""
        self._reap(self._parallel)
        if cut.record.index in self._there:
            self._queue_segment(cut.record.index)
            self._count()
        else:
            self._pending.add(self._pool.submit(self._store_segment, cut))

    def drain(self) -> None:
        """Wait until every segment is stored."""
        self._reap(0)

    def seal(self, extras: Extras, sealed: Sealed) -> bool:
        """Write what else is in the file and the job's end, and wake its last segments.

        Returns whether something is left that the broker did not get.
        """
        ends = {keys.extras(self.job.id): extras, keys.sealed(self.job.id): sealed}
        for key, record in ends.items():
            self._patiently(partial(self._store.put_record, key, record))
        self._stop_if_deleted(ends)
        try:
            self._queue.retry.call(
                lambda: self._patiently(lambda: self._queue_rest(sealed)),
                QueueUnreachable,
                self.on_wait,
                self._closed,
            )
        except QueueUnreachable:
            return True
        return False

    def close(self) -> None:
        """Stop: what is being stored ends, what has not begun does not begin."""
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)

    def _queue_rest(self, sealed: Sealed) -> None:
        if self._there:
            queue_missing(self._store, self._queue, self.job.id)
            return
        self._send_unqueued()
        enqueue_ready(self._store, self._queue, self.job, [sealed.segments - 1])

    def _store_segment(self, cut: CutSegment) -> None:
        job_id, index = self.job.id, cut.record.index
        objects = [
            keys.source(job_id, index),
            keys.audio(job_id, index),
            keys.segment(job_id, index),
        ]
        self._patiently(lambda: self._store.put(objects[0], cut.data))
        if cut.audio:
            self._patiently(lambda: self._store.put(objects[1], cut.audio))
        self._patiently(lambda: self._store.put_record(objects[2], cut.record))
        self._stop_if_deleted(objects)
        self._queue_segment(index)
        self._count()

    def _count(self) -> None:
        with self._lock:
            self.stored += 1

    def _stop_if_deleted(self, written: Iterable[str]) -> None:
        """Remove what was written if the job was deleted meanwhile: who deletes it has listed its
        objects by then."""
        if self._patiently(lambda: self._store.exists(keys.deleted(self.job.id))):
            for key in written:
                self._store.delete(key)
            raise JobDeleted(f"job {self.job.id} was deleted while it was being uploaded")

    def _queue_segment(self, index: int) -> None:
        """Queue the segment's detection once all before it are stored, which it may be decoded
        from.

        One thread at a time speaks to the broker; the others go on storing.
        """
        with self._lock:
            self._ended.add(index)
            while self._next in self._ended:
                self._ended.remove(self._next)
                if self._next not in self._there:
                    self._unqueued.append(self._next)
                self._next += 1
            if self._queueing or time.monotonic() < self._try_broker_at:
                return
            self._queueing = True
        try:
            self._send_unqueued()
        except QueueUnreachable as exc:
            self.on_wait(str(exc))
            with self._lock:
                self._queueing = False
                self._try_broker_at = (
                    time.monotonic() + BROKER_PAUSES * self._queue.retry.longest_delay_s
                )

    def _send_unqueued(self) -> None:
        """Queue what the broker did not get yet. What it refuses stays, to be sent later."""
        while True:
            with self._lock:
                if not self._unqueued:
                    self._queueing = False
                    return
                index = self._unqueued[0]
            self._queue.detect(self.job.id, index)
            self._unqueued.popleft()

    def _reap(self, allowed: int) -> None:
        while len(self._pending) > allowed:
            done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call until the storage answers."""
        return self._store.retry.call(call, StoreUnreachable, self.on_wait, self._closed)
