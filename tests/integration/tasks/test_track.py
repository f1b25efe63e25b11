"""Person tracking as a task: readiness, continuation, failure, and the looks that wait for it."""

import base64
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.clips import make_portrait_clip
from facepaint.client import Client
from facepaint.errors import InputError, PartialProgress, UsageError
from facepaint.jobs.maintenance import resume_job
from facepaint.jobs.people import request_people
from facepaint.jobs.repaint import repaint
from facepaint.jobs.status import job_status
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.looks.selection import FaceSelection
from facepaint.queue import PRIORITIES, QUEUES, Queue
from facepaint.records import keys
from facepaint.records.faces import Faces
from facepaint.records.results import Claim, Failed, Painted
from facepaint.records.tracks import People, Person, TrackedSegment
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.paint import run_paint
from tasks.portraits import plain_portrait, run_portraits
from tasks.track import run_track
from tests.support.media_compare import read_video
from viewer.save.video import save_video

SEGMENTS = 3

KEEP_1 = parse_look(["fill"], FaceSelection(keep=(1,)))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people; the second leaves to the right."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_portrait_clip(path, seconds=SEGMENTS, size=(320, 180), fps=15, gop=15, audio=None)


@pytest.fixture
def context(store: Store, queue: Queue, settings: Settings) -> WorkerContext:
    return WorkerContext(store, queue, settings.model_copy(update={"segment_s": 1.0}))


@pytest.fixture(scope="module")
def detections() -> list[bytes]:
    """The faces of each segment of the clip, once a test has detected them."""
    return []


@pytest.fixture
def detected(clip: Path, detections: list[bytes], context: WorkerContext) -> str:
    """A job with one look that selects people, all of its faces detected; its messages are
    dropped."""
    job_id = Client(context.settings).upload(clip, KEEP_1).job_id
    if not detections:
        for index in range(SEGMENTS):
            run_detect(context, job_id, index)
            detections.append(context.store.get(keys.faces(job_id, index)))
    for index, faces in enumerate(detections):
        context.store.put(keys.faces(job_id, index), faces)
    take(context.queue)
    return job_id


def take(queue: Queue) -> list[tuple[str, int | None]]:
    """Every waiting message, task and segment, sorted; the queues are empty afterwards."""
    messages: set[tuple[str, int | None]] = set()
    with queue.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        for name in QUEUES:
            for step in range(PRIORITIES):
                while raw := channel.client.rpop(channel._q_for_pri(name, step)):
                    message = json.loads(raw)
                    body = json.loads(base64.b64decode(message["body"]))[1]
                    messages.add(
                        (message["headers"]["task"].removeprefix("facepaint."), body.get("index"))
                    )
    return sorted(messages, key=str)


def paints() -> list[tuple[str, int | None]]:
    return [("paint", index) for index in range(SEGMENTS)]


def painted(context: WorkerContext, job_id: str, index: int, look: Look = KEEP_1) -> Painted | None:
    return context.store.find_record(keys.painted(job_id, look.id, index), Painted)


def people_of(context: WorkerContext, job_id: str) -> People:
    return context.store.get_record(keys.tracks(job_id), People)


def tracks_of(context: WorkerContext, job_id: str) -> list[bytes]:
    return [context.store.get(keys.tracked(job_id, index)) for index in range(SEGMENTS)]


def test_a_look_that_names_people_waits_for_tracking(clip: Path, context: WorkerContext) -> None:
    job_id = Client(context.settings).upload(clip, KEEP_1).job_id
    other = repaint(context.store, context.queue, job_id, parse_look(["crown"]))
    take(context.queue)
    for index in (2, 0):
        run_detect(context, job_id, index)
    assert run_track(context, job_id) is None, "detection has not ended"
    assert take(context.queue) == []
    run_detect(context, job_id, 1)
    assert take(context.queue) == [*paints(), ("track", None)], (
        "the look that selects no people is painted"
    )
    run_paint(context, job_id, 0, KEEP_1.id)
    assert painted(context, job_id, 0) is None
    assert take(context.queue) == [("track", None)], "what is lost is asked for again"
    run_paint(context, job_id, 0, other)
    assert painted(context, job_id, 0, parse_look(["crown"])) is not None
    assert run_track(context, job_id) is not None
    segments = {person.best_segment for person in people_of(context, job_id).people}
    assert take(context.queue) == [*paints(), *(("portraits", index) for index in sorted(segments))]
    assert run_track(context, job_id) is None, "it stands"


