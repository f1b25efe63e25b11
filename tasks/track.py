"""The track task: track people over a whole job, once the detection of every segment has ended.

Tracking reads the detections of all segments. What one attempt does not finish is requeued, and
the process keeps its progress; another process starts again. ``tracks.json`` is written last.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic

from facepaint.errors import PartialProgress
from facepaint.jobs.readiness import SegmentIndex, list_keys, tracking_ended
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.codec import decode
from facepaint.records.faces import Faces
from facepaint.records.job import VideoJob
from facepaint.records.tracks import People, Person, TrackedFace, TrackedSegment
from facepaint.store import ObjectInfo, Store
from tasks.claims import hold_claim
from tasks.context import WorkerContext, remove_if_deleted, run_or_give_up
from tasks.detector_cache import card_of
from tasks.tracking.people import PersonTracker
from tasks.tracking.tracker import tracking_options

ANGLES = ("yaw", "pitch", "roll")

SAME_FACE = 0.5
"""IoU from which two boxes in one frame are the same face."""


Found = frozenset[ObjectInfo]
"""The listing of a job's detections: stored again, they have other times."""


@dataclass(slots=True)
class TrackingRun:
    """The tracking of one job by the detections ``found``, with its progress in this process."""

    job_id: str
    found: Found
    segments: int
    identities: PersonTracker
    digests: list[str] = field(default_factory=list)
    people: People | None = None
    numbers: dict[int, int] = field(default_factory=dict)
    written: int = 0

    def advance(self, store: Store, attempt_s: float, batch: int) -> People:
        """Read all detections and write the people of each segment.

        Args:
            attempt_s: seconds after which this attempt ends.
            batch: segments read or written at once.

        Returns:
            The people. The caller writes their record.

        Raises:
            PartialProgress: the attempt ended before the work did.
        """
        until = monotonic() + attempt_s
        while len(self.digests) < self.segments:
            first = len(self.digests)
            indexes = range(first, min(first + batch, self.segments))
            for index, data in zip(indexes, in_parallel(self._read(store), indexes), strict=True):
                self._add(index, data)
            self._pause(until, f"read up to segment {indexes[-1]}")
        if self.people is None:
            self.people = self._numbered(store)
            self._pause(until, "people numbered")
        while self.written < self.segments:
            indexes = range(self.written, min(self.written + batch, self.segments))
            records = [self._tracked(index) for index in indexes]
            in_parallel(
                lambda record: store.put_record(keys.tracked(self.job_id, record.index), record),
                records,
            )
            self.written = indexes[-1] + 1
            self._pause(until, f"written up to segment {indexes[-1]}")
        return self.people

    def _read(self, store: Store) -> Callable[[int], bytes | None]:
        return lambda index: store.find(keys.faces(self.job_id, index))

    def _add(self, index: int, data: bytes | None) -> None:
        if data is None:  # detection was given up
            record, digest = Faces(index, (), "", ""), ""
        else:
            record, digest = (
                decode(Faces, data, keys.faces(self.job_id, index)),
                hashlib.sha256(data).hexdigest(),
            )
        self.identities.add(record)
        self.digests.append(digest)

    def _pause(self, until: float, what: str) -> None:
        if monotonic() > until:
            raise PartialProgress(f"tracking job {self.job_id}: {what}")

    def _numbered(self, store: Store) -> People:
        people = tuple(self.identities.people)
        before = store.find_record(keys.tracks_before(self.job_id), People)
        self.numbers = (
            {} if before is None else same_numbers(before, people, self.identities.segment)
        )
        named = (
            replace(person, number=self.numbers.get(person.number, person.number))
            for person in people
        )
        found = tuple(sorted(named, key=lambda person: person.number))
        return People(
            found,
            self.segments,
            max([before.given if before else 0, *(one.number for one in found)]),
        )

    def _tracked(self, index: int) -> TrackedSegment:
        found = self.identities.segment(index)
        frames = tuple(
            replace(frame, faces=tuple(self._stored(face) for face in frame.faces))
            for frame in found.frames
        )
        return replace(found, frames=frames, faces=self.digests[index])

    def _stored(self, face: TrackedFace) -> TrackedFace:
        """A face with the number its person keeps, rounded to a hundredth of a px or degree."""
        x1, y1, x2, y2 = (round(side, 2) for side in face.box)
        angles = {
            name: round(value, 2) for name in ANGLES if (value := getattr(face, name)) is not None
        }
        return replace(
            face,
            person=self.numbers.get(face.person, face.person),
            score=round(face.score, 3),
            box=(x1, y1, x2, y2),
            landmarks=tuple(round(value, 2) for value in face.landmarks),
            **angles,
        )


