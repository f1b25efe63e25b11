"""Readiness: which segments can be painted, and queueing those that have become ready.

A segment can be painted when the detection of every segment within `REACH_S` of its window has
ended. A look that selects people also waits for person tracking, which needs the faces of all
segments. Every event that can make a segment ready ends with `enqueue_ready`: a detect task that
ends, an upload that is sealed, a look that is added. A segment that is queued twice is painted
once. The paint task checks readiness again, because painting too early would use the wrong faces.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from facepaint.errors import ObjectMissing, RecordInvalid
from facepaint.jobs.state import JobKeys
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.job import ImageJob, Job, JobRecord, Sealed, VideoJob
from facepaint.records.segment import REACH_S, Segment
from facepaint.store import Store

if TYPE_CHECKING:
    # Only named here: Celery is slow to import, and most commands send nothing.
    from facepaint.queue import Queue


class SegmentIndex:
    """The stored segments of a job, read on demand and cached.

    A stored record never changes, so only absence is not cached. Most records are cached without
    their packets, which take 120 MB for a video of two hours.
    """

    def __init__(self, store: Store, job: Job) -> None:
        self._store = store
        self._job = job
        self._windows: dict[int, Segment] = {}
        self._run: dict[int, Segment] = {}
        self._sealed: Sealed | None = None
        self._selects_people: dict[str, bool] = {}
        self._detected_before = 0

    def segment(self, index: int) -> Segment | None:
        """The record of a segment without its packets, or None if it is not stored (yet)."""
        if index not in self._windows and index >= 0:
            record = self._store.find_record(keys.segment(self._job.id, index), Segment)
            if record is not None:
                self._windows[index] = replace(record, packets=(), audio=())
        return self._windows.get(index)

    def run(self, index: int) -> list[Segment]:
        """The records, with their video packets, that a segment is decoded from; its own is last.

        The records of one run at a time are cached.

        Raises:
            ObjectMissing: one of them is not stored (yet).
        """
        decode_from = self._whole(index).decode_from
        self._run = {n: each for n, each in self._run.items() if each.decode_from == decode_from}
        return [self._whole(number) for number in range(decode_from, index + 1)]

    def _whole(self, index: int) -> Segment:
        if index not in self._run:
            record = self._store.get_record(keys.segment(self._job.id, index), Segment)
            self._run[index] = replace(record, audio=())
        return self._run[index]

    @property
    def segments(self) -> int | None:
        """The number of segments, or None until the job is sealed."""
        if self._sealed is None:
            self._sealed = self._store.find_record(keys.sealed(self._job.id), Sealed)
        return self._sealed.segments if self._sealed else None

    def ends_before(self, index: int) -> bool:
        """Whether the job is sealed and has no segment of this index."""
        return self.segments is not None and index >= self.segments

    def selects_people(self, look: str) -> bool:
        """Whether a look selects people."""
        if look not in self._selects_people:
            try:
                record = self._store.find_record(keys.look(self._job.id, look), Look)
            except RecordInvalid:
                # The paint task reports the fault. An error here would stop the other looks too.
                return False
            if record is None:
                return False
            self._selects_people[look] = bool(record.people)
        return self._selects_people[look]

    def detection_finished(self) -> bool:
        """Whether the job is sealed and the detection of every segment has ended.

        Segments whose detection has ended are not checked again, although ``resume`` can delete a
        failed mark in the meantime. The track task reads the keys itself before it relies on them.
        """
        total = self.segments
        # The last segment is usually detected last: a cheap test that mostly decides.
        if total is None or not self._detection_ended(total - 1):
            return False
        while self._detected_before < total and self._detection_ended(self._detected_before):
            self._detected_before += 1
        return self._detected_before == total

    def _detection_ended(self, index: int) -> bool:
        return detection_ended(self._store, self._job.id, index)

    def reach(self, index: int) -> list[Segment] | None:
        """The stored segments within `REACH_S` of a segment's window, itself included, in order.

        None if one of them is not stored yet.
        """
        own = self.segment(index)
        if own is None:
            return None
        if isinstance(self._job, ImageJob):
            return [own]
        reach = _reach_ticks(self._job)
        before = self._before(own, reach)
        if before is None:
            return None
        after = self._after(own, reach)
        if after is None:
            return None
        return [*before, own, *after]

    # Windows join without gaps, so the next segment is within reach while a side is shorter.

    def _before(self, own: Segment, reach: Fraction) -> list[Segment] | None:
        """The segments within reach before a segment; None if one of them is not stored yet."""
        found: list[Segment] = []
        first = own
        while first.index > 0 and own.start - first.start < reach:
            neighbour = self.segment(first.index - 1)
            if neighbour is None:
                return None
            found.insert(0, neighbour)
            first = neighbour
        return found

    def _after(self, own: Segment, reach: Fraction) -> list[Segment] | None:
        """The segments within reach after a segment; None if one of them is not stored yet."""
        found: list[Segment] = []
        last = own
        while last.end - own.end < reach and not self.ends_before(last.index + 1):
            neighbour = self.segment(last.index + 1)
            if neighbour is None:
                return None
            found.append(neighbour)
            last = neighbour
        return found

    def reached_by(self, index: int) -> Iterator[int]:
        """The stored segments that have a segment within their reach, itself included.

        Where a record cannot be read, its neighbours count as well: their paint tasks report it.
        """
        yield index
        if isinstance(self._job, ImageJob):
            return
        try:
            own = self.segment(index)
        except RecordInvalid:
            yield from (other for other in (index - 1, index + 1) if other >= 0)
            return
        if own is None:
            return
        for step in (-1, 1):
            yield from self._reached_in_direction(own, step, _reach_ticks(self._job))

    def _reached_in_direction(self, own: Segment, step: int, reach: Fraction) -> Iterator[int]:
        index, gap = own.index + step, Fraction(0)
        while index >= 0 and gap < reach:
            try:
                other = self.segment(index)
            except RecordInvalid:
                yield index
                return
            if other is None:
                return
            gap = Fraction(own.start - other.end if step < 0 else other.start - own.end)
            if gap < reach:
                yield index
            index += step


def _reach_ticks(job: VideoJob) -> Fraction:
    return Fraction(REACH_S) / job.video.time_base


def list_looks(store: Store, job: str) -> list[str]:
    """The ids of a job's looks."""
    prefix = keys.looks(job)
    return [info.key.removeprefix(prefix).removesuffix(".json") for info in store.list(prefix)]