def test_kept_people_stay_and_the_others_are_covered(
    context: WorkerContext, detected: str, clip: Path, tmp_path: Path
) -> None:
    run_track(context, detected)
    assert [person.number for person in people_of(context, detected).confident] == [1, 2]
    for index in range(SEGMENTS):
        run_paint(context, detected, index, KEEP_1.id)
    save_video(context.store, detected, KEEP_1.id, tmp_path / "kept.mp4")
    before, after = read_video(clip), read_video(tmp_path / "kept.mp4")
    frames = [
        (frame, face)
        for index in range(SEGMENTS)
        for frame in context.store.get_record(keys.tracked(detected, index), TrackedSegment).frames
        for face in frame.faces
        if face.row is not None and face.score > 0.6
    ]
    assert {face.person for _, face in frames} == {1, 2}
    for frame, face in frames:
        number = before.times.index(frame.pts * before.time_base)
        x1, y1, x2, y2 = (max(0, round(side)) for side in face.box)
        there, here = (video.luma[number][y1:y2, x1:x2].astype(int) for video in (before, after))
        changed = float((np.abs(there - here) > 30).mean())
        assert changed < 0.02 if face.person == 1 else changed > 0.3, (number, face.person, changed)


def test_tracking_continues_over_several_messages(context: WorkerContext, detected: str) -> None:
    run_track(context, detected)
    whole = tracks_of(context, detected), people_of(context, detected)
    context.store.delete(keys.tracks(detected))
    for index in range(SEGMENTS):
        context.store.delete(keys.tracked(detected, index))
    context.tracking_attempt_s, context.tracking_batch = -1.0, 1
    messages = 0
    while not context.store.exists(keys.tracks(detected)):
        messages += 1
        try:
            run_track(context, detected)
        except PartialProgress:
            assert not list(context.store.list(f"{keys.prefix(detected)}claims/")), (
                "no claim is left"
            )
        if messages == 3:
            context.tracking = None  # the next message goes to another process
    assert messages == 3 + SEGMENTS + 1 + SEGMENTS + 1, (
        "read, read again elsewhere, numbered, written, ended"
    )
    assert (tracks_of(context, detected), people_of(context, detected)) == whole


def crashed(context: WorkerContext, job_id: str) -> None:
    """Tracking killed as many workers as it may."""
    ago = datetime.now(UTC) - timedelta(seconds=1000)
    context.store.put_record(
        keys.claim(job_id, "track", 0), Claim("dead", context.settings.max_tries, ago)
    )


def test_failed_tracking_covers_everyone_until_it_is_retried(
    context: WorkerContext, detected: str
) -> None:
    crashed(context, detected)
    run_track(context, detected)
    reason = context.store.get_record(keys.tracks_failed(detected), Failed).reason
    assert take(context.queue) == paints()
    run_paint(context, detected, 0, KEEP_1.id)
    record = painted(context, detected, 0)
    assert record is not None
    assert record.notes == (f"every face is redacted: person tracking failed ({reason})",)
    with pytest.raises(Exception, match="person tracking failed"):
        request_people(context.store, context.queue, detected)

    resume_job(context.store, context.queue, detected)
    assert take(context.queue) == [("track", None)]
    run_track(context, detected)
    run_paint(context, detected, 0, KEEP_1.id)
    again = painted(context, detected, 0)
    assert again is not None
    assert again.notes == ()


def test_a_sticker_for_one_person_fails_if_tracking_failed(
    context: WorkerContext, detected: str
) -> None:
    look = parse_look(["dog@2"])
    repaint(context.store, context.queue, detected, look)
    crashed(context, detected)
    run_track(context, detected)
    run_paint(context, detected, 0, look.id)
    failed = context.store.get_record(keys.painted_failed(detected, look.id, 0), Failed)
    assert failed.reason == (
        f"person tracking failed for job {detected}: its worker died or hung 3 times; "
        f"`facepaint resume {detected}` retries it"
    )


def test_people_keep_their_numbers_when_a_part_is_detected_again(
    context: WorkerContext, detected: str
) -> None:
    """``--keep 1`` must keep its meaning."""
    faces = context.store.get(keys.faces(detected, 0))
    context.store.delete(keys.faces(detected, 0))
    context.store.put_record(keys.faces_failed(detected, 0), Failed(0, "its worker died", 3))
    run_track(context, detected)
    take(context.queue)
    before = people_of(context, detected)
    # As if they had been numbered the other way round.
    swapped = People(tuple(p for p in _renumbered(before)), before.segments)
    context.store.put_record(keys.tracks(detected), swapped)
    resume_job(context.store, context.queue, detected)
    assert not context.store.exists(keys.tracks(detected))
    assert take(context.queue) == [("detect", 0)]
    context.store.put(keys.faces(detected, 0), faces)
    run_track(context, detected)
    after = people_of(context, detected)
    assert [person.number for person in after.confident] == [1, 2]
    middles = {p.number: (p.best_box[0] + p.best_box[2]) / 2 for p in after.confident}
    assert middles[1] > middles[2], "number 1 is the person on the right"
    for person in after.confident:
        frames = context.store.get_record(
            keys.tracked(detected, person.best_segment), TrackedSegment
        ).frames
        (frame,) = (frame for frame in frames if frame.pts == person.best_pts)
        (face,) = (face for face in frame.faces if face.person == person.number)
        assert abs((face.box[0] + face.box[2]) / 2 - middles[person.number]) < 10
    assert not context.store.exists(keys.tracks_before(detected))


