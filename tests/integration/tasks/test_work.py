"""Detect and paint as tasks: readiness, claims, failures, deletion, with a real storage."""

import base64
import contextlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import redis
import skimage.data
from PIL import Image

from benchmarks.clips import make_portrait_clip
from facepaint.client import Client
from facepaint.errors import EncoderMissing, PartialProgress, StoreUnreachable
from facepaint.jobs.readiness import SegmentIndex
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.media.encoders import ENCODERS
from facepaint.queue import DETECT, KEY_PREFIX, PRIORITIES, QUEUES, Queue
from facepaint.records import keys
from facepaint.records.faces import Faces
from facepaint.records.job import JobRecord, Sealed
from facepaint.records.results import Claim, Failed, Painted, WorkerInfo
from facepaint.records.segment import Segment
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.paint import run_paint
from tasks.video.decode import DecoderPool
from tasks.video.encoder_options import is_available
from tasks.worker import make_worker

SEGMENTS = 4


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_portrait_clip(
        tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SEGMENTS, size=(320, 180), gop=30
    )


@pytest.fixture
def context(store: Store, queue: Queue, settings: Settings) -> WorkerContext:
    return WorkerContext(store, queue, settings.model_copy(update={"segment_s": 1.0}))


@pytest.fixture
def uploaded(clip: Path, context: WorkerContext) -> str:
    """A job of four segments of a second, not yet detected; its messages are dropped."""
    job_id = Client(context.settings).upload(clip, ["sunglasses"]).job_id
    drain(context)
    return job_id


LOOK = parse_look(["sunglasses"])


def drain(context: WorkerContext) -> list[tuple[str, int]]:
    """Take every waiting message off the broker: task and segment, in no order."""
    assert context.settings.broker_url is not None
    found = []
    with redis.Redis.from_url(context.settings.broker_url.get_secret_value()) as broker:
        for queue in QUEUES:
            for step in range(PRIORITIES):
                name = KEY_PREFIX + (queue if step == 0 else f"{queue}:{step}")
                while (raw := broker.rpop(name)) is not None:
                    message = json.loads(raw)  # type: ignore[arg-type]
                    body = json.loads(base64.b64decode(message["body"]))
                    found.append(
                        (message["headers"]["task"].removeprefix("facepaint."), body[1]["index"])
                    )
    return sorted(found)


def painted(context: WorkerContext, job_id: str, index: int, look: Look = LOOK) -> Painted | None:
    return context.store.find_record(keys.painted(job_id, look.id, index), Painted)


def test_a_segment_is_painted_once_its_neighbours_have_faces(
    context: WorkerContext, uploaded: str
) -> None:
    run_detect(context, uploaded, 0)
    assert drain(context) == []
    run_paint(context, uploaded, 0, LOOK.id)
    assert painted(context, uploaded, 0) is None, "its neighbour has no faces yet"
    run_detect(context, uploaded, 1)
    assert drain(context) == [("paint", 0)], "the second waits for the third"
    run_paint(context, uploaded, 0, LOOK.id)
    record = painted(context, uploaded, 0)
    assert record is not None
    assert (record.frames, record.blank) == (30, False)
    assert record.faces >= 30
    assert context.store.exists(keys.painted_data(uploaded, LOOK.id, record.name))


def test_detecting_every_segment_queues_all_painting(context: WorkerContext, uploaded: str) -> None:
    for index in (3, 1, 0, 2):
        run_detect(context, uploaded, index)
    assert sorted(set(drain(context))) == [("paint", index) for index in range(SEGMENTS)]


def test_stored_faces_are_not_detected_again_but_painting_is_queued(
    context: WorkerContext, uploaded: str
) -> None:
    for index in range(SEGMENTS):
        run_detect(context, uploaded, index)
    drain(context)
    before = context.store.get(keys.faces(uploaded, 1))
    assert run_detect(context, uploaded, 1) is None
    assert context.store.get(keys.faces(uploaded, 1)) == before
    assert drain(context) == [("paint", 0), ("paint", 1), ("paint", 2)]


def test_painting_twice_changes_nothing(context: WorkerContext, uploaded: str) -> None:
    for index in range(SEGMENTS):
        run_detect(context, uploaded, index)
    run_paint(context, uploaded, 2, LOOK.id)
    first = painted(context, uploaded, 2)
    assert run_paint(context, uploaded, 2, LOOK.id) is None
    assert painted(context, uploaded, 2) == first


def test_a_claim_is_removed_after_an_orderly_end(context: WorkerContext, uploaded: str) -> None:
    run_detect(context, uploaded, 0)
    assert not list(context.store.list(f"{keys.prefix(uploaded)}claims/"))


