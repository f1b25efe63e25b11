"""People by number: unknown numbers, detections that change during tracking, lost messages."""

from dataclasses import replace

import pytest

from facepaint.client import Client
from facepaint.errors import PartialProgress, UsageError
from facepaint.jobs.maintenance import resume_job
from facepaint.jobs.repaint import repaint
from facepaint.looks.parser import parse_look
from facepaint.looks.selection import FaceSelection, parse_selection
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.faces import Candidate, Faces, FrameFaces
from facepaint.records.results import Failed
from facepaint.records.tracks import People, TrackedSegment
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.context import WorkerContext
from tasks.paint import people_for_look
from tasks.track import run_track
from tests.support.made_job import MadeJob, plain_job

LEFT, RIGHT = (40.0, 30.0, 120.0, 130.0), (200.0, 45.0, 264.0, 135.0)


@pytest.fixture
def context(store: Store, queue: Queue, settings: Settings) -> WorkerContext:
    return WorkerContext(store, queue, settings)


@pytest.fixture
def made(store: Store) -> MadeJob:
    """Two people who stand still, in two segments; detection has ended."""
    made = plain_job(store, 4.0).begin()
    made.upload(range(2))
    made.seal()
    for index in range(2):
        store.put_record(keys.faces(made.id, index), found_in(made, index))
    return made


def found_in(made: MadeJob, index: int) -> Faces:
    times = (pts for pts in made.times if made.cuts[index] <= pts < made.cuts[index + 1])
    faces = (Candidate(0.9, LEFT, ()), Candidate(0.9, RIGHT, ()))
    return Faces(index, tuple(FrameFaces(pts, faces=faces) for pts in times), "facepaint-1", "cpu")


def stored_faces(made: MadeJob) -> dict[int, str]:
    return {
        index: made.store.get_stored(keys.faces(made.id, index), Faces).sha256 for index in range(2)
    }


def test_an_unknown_person_to_redact_may_be_anybody(context: WorkerContext, made: MadeJob) -> None:
    """A look can be requested before people have numbers, and numbers can vanish after another
    detection."""
    run_track(context, made.id)
    redacting = parse_look(["blur"], FaceSelection(only=(7,)))
    person_of, notes = people_for_look(context.store, made.id, redacting, stored_faces(made))
    assert {person_of(made.times[0], row) for row in (0, 1)} == {None}, (
        "no identity is known, so every face is covered"
    )
    assert notes == ("every face is redacted: this video has no person 7",)
    for look in (parse_look(["blur"], FaceSelection(keep=(1, 7))), parse_look(["blur@2", "dog@7"])):
        person_of, notes = people_for_look(context.store, made.id, look, stored_faces(made))
        assert [person_of(made.times[0], row) for row in (0, 1)] == [1, 2]
        assert notes == ("this video has no person 7",)


def test_a_region_outside_the_frame_is_refused(context: WorkerContext, made: MadeJob) -> None:
    for region in ("320,0,10,10", "0,180,50%,50%", "100%,0,10%,10%"):
        with pytest.raises(UsageError, match="lies outside of the frame, which is 320x180 px"):
            repaint(
                context.store,
                context.queue,
                made.id,
                parse_look(["blur"], parse_selection(regions=[region])),
            )
    repaint(
        context.store,
        context.queue,
        made.id,
        parse_look(["blur"], parse_selection(regions=["319,179,500,500"])),
    )


def test_kept_progress_is_not_used_for_other_detections(
    context: WorkerContext, made: MadeJob
) -> None:
    """Another process ended the tracking; then a segment was detected again, and the first process
    starts anew."""
    store = context.store
    store.delete(keys.faces(made.id, 1))
    store.put_record(keys.faces_failed(made.id, 1), Failed(1, "its worker died", 3))
    attempt_s, context.tracking_attempt_s = context.tracking_attempt_s, -1.0
    with pytest.raises(PartialProgress):
        run_track(context, made.id)
    context.tracking_attempt_s = attempt_s
    resume_job(store, context.queue, made.id)
    store.put_record(keys.faces(made.id, 1), found_in(made, 1))
    run_track(context, made.id)
    assert store.get_record(keys.tracked(made.id, 1), TrackedSegment).faces
    assert [person.frames for person in store.get_record(keys.tracks(made.id), People).people] == [
        100,
        100,
    ]


def test_people_are_not_numbered_by_faces_that_are_detected_again(
    context: WorkerContext, made: MadeJob
) -> None:
    store = context.store
    store.delete(keys.faces(made.id, 1))
    store.put_record(keys.faces_failed(made.id, 1), Failed(1, "its worker died", 3))

    class ResumedMeanwhile(Store):
        def put_record(self, key: str, record: object) -> None:
            super().put_record(key, record)
            if isinstance(record, TrackedSegment) and record.index == 1:
                resume_job(self, context.queue, made.id)

    with pytest.raises(PartialProgress):
        run_track(replace(context, store=ResumedMeanwhile(context.settings)), made.id)
    assert not store.exists(keys.tracks(made.id))
    store.put_record(keys.faces(made.id, 1), found_in(made, 1))
    run_track(context, made.id)
    assert store.get_record(keys.tracked(made.id, 1), TrackedSegment).faces


def test_lost_portraits_are_requested_again(context: WorkerContext, made: MadeJob) -> None:
    run_track(context, made.id)
    context.queue.app.control.purge()
    client = Client(context.settings)
    assert client.portraits(made.id, [1, 2], poll_s=0.05, patience_s=0.5) == {}
    assert context.queue.length() == 1


def test_waiting_for_people_reads_painted_records_once(
    context: WorkerContext, made: MadeJob
) -> None:
    redacting = replace(made, filters=("blur",)).begin()
    redacting.paint(range(2))
    read: list[str] = []

    class ReadStore(Store):
        def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            read.append(key)
            return super().get(key, start, end)

    client = Client(context.settings)
    client.store = ReadStore(context.settings)
    rounds = iter(range(4))

    def track_at_last(_: object) -> None:
        if next(rounds) == 3:
            run_track(context, made.id)

    client.people(made.id, on_change=track_at_last, poll_s=0.0)
    assert len([key for key in read if "/painted/" in key]) == 2


def test_a_number_is_never_given_to_another_person(context: WorkerContext, made: MadeJob) -> None:
    """Two people who turn out to be one leave a number unused; a look may still name it."""
    store = context.store
    run_track(context, made.id)
    people = store.get_record(keys.tracks(made.id), People)
    store.put(keys.portrait(made.id, 2), b"of the person who had the number before")
    gone = replace(people, people=people.people[:1])
    store.put_record(keys.tracks(made.id), gone)
    store.delete(keys.faces(made.id, 1))
    store.put_record(keys.faces_failed(made.id, 1), Failed(1, "its worker died", 3))
    resume_job(store, context.queue, made.id)
    assert not store.exists(keys.portrait(made.id, 2))
    store.put_record(keys.faces(made.id, 1), found_in(made, 1))
    run_track(context, made.id)
    again = store.get_record(keys.tracks(made.id), People)
    assert ([person.number for person in again.people], again.given) == ([1, 3], 3)