def _renumbered(people: People) -> list[Person]:
    numbers = {1: 2, 2: 1}
    renumbered = (
        replace(person, number=numbers.get(person.number, person.number))
        for person in people.people
    )
    return sorted(renumbered, key=lambda person: person.number)


def test_faces_detected_again_in_another_order_have_no_person(
    context: WorkerContext, detected: str
) -> None:
    run_track(context, detected)
    record = context.store.get_record(keys.faces(detected, 1), Faces)
    context.store.put_record(
        keys.faces(detected, 1), Faces(1, record.frames, record.detector, "another", worker="late")
    )
    run_paint(context, detected, 1, KEEP_1.id)
    made = painted(context, detected, 1)
    assert made is not None
    assert made.notes == ("some faces were detected again after tracking: their person is unknown",)


@pytest.mark.slow
def test_portraits_show_faces(context: WorkerContext, detected: str) -> None:
    run_track(context, detected)
    people = people_of(context, detected)
    source = context.store.get(keys.source(detected, people.people[1].best_segment))
    context.store.put(keys.source(detected, people.people[1].best_segment), b"\0" * len(source))
    for index in range(SEGMENTS):
        run_portraits(context, detected, index)
    portraits = [
        context.store.get(keys.portrait(detected, person.number)) for person in people.people
    ]
    for data in portraits:
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == ("JPEG", (160, 160))
    damaged = [person.best_segment == people.people[1].best_segment for person in people.people]
    assert [data == plain_portrait() for data in portraits] == damaged
    assert not list(context.store.list(f"{keys.prefix(detected)}claims/"))


def test_another_look_is_painted_from_the_stored_faces(
    context: WorkerContext, detected: str
) -> None:
    look = parse_look(["crown", "fill@2"])
    assert repaint(context.store, context.queue, detected, look) == look.id
    assert take(context.queue) == [("track", None)]
    run_track(context, detected)
    take(context.queue)
    for index in range(SEGMENTS):
        run_paint(context, detected, index, look.id)
    assert repaint(context.store, context.queue, detected, look) == look.id
    assert take(context.queue) == [], "the same look again is no second one"
    assert len(job_status(context.store, detected).looks) == 2
    repaint(context.store, context.queue, detected, parse_look(["mosaic"]))
    assert take(context.queue) == paints()
    with pytest.raises(UsageError, match=r"has no person 7: it has 2 people, 1 to 2, "):
        repaint(context.store, context.queue, detected, parse_look(["dog@7"]))


@pytest.mark.slow
def test_a_look_requested_during_detection(clip: Path, context: WorkerContext) -> None:
    job_id = Client(context.settings).upload(clip, ["sunglasses"]).job_id
    take(context.queue)
    run_detect(context, job_id, 0)
    look = parse_look(["blur"], FaceSelection(only=(2,)))
    repaint(context.store, context.queue, job_id, look)
    assert take(context.queue) == []
    run_detect(context, job_id, 1)
    run_detect(context, job_id, 2)
    assert take(context.queue) == [*paints(), ("track", None)]


def test_a_look_of_another_version_does_not_stop_the_others(
    context: WorkerContext, detected: str
) -> None:
    context.store.put(keys.look(detected, "0" * 12), b'{"schema": 2}')
    run_detect(context, detected, 1)
    assert take(context.queue) == [*paints(), ("track", None)]


def test_people_are_tracked_on_request(context: WorkerContext, clip: Path, tmp_path: Path) -> None:
    """A look that selects no people needs no tracking."""
    job_id = Client(context.settings).upload(clip, ["sunglasses"]).job_id
    for index in range(SEGMENTS):
        assert request_people(context.store, context.queue, job_id) is None
        run_detect(context, job_id, index)
    assert "track" not in {task for task, _ in take(context.queue)}
    assert request_people(context.store, context.queue, job_id) is None
    assert take(context.queue) == [("track", None)]
    run_track(context, job_id)
    people = request_people(context.store, context.queue, job_id)
    assert people is not None
    assert len(people.confident) == 2
    assert "paint" not in {task for task, _ in take(context.queue)}

    Image.new("RGB", (64, 48)).save(tmp_path / "one.png")
    images = Client(context.settings).upload_images([tmp_path / "one.png"], ["blur"]).job_id
    with pytest.raises(InputError, match="is a list of images"):
        request_people(context.store, context.queue, images)
    with pytest.raises(UsageError, match="people in images have no numbers"):
        Client(context.settings).upload_images([tmp_path / "one.png"], KEEP_1)
    with pytest.raises(InputError, match="--region selects a part of each image"):
        repaint(context.store, context.queue, images, KEEP_1)


@pytest.mark.slow
def test_a_deleted_job_leaves_no_tracks(context: WorkerContext, detected: str) -> None:
    class DeletedMeanwhile(Store):
        def put_record(self, key: str, record: object) -> None:
            if isinstance(record, People):
                Client(context.settings).delete(detected)
            super().put_record(key, record)

    run_track(replace(context, store=DeletedMeanwhile(context.settings)), detected)
    assert not [row.key for row in context.store.list(keys.prefix(detected))]