def run_track(context: WorkerContext, job_id: str, redelivered: bool = False) -> People | None:
    """Track the people of a job, then queue the looks that wait for it, and the portraits.

    Nothing happens before the detection of every segment has ended.

    Returns:
        The record, if this call made one.
    """
    known = context.job(job_id)
    if known is None:
        return None
    job, segments = known
    if not isinstance(job, VideoJob):
        return None
    store = context.store
    found = list_keys(store, job_id)
    total = segments.segments
    if not found.detection_finished or total is None:
        return None
    people = None
    if not tracking_ended(store, job_id):
        with hold_claim(context, job_id, "track", 0, None, redelivered) as claim:
            if claim is None:
                return None
            failed = keys.tracks_failed(job_id), 0
            work = partial(_track, context, job, total)
            people = run_or_give_up(context, claim, failed, work)
            if people is not None:
                store.put_record(keys.tracks(job_id), people)
                store.delete(keys.tracks_before(job_id))
    written = (keys.tracked(job_id, index) for index in range(total))
    records = (keys.tracks(job_id), keys.tracks_failed(job_id), *written)
    if not remove_if_deleted(context, job_id, records):
        _enqueue_looks(context, job_id, segments)
        _enqueue_portraits(context, job_id)
    return people


def _track(context: WorkerContext, job: VideoJob, total: int) -> People:
    """Continue the tracking that this process keeps, or start again.

    Raises:
        PartialProgress: this attempt is over, or detections changed meanwhile.
    """
    store = context.store
    kept, context.tracking = context.tracking, None
    found = _found(store, job.id)
    if kept is not None and (kept.job_id, kept.segments, kept.found) == (job.id, total, found):
        run = kept
    else:
        run = _start_tracking(job, total, found)
    try:
        people = run.advance(store, context.tracking_attempt_s, context.tracking_batch)
    except PartialProgress:
        context.tracking = run
        raise
    if _found(store, job.id) != found:
        raise PartialProgress(f"tracking job {job.id}: some of its faces are detected again")
    return people


def _start_tracking(job: VideoJob, total: int, found: Found) -> TrackingRun:
    card = card_of(job.detector)
    options, confident = tracking_options(True, card), tracking_options(False, card).accept
    identities = PersonTracker(job.video.time_base, options, confident)
    return TrackingRun(job.id, found, total, identities)


def _found(store: Store, job_id: str) -> Found:
    return frozenset(store.list(keys.all_faces(job_id)))


def _enqueue_looks(context: WorkerContext, job_id: str, segments: SegmentIndex) -> None:
    """Queue every look that selects people: now all of its segments are ready."""
    # Listed after the record was written: a look added meanwhile sees the record or is seen here.
    found = list_keys(context.store, job_id)
    for look in filter(segments.selects_people, found.looks):
        for index in sorted(found.stored - found.painted[look] - found.paint_failed[look]):
            context.queue.paint(job_id, look, index)


def _enqueue_portraits(context: WorkerContext, job_id: str) -> None:
    people = context.store.find_record(keys.tracks(job_id), People)
    if people is None:
        return
    there = {row.key for row in context.store.list(keys.portraits(job_id))}
    missing = {
        p.best_segment for p in people.portrayed if keys.portrait(job_id, p.number) not in there
    }
    for index in sorted(missing):
        context.queue.portraits(job_id, index)


def same_numbers(
    before: People, people: Iterable[Person], segment: Callable[[int], TrackedSegment]
) -> dict[int, int]:
    """The numbers of people who were known before, by those they have now; whoever is new gets one
    that nobody had.

    A look that names somebody must go on to mean the same face when a part of the job was looked at
    again.

    Args:
        segment: gives the tracked faces of a segment, with the new numbers.
    """
    numbers: dict[int, int] = {}
    for person in sorted(before.people, key=lambda person: (person.best_segment, person.number)):
        there = (
            frame for frame in segment(person.best_segment).frames if frame.pts == person.best_pts
        )
        faces = [face for frame in there for face in frame.faces]
        best = max(faces, key=lambda face: _iou(face.box, person.best_box), default=None)
        if best is not None and _iou(best.box, person.best_box) >= SAME_FACE:
            numbers[best.person] = min(person.number, numbers.get(best.person, person.number))
    free = max([before.given, *(person.number for person in before.people)])
    for person in people:
        if person.number not in numbers:
            free += 1
            numbers[person.number] = free
    return numbers


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / max(areas - shared, 1e-9)
