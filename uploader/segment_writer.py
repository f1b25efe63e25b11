"""Store cut segments, several at once, and queue each as soon as its record is stored."""

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
    """Stores a job's segments in threads. Memory holds only the segments that are being stored.

    ``stored`` counts the segments that are stored. ``on_wait`` is called with the reason whenever
    a service is unreachable.
    """

    def __init__(self, store: Store, queue: Queue, job: Job, parallel: int) -> None:
        self._store, self._queue, self.job = store, queue, job
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="upload")
        self._parallel = parallel
        self._pending: set[Future[None]] = set()
        self._stored_before: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self._unqueued: deque[int] = deque()
        self._out_of_order: set[int] = set()
        self._next = 0
        self._queueing = False
        self._try_broker_at = 0.0
        self._closed = threading.Event()
        self.stored = 0
        self.on_wait: Callable[[str], None] = lambda _: None

    def store_job(self, look: Look, start_pts: int) -> None:
        """Store the look and the job's record, which must exist before the first segment's."""
        if isinstance(self.job, VideoJob):
            self.job = replace(self.job, start_pts=start_pts)
        self._retry(lambda: self._store.put_record(keys.look(self.job.id, look.id), look))
        self._retry(lambda: self._store.put_record(keys.job(self.job.id), self.job))

    def skip_stored(self) -> None:
        """Skip the segments that an earlier upload of this job has stored."""
        rows = self._store.list(keys.prefix(self.job.id))
        self._stored_before = JobKeys.read(row.key for row in rows).stored

    def add(self, cut: CutSegment) -> None:
        """Store a segment in the background.

        Waits while too many are being stored. Raises what went wrong with an earlier one.
        """
        # A segment may have 64 MiB: what the threads cannot take yet must not be cut.
        self._wait_until_pending(self._parallel)
        if cut.record.index in self._stored_before:
            self._queue_segment(cut.record.index)
            self._count()
        else:
            self._pending.add(self._pool.submit(self._store_segment, cut))

    def drain(self) -> None:
        """Wait until every segment is stored."""
        self._wait_until_pending(0)

    def seal(self, extras: Extras, sealed: Sealed) -> bool:
        """Finalize the job: store its extras and its end, and queue what is not queued yet.

        Returns whether the broker was unreachable, so that tasks are left to be queued.
        """
        # In this order: a sealed job has its extras.
        ends = {keys.extras(self.job.id): extras, keys.sealed(self.job.id): sealed}
        for key, record in ends.items():
            self._retry(partial(self._store.put_record, key, record))
        self._stop_if_deleted(ends)
        try:
            self._queue.retry.call(
                lambda: self._retry(lambda: self._queue_rest(sealed)),
                QueueUnreachable,
                self.on_wait,
                self._closed,
            )
        except QueueUnreachable:
            return True
        return False

    def close(self) -> None:
        """Stop: wait for the segments being stored, and cancel the others."""
        # Ends the retries, which would otherwise keep the threads for minutes.
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)

    def _queue_rest(self, sealed: Sealed) -> None:
        if self._stored_before:
            # Which tasks the interrupted upload has queued is unknown.
            queue_missing(self._store, self._queue, self.job.id)
            return
        self._send_unqueued()
        # If its last segments were searched before the seal, no detect task finds them ready.
        enqueue_ready(self._store, self._queue, self.job, [sealed.segments - 1])

    def _store_segment(self, cut: CutSegment) -> None:
        job_id, index = self.job.id, cut.record.index
        video, audio = keys.source(job_id, index), keys.audio(job_id, index)
        record = keys.segment(job_id, index)
        self._retry(lambda: self._store.put(video, cut.data))
        if cut.audio:
            self._retry(lambda: self._store.put(audio, cut.audio))
        # The record comes last: a segment exists when its record does.
        self._retry(lambda: self._store.put_record(record, cut.record))
        self._stop_if_deleted([video, audio, record])
        self._queue_segment(index)
        self._count()

    def _count(self) -> None:
        with self._lock:
            self.stored += 1

    def _stop_if_deleted(self, written: Iterable[str]) -> None:
        """Remove what was just written if the job has been deleted.

        The deletion may have listed the job's objects before these were written.
        """
        if not self._retry(lambda: self._store.exists(keys.deleted(self.job.id))):
            return
        for key in written:
            self._store.delete(key)
        raise JobDeleted(f"job {self.job.id} was deleted while it was being uploaded")

    def _queue_segment(self, index: int) -> None:
        """Queue the segment's detection once all segments before it are stored.

        It may be decoded from them. One thread at a time talks to the broker; the others continue
        to store.
        """
        with self._lock:
            self._out_of_order.add(index)
            while self._next in self._out_of_order:
                self._out_of_order.remove(self._next)
                if self._next not in self._stored_before:
                    self._unqueued.append(self._next)
                self._next += 1
            # An attempt at an unreachable broker takes seconds, when this thread stores nothing.
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
        """Queue what is not queued yet, in order. What the broker refuses is sent later."""
        while True:
            with self._lock:
                if not self._unqueued:
                    self._queueing = False
                    return
                index = self._unqueued[0]
            # Removed only when it is sent. Sending twice is harmless, because tasks are idempotent.
            self._queue.detect(self.job.id, index)
            self._unqueued.popleft()

    def _wait_until_pending(self, count: int) -> None:
        """Wait until at most ``count`` segments are being stored; raise what one has raised."""
        while len(self._pending) > count:
            done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _retry(self, call: Callable[[], T]) -> T:
        """Call, and retry while the storage is unreachable."""
        return self._store.retry.call(call, StoreUnreachable, self.on_wait, self._closed)
