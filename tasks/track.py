"""The link task: who is where in a whole job, once every segment was looked at; then a portrait of
each person.

Linking reads all that was found. What one attempt does not get done is a message of its own, and
the process keeps how far it has come; another process begins anew and comes as far itself.
``tracks.json`` is written last.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from time import monotonic

from facepaint.errors import PartialProgress
from facepaint.jobs.readiness import SegmentIndex, tracking_ended
from facepaint.jobs.state import JobKeys
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.codec import decode
from facepaint.records.faces import Faces
from facepaint.records.job import VideoJob
from facepaint.records.tracks import People, Person, TrackedFace, TrackedSegment
from facepaint.store import ObjectInfo, Store
from tasks.context import StoredBins, WorkerContext, attempt, claimed, removed_if_deleted
from tasks.detector_cache import card_of
from tasks.portraits import plain_portrait, portraits_of
from tasks.tracking.people import Identities
from tasks.tracking.tracker import working_point

log = logging.getLogger(__name__)

ATTEMPT_S = 40.0
"""How long one attempt goes on reading or writing: within a task's time limit what lies between has
its time."""

TOGETHER = 16
"""Segments read or written at once."""

ANGLES = ("yaw", "pitch", "roll")

SAME_FACE = 0.5
"""Two boxes in one frame are of one face from this IoU on."""


Found = frozenset[ObjectInfo]
"""What is stored of a job's faces, as listed: other faces have other times."""


@dataclass(slots=True)
class TrackingRun:
    """The linking of one job by the faces ``found``, as far as this process has come with it."""

    job_id: str
    found: Found
    segments: int
    identities: Identities
    digests: list[str] = field(default_factory=list)
    people: People | None = None
    numbers: dict[int, int] = field(default_factory=dict)
    written: int = 0

    def go_on(self, store: Store) -> People:
        """Read all that was found, write who is where in each segment; the people, whose record the
        caller writes.

        Raises:
            NotYet: this took too long for one attempt.
        """
        until = monotonic() + ATTEMPT_S
        while len(self.digests) < self.segments:
            indexes = range(len(self.digests), min(len(self.digests) + TOGETHER, self.segments))
            for index, data in zip(indexes, in_parallel(self._read(store), indexes), strict=True):
                self._add(index, data)
            self._pause(until, f"read up to segment {indexes[-1]}")
        if self.people is None:
            self.people = self._numbered(store)
            self._pause(until, "people numbered")
        while self.written < self.segments:
            indexes = range(self.written, min(self.written + TOGETHER, self.segments))
            records = [self._tracked(index) for index in indexes]
            in_parallel(
                lambda one: store.put_record(keys.tracked(self.job_id, one.index), one), records
            )
            self.written = indexes[-1] + 1
            self._pause(until, f"written up to segment {indexes[-1]}")
        return self.people

    def _read(self, store: Store) -> Callable[[int], bytes | None]:
        return lambda index: store.find(keys.faces(self.job_id, index))

    def _add(self, index: int, data: bytes | None) -> None:
        if data is None:  # given up: nobody is known there
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
            raise PartialProgress(f"linking job {self.job_id}: {what}")

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


_kept: TrackingRun | None = None
"""The linking that this process did not get done."""


def run_track(context: WorkerContext, job_id: str, redelivered: bool = False) -> People | None:
    """The link task: who is where in a job, then wake the looks that wait for it and have portraits
    made.

    Nothing happens before every segment was looked at. Returns the record if one was made.
    """
    known = context.job(job_id)
    if known is None:
        return None
    job, timeline = known
    if not isinstance(job, VideoJob):
        return None
    store = context.store
    found = JobKeys.read(row.key for row in store.list(keys.prefix(job_id)))
    if not found.detection_finished or timeline.segments is None:
        return None
    segments, people = timeline.segments, None
    if not tracking_ended(store, job_id):
        with claimed(context, job_id, "track", 0, None, redelivered) as claim:
            if claim is None:
                return None
            failed = keys.tracks_failed(job_id)
            people = attempt(context, claim, failed, 0, lambda: _track(store, job, segments))
            if people is not None:
                store.put_record(keys.tracks(job_id), people)
                store.delete(keys.tracks_before(job_id))
    written = (keys.tracked(job_id, index) for index in range(segments))
    if not removed_if_deleted(
        context, job_id, (keys.tracks(job_id), keys.tracks_failed(job_id), *written)
    ):
        _enqueue_looks(context, job_id, timeline)
        _enqueue_portraits(context, job_id)
    return people


def _track(store: Store, job: VideoJob, segments: int) -> People:
    global _kept
    linking, _kept = _kept, None
    found = _found(store, job.id)
    if linking is None or (linking.job_id, linking.segments, linking.found) != (
        job.id,
        segments,
        found,
    ):
        card = card_of(job.detector)
        point, sure = working_point(True, card), working_point(False, card).seed
        linking = TrackingRun(job.id, found, segments, Identities(job.video.time_base, point, sure))
    try:
        people = linking.go_on(store)
    except PartialProgress:
        _kept = linking
        raise
    if _found(store, job.id) != found:
        raise PartialProgress(f"linking job {job.id}: some of its faces are looked for again")
    return people


def _found(store: Store, job_id: str) -> Found:
    return frozenset(store.list(keys.all_faces(job_id)))


def _enqueue_looks(context: WorkerContext, job_id: str, timeline: SegmentIndex) -> None:
    """Queue the painting of every look that names people: everything has faces, so all of it is
    ready."""
    # Listed after the record was written: who adds a look meanwhile sees that, or is seen here.
    found = JobKeys.read(row.key for row in context.store.list(keys.prefix(job_id)))
    for look in filter(timeline.selects_people, found.looks):
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


def run_portraits(
    context: WorkerContext, job_id: str, index: int, redelivered: bool = False
) -> int:
    """The portraits task: those of the people who are seen best in one segment; returns how many
    were made."""
    known = context.job(job_id)
    people = context.store.find_record(keys.tracks(job_id), People)
    if known is None or people is None:
        return 0
    job, timeline = known
    if not isinstance(job, VideoJob):
        return 0
    store, settings = context.store, context.settings
    here = [person for person in people.portrayed if person.best_segment == index]
    wanted = [person for person in here if not store.exists(keys.portrait(job_id, person.number))]
    if not wanted:
        return 0

    def make() -> dict[int, bytes]:
        run = timeline.run(index)
        return portraits_of(job, run, StoredBins(store, job_id, run), wanted, settings.threads)

    def plain() -> dict[int, bytes]:
        return {person.number: plain_portrait() for person in wanted}

    with claimed(context, job_id, "portraits", index, None, redelivered) as claim:
        if claim is None:
            return 0
        made = (
            attempt(context, claim, keys.portraits_failed(job_id, index), index, make, plain) or {}
        )
        for number, data in made.items():
            store.put(keys.portrait(job_id, number), data, "image/jpeg")
    removed_if_deleted(context, job_id, [keys.portrait(job_id, number) for number in made])
    return len(made)


def same_numbers(
    before: People, people: Iterable[Person], segment: Callable[[int], TrackedSegment]
) -> dict[int, int]:
    """The numbers of people who were known before, by those they have now; whoever is new gets one
    that nobody had.

    A look that names somebody must go on to mean the same face when a part of the job was looked at
    again.

    Args:
        segment: who is where now in the segment of an index, by the new numbers.
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