def test_a_message_that_finds_a_recent_claim_does_nothing(
    context: WorkerContext, uploaded: str
) -> None:
    context.store.put_record(
        keys.claim(uploaded, "detect", 0), Claim("other", 1, datetime.now(UTC))
    )
    run_detect(context, uploaded, 0)
    assert not context.store.exists(keys.faces(uploaded, 0))


@pytest.mark.parametrize("old", [False, True], ids=["handed out again", "the owner is long gone"])
def test_a_claim_whose_owner_died_counts_as_an_attempt(
    context: WorkerContext, uploaded: str, old: bool
) -> None:
    at = datetime.now(UTC) - timedelta(seconds=1000 if old else 1)
    context.store.put_record(keys.claim(uploaded, "detect", 0), Claim("dead", 2, at))
    run_detect(context, uploaded, 0, redelivered=not old)
    assert context.store.exists(keys.faces(uploaded, 0)), "the third try is still made"
    context.store.put_record(keys.claim(uploaded, "detect", 1), Claim("dead", 3, at))
    run_detect(context, uploaded, 1, redelivered=not old)
    failed = context.store.get_record(keys.faces_failed(uploaded, 1), Failed)
    assert failed.reason == "its worker died or hung 3 times"


@pytest.mark.parametrize("redelivered", [False, True])
def test_a_crash_stays_counted_when_the_next_attempt_only_makes_progress(
    context: WorkerContext, tmp_path: Path, redelivered: bool
) -> None:
    """Otherwise a far segment that crashes its workers would be retried for ever."""
    clip = make_portrait_clip(tmp_path / "run.mp4", seconds=3, size=(160, 90), gop=9999, audio=None)
    job_id = Client(context.settings).upload(clip, ["sunglasses"]).job_id
    at = datetime.now(UTC) - timedelta(seconds=1000)
    context.store.put_record(keys.claim(job_id, "detect", 1), Claim("dead", 2, at))
    # Each look at the clock takes a second, so an attempt decodes few packets before the window.
    clock = iter(range(100_000))
    context.decoders = DecoderPool(lead_s=3, clock=lambda: next(clock))
    for _ in range(3):
        with pytest.raises(PartialProgress):
            run_detect(context, job_id, 1, redelivered)
    assert context.store.get_record(keys.claim(job_id, "detect", 1), Claim).tries == 2
    context.decoders = DecoderPool()
    run_detect(context, job_id, 1, redelivered)
    assert context.store.exists(keys.faces(job_id, 1)), "the next attempt succeeds"


def test_a_segment_that_cannot_be_decoded_fails_at_once(
    context: WorkerContext, uploaded: str
) -> None:
    garbage = b"\0" * context.store.get_record(keys.segment(uploaded, 1), Segment).bytes
    context.store.put(keys.source(uploaded, 1), garbage)
    run_detect(context, uploaded, 1)
    assert (
        "sha256 differs" in context.store.get_record(keys.faces_failed(uploaded, 1), Failed).reason
    )
    run_detect(context, uploaded, 0)
    assert ("paint", 0) in drain(context), "the other segments are painted"


def test_a_segment_waits_for_those_that_it_is_decoded_from(
    context: WorkerContext, tmp_path: Path
) -> None:
    """Decoded without it, its frames would be wrong, and faces in them missed."""
    clip = make_portrait_clip(tmp_path / "run.mp4", seconds=3, size=(160, 90), gop=9999, audio=None)
    job_id = Client(context.settings).upload(clip, ["blur"]).job_id
    missing = context.store.get(keys.segment(job_id, 0))
    context.store.delete(keys.segment(job_id, 0))
    run_detect(context, job_id, 1)
    run_detect(context, job_id, 1, redelivered=True)
    assert not list(context.store.list(f"{keys.prefix(job_id)}faces/"))
    assert not list(context.store.list(f"{keys.prefix(job_id)}claims/"))
    context.store.put(keys.segment(job_id, 0), missing)
    run_detect(context, job_id, 1)
    assert context.store.exists(keys.faces(job_id, 1))


def test_of_most_segments_only_the_window_is_kept_in_memory(
    context: WorkerContext, uploaded: str
) -> None:
    """The packets of two hours take more memory than a client may have."""
    timeline = SegmentIndex(context.store, context.store.get_record(keys.job(uploaded), JobRecord))
    whole = context.store.get_record(keys.segment(uploaded, 2), Segment)
    assert whole.audio
    assert timeline.run(2) == [replace(whole, audio=())]
    window = timeline.segment(2)
    assert window is not None
    assert (window.start, window.end, window.packets, window.audio) == (
        whole.start,
        whole.end,
        (),
        (),
    )


