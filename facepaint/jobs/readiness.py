"""Readiness: which segments can be painted, and queueing those that have become ready.

A segment can be painted when the detection of every segment within `REACH_S` of its window has
ended. A look that selects people also waits for person tracking, which needs the faces of all
segments. Whoever may have made segments ready calls `enqueue_ready`: a detect task when it ends,
the uploader when it seals, whoever adds a look. Doing so twice is harmless. Painting too early is
not, so the paint task asks again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from facepaint.errors import ObjectMissing, RecordInvalid
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.job import ImageJob, Job, JobRecord, Sealed, VideoJob
from facepaint.records.segment import REACH_S, Segment
from facepaint.store import Store

if TYPE_CHECKING:
    # Only named here: Celery is slow to import, and most commands send nothing.
    from facepaint.queue import Queue


class SegmentIndex:
    """The segments of a job as they are stored, read on demand and remembered.

    A segment's record never changes once written, so what was read stays true; what was missing is
    asked for again. Of most segments only the windows are remembered: the packets of two hours take
    120 MB.
    """

    def __init__(self, store: Store, job: Job) -> None:
        self._store = store
        self._job = job
        self._windows: dict[int, Segment] = {}
        self._run: dict[int, Segment] = {}
        self._sealed: Sealed | None = None
        self._naming: dict[str, bool] = {}
        self._looked_at = 0

    def segment(self, index: int) -> Segment | None:
        """The record of a segment without its packets, or None if it is not stored (yet)."""
        if index not in self._windows and index >= 0:
            record = self._store.find_record(keys.segment(self._job.id, index), Segment)
            if record is not None:
                self._windows[index] = replace(record, packets=(), audio=())
        return self._windows.get(index)

    def run(self, index: int) -> list[Segment]:
        """The records of video that a segment is decoded from, itself last; those of one run are
        remembered.

        Raises:
            ObjectMissing: one of them is not stored (yet).
        """
        target = self._whole(index)
        self._run = {
            number: each
            for number, each in self._run.items()
            if each.decode_from == target.decode_from
        }
        return [self._whole(number) for number in range(target.decode_from, index + 1)]

    def _whole(self, index: int) -> Segment:
        if index not in self._run:
            record = self._store.get_record(keys.segment(self._job.id, index), Segment)
            self._run[index] = replace(record, audio=())
        return self._run[index]

    @property
    def segments(self) -> int | None:
        """How many there are, once the job is sealed."""
        if self._sealed is None:
            self._sealed = self._store.find_record(keys.sealed(self._job.id), Sealed)
        return self._sealed.segments if self._sealed else None

    def ends_before(self, index: int) -> bool:
        """Whether the job is sealed and has no segment of this index."""
        return self.segments is not None and index >= self.segments

    def selects_people(self, look: str) -> bool:
        """Whether a look selects people."""
        if look not in self._naming:
            try:
                record = self._store.find_record(keys.look(self._job.id, look), Look)
            except RecordInvalid:  # painting it says so; the other looks go on
                return False
            if record is None:
                return False
            self._naming[look] = bool(record.people)
        return self._naming[look]

    def detection_finished(self) -> bool:
        """Whether the job is sealed and the detection of every segment has ended.

        What was seen to have ended is not asked for again: who relies on it looks once more.
        """
        total = self.segments
        if total is None or not has_faces(self._store, self._job.id, total - 1):
            return False
        while self._looked_at < total and has_faces(self._store, self._job.id, self._looked_at):
            self._looked_at += 1
        return self._looked_at == total

    def reach(self, index: int) -> list[Segment] | None:
        """The stored segments within `REACH_S` of a segment's window, itself included, in order.

        None if one of them is not stored yet.
        """
        own = self.segment(index)
        if own is None:
            return None
        if isinstance(self._job, ImageJob):
            return [own]
        ticks = _ticks(self._job)
        found = [own]
        while found[0].index > 0 and own.start - found[0].start < ticks:
            before = self.segment(found[0].index - 1)
            if before is None:
                return None
            found.insert(0, before)
        while found[-1].end - own.end < ticks:
            if self.ends_before(found[-1].index + 1):
                break
            after = self.segment(found[-1].index + 1)
            if after is None:
                return None
            found.append(after)
        return found

    def reached_by(self, index: int) -> Iterator[int]:
        """The stored segments whose painting may depend on the faces of this one, itself
        included."""
        yield index
        own = self.segment(index)
        if own is None or isinstance(self._job, ImageJob):
            return
        ticks = _ticks(self._job)
        for step in (-1, 1):
            other = self.segment(index + step)
            while other is not None:
                gap = own.start - other.end if step < 0 else other.start - own.end
                if gap >= ticks:
                    break
                yield other.index
                other = self.segment(other.index + step)


def _ticks(job: VideoJob) -> Fraction:
    return Fraction(REACH_S) / job.video.time_base


def list_looks(store: Store, job: str) -> list[str]:
    """The ids of a job's looks."""
    prefix = keys.looks(job)
    return [info.key.removeprefix(prefix).removesuffix(".json") for info in store.list(prefix)]


def has_faces(store: Store, job: str, index: int) -> bool:
    """Whether the detection of a segment has ended, with faces or a failed mark."""
    return store.exists(keys.faces(job, index)) or store.exists(keys.faces_failed(job, index))


def is_ready(
    store: Store, timeline: SegmentIndex, job: str, index: int, known: dict[int, bool] | None = None
) -> bool:
    """Whether a segment can be painted now. ``known`` remembers, for one caller, which segments
    have faces."""
    known = {} if known is None else known
    reach = timeline.reach(index)
    if reach is None:
        return False
    for segment in reach:
        if not known.get(segment.index):
            known[segment.index] = has_faces(store, job, segment.index)
        if not known[segment.index]:
            return False
    return True


def tracking_ended(store: Store, job: str) -> bool:
    """Whether person tracking has ended, with people or a failed mark."""
    return store.exists(keys.tracks(job)) or store.exists(keys.tracks_failed(job))


def enqueue_tracking(queue: "Queue", job: str, timeline: SegmentIndex) -> int:
    """Queue the track task if it can run now; returns the number of messages sent."""
    if not timeline.detection_finished():
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
    that are painted or given up are left alone.

    Args:
        looks: the looks of the job; listed if None.
        segments: what the caller has read already.

    Returns:
        The number of messages sent.
    """
    segments = segments or SegmentIndex(store, job)
    names = list(list_looks(store, job.id) if looks is None else looks)
    sent = 0
    selecting = {look for look in names if segments.selects_people(look)}
    if selecting and not tracking_ended(store, job.id):
        sent += enqueue_tracking(queue, job.id, segments)
        names = [look for look in names if look not in selecting]
    known: dict[int, bool] = {}
    for index in sorted({other for one in indexes for other in segments.reached_by(one)}):
        if not is_ready(store, segments, job.id, index, known):
            continue
        for look in names:
            if not _painting_ended(store, job.id, look, index):
                queue.paint(job.id, look, index)
                sent += 1
    return sent


def _painting_ended(store: Store, job: str, look: str, index: int) -> bool:
    painted, failed = keys.painted(job, look, index), keys.painted_failed(job, look, index)
    return store.exists(painted) or store.exists(failed)


def load_job(store: Store, job: str) -> Job | None:
    """The job's record, or None if there is none."""
    try:
        return cast(Job, store.get_record(keys.job(job), JobRecord))
    except ObjectMissing:
        return None
