"""The track task: track people over a whole job, once the detection of every segment has ended.

Tracking reads the detections of all segments. What one attempt does not finish is requeued, and
the process keeps its progress; another process starts again. ``tracks.json`` is written last.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic

import numpy as np

from facepaint.errors import PartialProgress
from facepaint.jobs.readiness import SegmentIndex, list_keys, tracking_ended
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.faces import Faces
from facepaint.records.job import VideoJob
from facepaint.records.tracks import People, Person, TrackedFace, TrackedSegment
from facepaint.store import ObjectInfo, Store, Stored
from models.boxes import iou
from tasks.claims import hold_claim
from tasks.context import (
    WorkerContext,
    failing_on_damaged_records,
    remove_if_deleted,
    run_or_give_up,
)
from tasks.detector_cache import card_of
from tasks.tracking.people import PersonTracker
from tasks.tracking.tracker import tracking_options

ANGLES = ("yaw", "pitch", "roll")

SAME_FACE = 0.5
"""IoU from which two boxes in one frame are the same face."""

Listing = frozenset[ObjectInfo]
"""The stored detections of a job. Detections that are stored again have another time in it."""


@dataclass(slots=True)
class TrackingRun:
    """The tracking of one job, with its progress in this process.

    Args:
        detections: what it started from; tracking starts again if they change.
        digests: the sha256 of the detections of each segment that was read.
        numbers: the stored number of each person by the tracker's own.
        written: segments whose people are stored.
    """

    job_id: str
    detections: Listing
    segments: int
    tracker: PersonTracker
    digests: list[str] = field(default_factory=list)
    people: People | None = None
    numbers: dict[int, int] = field(default_factory=dict)
    written: int = 0

    def continues(self, fresh: "TrackingRun") -> bool:
        """Whether this run does what a fresh one would do."""
        return (self.job_id, self.segments, self.detections) == (
            fresh.job_id,
            fresh.segments,
            fresh.detections,
        )

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
            for index, stored in zip(indexes, in_parallel(self._read(store), indexes), strict=True):
                self._add(index, stored)
            self._stop_after(until, f"read up to segment {indexes[-1]}")
        if self.people is None:
            self.people = self._numbered(store)
            self._stop_after(until, "people numbered")
        while self.written < self.segments:
            indexes = range(self.written, min(self.written + batch, self.segments))
            records = [self._tracked(index) for index in indexes]
            in_parallel(
                lambda record: store.put_record(keys.tracked(self.job_id, record.index), record),
                records,
            )
            self.written = indexes[-1] + 1
            self._stop_after(until, f"written up to segment {indexes[-1]}")
        return self.people

    def _read(self, store: Store) -> Callable[[int], Stored[Faces] | None]:
        return lambda index: store.find_stored(keys.faces(self.job_id, index), Faces)

    def _add(self, index: int, stored: Stored[Faces] | None) -> None:
        if stored is None:
            # Detection failed.
            self.tracker.add(Faces(index, (), "", ""))
            self.digests.append("")
            return
        self.tracker.add(stored.record)
        self.digests.append(stored.sha256)

    def _stop_after(self, until: float, progress: str) -> None:
        if monotonic() > until:
            raise PartialProgress(f"tracking job {self.job_id}: {progress}")

    def _numbered(self, store: Store) -> People:
        """The people, with the numbers that an earlier tracking gave them."""
        people = self.tracker.people
        before = store.find_record(keys.tracks_before(self.job_id), People)
        if before is not None:
            self.numbers = same_numbers(before, people, self.tracker.segment)
            people = tuple(replace(person, number=self.numbers[person.number]) for person in people)
        highest = max((person.number for person in people), default=0)
        given = before.given if before else 0
        by_number = tuple(sorted(people, key=lambda person: person.number))
        return People(by_number, self.segments, max(given, highest))

    def _tracked(self, index: int) -> TrackedSegment:
        tracked = self.tracker.segment(index)
        frames = tuple(
            replace(frame, faces=tuple(self._stored(face) for face in frame.faces))
            for frame in tracked.frames
        )
        return replace(tracked, frames=frames, faces=self.digests[index])

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
    loaded = context.job(job_id)
    if loaded is None:
        return None
    job, segments = loaded
    if not isinstance(job, VideoJob):
        return None
    store = context.store
    stored = list_keys(store, job_id)
    total = None
    with failing_on_damaged_records(store, (keys.tracks_failed(job_id), 0)):
        total = segments.segments
    if not stored.detection_finished or total is None:
        return None
    people = None
    if not tracking_ended(store, job_id):
        with hold_claim(context, job_id, "track", 0, None, redelivered) as claim:
            if claim is None:
                return None
            failed = keys.tracks_failed(job_id), 0
            people = run_or_give_up(context, claim, failed, partial(_track, context, job, total))
            if people is not None:
                store.put_record(keys.tracks(job_id), people)
                store.delete(keys.tracks_before(job_id))
    written = (keys.tracked(job_id, index) for index in range(total))
    records = (keys.tracks(job_id), keys.tracks_failed(job_id), *written)
    # Queued even if tracking ended before: an earlier attempt may have died in between.
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
    detections = _detections(store, job.id)
    run = _start_tracking(job, total, detections)
    if kept is not None and kept.continues(run):
        run = kept
    try:
        people = run.advance(store, context.tracking_attempt_s, context.tracking_batch)
    except PartialProgress:
        context.tracking = run
        raise
    if _detections(store, job.id) != detections:
        raise PartialProgress(f"tracking job {job.id}: some of its faces are detected again")
    return people


def _start_tracking(job: VideoJob, total: int, detections: Listing) -> TrackingRun:
    card = card_of(job.detector)
    # People are tracked for redacting looks, which need every candidate; a person is certain if a
    # sticker would be painted on it.
    options, confident = tracking_options(True, card), tracking_options(False, card).accept
    tracker = PersonTracker(job.video.time_base, options, confident)
    return TrackingRun(job.id, detections, total, tracker)


def _detections(store: Store, job_id: str) -> Listing:
    return frozenset(store.list(keys.all_faces(job_id)))


def _enqueue_looks(context: WorkerContext, job_id: str, segments: SegmentIndex) -> None:
    """Queue every look that selects people: now all of its segments are ready."""
    # Listed after the record was written: a look that is added later sees the record itself.
    stored = list_keys(context.store, job_id)
    for look in filter(segments.selects_people, stored.looks):
        for index in sorted(stored.stored - stored.painted[look] - stored.paint_failed[look]):
            context.queue.paint(job_id, look, index)


def _enqueue_portraits(context: WorkerContext, job_id: str) -> None:
    people = context.store.find_record(keys.tracks(job_id), People)
    if people is None:
        return
    stored = {row.key for row in context.store.list(keys.portraits(job_id))}
    missing = {
        person.best_segment
        for person in people.portrayed
        if keys.portrait(job_id, person.number) not in stored
    }
    for index in sorted(missing):
        context.queue.portraits(job_id, index)


def same_numbers(
    before: People, people: Iterable[Person], segment: Callable[[int], TrackedSegment]
) -> dict[int, int]:
    """Keep the numbers of people after a part of the job was detected again.

    A look that selects a person by its number must keep its meaning. New people get
    numbers that were never used.

    Args:
        segment: gives the tracked faces of a segment, with the new numbers.

    Returns:
        The number to keep for each new number.
    """
    numbers: dict[int, int] = {}
    for person in sorted(before.people, key=lambda person: (person.best_segment, person.number)):
        best = _best_match(person, segment(person.best_segment))
        if best is not None:
            # Two people may turn out to be one, which keeps the lower number.
            numbers[best.person] = min(person.number, numbers.get(best.person, person.number))
    last = max([before.given, *(person.number for person in before.people)])
    for person in people:
        if person.number not in numbers:
            last += 1
            numbers[person.number] = last
    return numbers


def _best_match(person: Person, tracked: TrackedSegment) -> TrackedFace | None:
    """The face in the best frame of a person that overlaps its box, if any."""
    frames = (frame for frame in tracked.frames if frame.pts == person.best_pts)
    faces = [face for frame in frames for face in frame.faces]
    if not faces:
        return None
    overlaps = iou(np.array([face.box for face in faces]), np.array([person.best_box]))[:, 0]
    best = int(np.argmax(overlaps))
    return faces[best] if overlaps[best] >= SAME_FACE else None