def test_failed_segments_become_a_gap_or_a_blank(clip: Path, context: WorkerContext) -> None:
    for filters, redacts in ((["sunglasses"], False), (["blur"], True)):
        job_id = Client(context.settings).upload(clip, filters).job_id
        look = parse_look(filters)
        for index in range(SEGMENTS):
            run_detect(context, job_id, index)
        context.store.put(keys.source(job_id, 2), b"damaged")
        run_paint(context, job_id, 2, look.id)
        record = painted(context, job_id, 2, look)
        assert (record is not None and record.blank) == redacts
        assert context.store.exists(keys.painted_failed(job_id, look.id, 2)) == (not redacts)
        if record is not None:
            assert record.frames == 30


def test_a_segment_that_crashes_even_the_fallback_is_marked_as_failed(
    clip: Path, context: WorkerContext
) -> None:
    job_id = Client(context.settings).upload(clip, ["blur"]).job_id
    look = parse_look(["blur"])
    for index in range(SEGMENTS):
        run_detect(context, job_id, index)
    claim = keys.claim(job_id, "paint", 2, look.id)
    context.store.put_record(
        claim, Claim("dead", 2 * context.settings.max_tries, datetime.now(UTC))
    )
    assert run_paint(context, job_id, 2, look.id, redelivered=True) is None
    assert context.store.exists(keys.painted_failed(job_id, look.id, 2))


def test_a_deleted_job_is_not_worked_on(context: WorkerContext, uploaded: str) -> None:
    Client(context.settings).delete(uploaded)
    run_detect(context, uploaded, 0)
    run_paint(context, uploaded, 0, LOOK.id)
    assert not list(context.store.list(keys.prefix(uploaded)))


class DeletesMeanwhile(Store):
    """A store whose job is deleted by another client right before the first result is put."""

    def put_record(self, key: str, record: object) -> None:
        super().put_record(key, record)
        if isinstance(record, Faces):
            super().put(keys.deleted(key.split("/")[1]), b"deleted")


def test_a_job_deleted_during_a_task_leaves_nothing(context: WorkerContext, uploaded: str) -> None:
    store = DeletesMeanwhile(context.settings)
    run_detect(replace(context, store=store), uploaded, 0)
    assert not store.exists(keys.faces(uploaded, 0))
    assert drain(context) == []


def test_an_unreachable_service_marks_nothing_as_failed(
    context: WorkerContext, uploaded: str
) -> None:
    class Away(Store):
        def put_record(self, key: str, record: object) -> None:
            if isinstance(record, Faces):
                raise StoreUnreachable("the storage went away")
            super().put_record(key, record)

    with pytest.raises(StoreUnreachable):
        run_detect(replace(context, store=Away(context.settings)), uploaded, 0)
    assert not context.store.exists(keys.faces_failed(uploaded, 0))
    assert not list(context.store.list(f"{keys.prefix(uploaded)}claims/")), "an orderly end"
    run_detect(context, uploaded, 0)
    assert context.store.exists(keys.faces(uploaded, 0))


def test_another_look_is_painted_without_detecting_again(
    context: WorkerContext, uploaded: str
) -> None:
    for index in range(SEGMENTS):
        run_detect(context, uploaded, index)
    other = parse_look(["crown", "moustache"])
    context.store.put_record(keys.look(uploaded, other.id), other)
    for index in range(SEGMENTS):
        run_paint(context, uploaded, index, other.id)
    assert all(painted(context, uploaded, index, other) for index in range(SEGMENTS))


def test_reach_is_a_second_and_ends_with_the_sealed_job(
    context: WorkerContext, uploaded: str
) -> None:
    job = context.store.get_record(keys.job(uploaded), JobRecord)
    timeline = SegmentIndex(context.store, job)

    def reach(index: int) -> list[int] | None:
        found = timeline.reach(index)
        return None if found is None else [segment.index for segment in found]

    assert reach(0) == [0, 1]
    assert reach(2) == [1, 2, 3]
    assert reach(3) == [2, 3]
    context.store.delete(keys.sealed(uploaded))
    unsealed = SegmentIndex(context.store, job)
    assert unsealed.reach(3) is None, "there may be a next one"
    context.store.put_record(keys.sealed(uploaded), Sealed(SEGMENTS))
    assert unsealed.reach(3) is not None


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


def test_images_are_painted_and_keep_every_other_pixel(
    context: WorkerContext, portrait: Path
) -> None:
    job_id = Client(context.settings).upload_images([portrait], ["fill:colour=#00ff00"]).job_id
    look = parse_look(["fill:colour=#00ff00"])
    run_detect(context, job_id, 0)
    record = run_paint(context, job_id, 0, look.id)
    assert record is not None
    assert record.name.endswith(".png")
    data = context.store.get(keys.painted_data(job_id, look.id, record.name))
    after = np.asarray(Image.open(io.BytesIO(data)))
    before = np.asarray(Image.open(portrait))
    assert np.abs(after[120, 225].astype(int) - (0, 255, 0)).max() < 6, "the face is covered"
    assert (after[400:] == before[400:]).all(), "nothing else is touched"
    assert (after[:, :100] == before[:, :100]).all()