def list_keys(store: Store, job: str) -> JobKeys:
    """The keys of a job that exist now, with one LIST."""
    return JobKeys.read(row.key for row in store.list(keys.prefix(job)))


def detection_ended(store: Store, job: str, index: int) -> bool:
    """Whether the detection of a segment has ended, with faces or a failed mark."""
    return store.exists(keys.faces(job, index)) or store.exists(keys.faces_failed(job, index))


def is_ready(
    store: Store, segments: SegmentIndex, job: str, index: int, detected: set[int] | None = None
) -> bool:
    """Whether a segment can be painted now.

    Args:
        detected: segments whose detection is known to have ended; this call adds to them.
    """
    detected = set() if detected is None else detected
    reach = segments.reach(index)
    if reach is None:
        return False
    for segment in reach:
        if segment.index in detected:
            continue
        if not detection_ended(store, job, segment.index):
            return False
        detected.add(segment.index)
    return True


def tracking_ended(store: Store, job: str) -> bool:
    """Whether person tracking has ended, with people or a failed mark."""
    return store.exists(keys.tracks(job)) or store.exists(keys.tracks_failed(job))


def enqueue_tracking(queue: "Queue", job: str, segments: SegmentIndex) -> int:
    """Queue the track task if it can run now; returns the number of messages sent."""
    if not segments.detection_finished():
        return 0
    queue.track(job)
    return 1


def enqueue_ready(
    store: Store,
    queue: "Queue",
    job: Job,
    indexes: Iterable[int],
    looks: Iterable[str] | None = None,
    segments: SegmentIndex | None = None,
) -> int:
    """Queue the painting of every segment that the detection of ``indexes`` may have made ready.

    For looks that select people the track task is queued instead, until it has ended. Segments
    that are painted or have a failed mark are not queued.

    Args:
        looks: the looks of the job; listed if None.
        segments: the caller's index, to reuse its cache.

    Returns:
        The number of messages sent.
    """
    segments = segments or SegmentIndex(store, job)
    looks = list_looks(store, job.id) if looks is None else list(looks)
    sent = 0
    waiting = {look for look in looks if segments.selects_people(look)}
    if waiting and not tracking_ended(store, job.id):
        sent += enqueue_tracking(queue, job.id, segments)
        looks = [look for look in looks if look not in waiting]
    for index in _ready_around(store, segments, job.id, indexes):
        sent += _enqueue_paintings(store, queue, job.id, looks, index)
    return sent


def _enqueue_paintings(
    store: Store, queue: "Queue", job: str, looks: Iterable[str], index: int
) -> int:
    """Queue a ready segment with every look that it is not painted with."""
    unpainted = [look for look in looks if not _painting_ended(store, job, look, index)]
    for look in unpainted:
        queue.paint(job, look, index)
    return len(unpainted)


def _ready_around(
    store: Store, segments: SegmentIndex, job: str, indexes: Iterable[int]
) -> Iterator[int]:
    """The ready segments that have one of ``indexes`` within their reach, in order."""
    candidates = {other for index in indexes for other in segments.reached_by(index)}
    # Neighbours share most of their reach; each segment is looked up in the storage once.
    detected: set[int] = set()
    for index in sorted(candidates):
        try:
            ready = is_ready(store, segments, job, index, detected)
        except RecordInvalid:
            # The paint task leaves a failed mark with the fault.
            ready = True
        if ready:
            yield index


def _painting_ended(store: Store, job: str, look: str, index: int) -> bool:
    painted, failed = keys.painted(job, look, index), keys.painted_failed(job, look, index)
    return store.exists(painted) or store.exists(failed)


def load_job(store: Store, job: str) -> Job | None:
    """The job's record, or None if there is none."""
    try:
        return cast(Job, store.get_record(keys.job(job), JobRecord))
    except ObjectMissing:
        return None