def test_every_frame_is_detected_whatever_the_look(context: WorkerContext, uploaded: str) -> None:
    run_detect(context, uploaded, 0)
    faces = context.store.get_record(keys.faces(uploaded, 0), Faces)
    assert {frame.status for frame in faces.frames} == {"detected"}


def test_a_missing_encoder_is_left_to_another_worker_or_named(
    clip: Path, context: WorkerContext
) -> None:
    """Another encoder would make segments that do not join with those of the workers that have the
    one asked for."""
    lacking = next(name for name in ENCODERS if not is_available(name))
    context = WorkerContext(
        context.store, context.queue, context.settings.model_copy(update={"encoder": lacking})
    )
    uploaded = Client(context.settings).upload(clip, ["sunglasses"])
    job_id = uploaded.job_id
    assert f"no running worker can encode with {lacking}: start one" in "".join(uploaded.warnings)
    for index in range(SEGMENTS):
        run_detect(context, job_id, index)
    able = WorkerInfo("able", datetime.now(UTC), "host", "cpu", ("libx264", lacking), QUEUES)
    context.store.put_record(keys.worker("able"), able)
    with pytest.raises(EncoderMissing, match=f"cannot encode with {lacking}"):
        run_paint(context, job_id, 0, LOOK.id)
    assert not context.store.exists(keys.painted_failed(job_id, LOOK.id, 0))
    assert not context.store.exists(keys.claim(job_id, "paint", 0, LOOK.id)), (
        "or three tries would be counted"
    )
    context.store.delete(keys.worker("able"))
    assert run_paint(context, job_id, 0, LOOK.id) is None
    failed = context.store.get_record(keys.painted_failed(job_id, LOOK.id, 0), Failed)
    assert failed.reason == f"no running worker can encode with {lacking}"


@pytest.mark.slow
def test_a_window_far_behind_its_keyframe_is_detected_in_several_attempts(
    context: WorkerContext, tmp_path: Path
) -> None:
    """An unfinished attempt is no failure: it leaves no claim and no mark, and the next one
    continues."""
    clip = make_portrait_clip(tmp_path / "run.mp4", seconds=6, size=(320, 180), gop=9999)
    uploaded = Client(context.settings).upload(clip, ["sunglasses"])
    job_id, last = uploaded.job_id, uploaded.segments - 1
    drain(context)
    clock = iter(range(100_000))
    context.decoders = DecoderPool(lead_s=40, clock=lambda: next(clock))
    attempts = 0
    while not context.store.exists(keys.faces(job_id, last)):
        attempts += 1
        with contextlib.suppress(PartialProgress):
            run_detect(context, job_id, last)
        assert not context.store.exists(keys.claim(job_id, "detect", last))
        assert not context.store.exists(keys.faces_failed(job_id, last))
    assert attempts > 1


@pytest.mark.slow
def test_one_process_reaches_the_far_windows_of_many_videos(
    context: WorkerContext, tmp_path: Path
) -> None:
    """It keeps fewer decoders than there are videos. Taking turns, none would be kept until its
    turn comes again."""
    uploads = []
    for number in range(3):
        path, options = tmp_path / f"{number}.mp4", {"crf": f"{30 + number}"}
        make_portrait_clip(path, seconds=6, size=(160, 90), gop=9999, audio=None, options=options)
        uploads.append(Client(context.settings).upload(path, ["sunglasses"]))
    drain(context)
    clock = iter(range(100_000))
    context.decoders = DecoderPool(kept=2, lead_s=40, clock=lambda: next(clock))
    worker = make_worker(context.settings, lambda *_: context)
    for upload in uploads:
        context.queue.detect(upload.job_id, upload.segments - 1)
    attempts = 0
    while (message := take_next(context)) is not None:
        attempts += 1
        assert attempts < 30
        worker.tasks[DETECT](**message)
    assert attempts > 2 * len(uploads), "else none of them was far"
    assert all(
        context.store.exists(keys.faces(upload.job_id, upload.segments - 1)) for upload in uploads
    )


def take_next(context: WorkerContext) -> dict[str, object] | None:
    """The message of a detect task that a worker would get next."""
    assert context.settings.broker_url is not None
    with redis.Redis.from_url(context.settings.broker_url.get_secret_value()) as broker:
        for step in range(PRIORITIES):
            raw = broker.rpop(KEY_PREFIX + (f"detect:{step}" if step else "detect"))
            if raw is not None:
                body = json.loads(base64.b64decode(json.loads(raw)["body"]))
                message: dict[str, object] = body[1]
                return message
    return None
