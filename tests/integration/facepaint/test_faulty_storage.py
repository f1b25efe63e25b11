"""A storage that refuses many requests, or whose answers are damaged on the way."""

import random
from pathlib import Path

import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.client import Client
from facepaint.errors import ObjectDamaged, RecordInvalid, StoreUnreachable
from facepaint.jobs.maintenance import resume_job
from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import Sealed
from facepaint.records.results import Painted
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.paint import run_paint
from tests.support.faulty_proxy import Faults, faulty_proxy

SEGMENTS = 3
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""Of the bytes ``abc``."""


def behind(settings: Settings, endpoint: str) -> Store:
    return Store(settings.model_copy(update={"s3_endpoint": endpoint}))


def test_a_third_of_requests_may_fail(settings: Settings, store: Store) -> None:
    chance = random.Random(1)
    faults = Faults(refuse=lambda _: chance.random() < 1 / 3)
    with faulty_proxy(store.endpoint, faults) as endpoint:
        unreliable = behind(settings, endpoint)
        for number in range(60):
            unreliable.put(f"jobs/x/{number:03d}", b"abc")
        assert [row.bytes for row in unreliable.list("jobs/x/")] == [3] * 60
        assert all(unreliable.get(f"jobs/x/{number:03d}") == b"abc" for number in range(60))
        assert unreliable.exists("jobs/x/000")
    assert faults.refused > 40


def test_a_storage_that_refuses_everything_is_an_error(settings: Settings, store: Store) -> None:
    faults = Faults(refuse=lambda _: True)
    message = r"refused \(503\) for a; `facepaint doctor`"
    with (
        faulty_proxy(store.endpoint, faults) as endpoint,
        pytest.raises(StoreUnreachable, match=message),
    ):
        behind(settings, endpoint).get("a")
    assert faults.refused == store.retry.attempts


def test_bytes_damaged_on_the_way_are_read_again(settings: Settings, store: Store) -> None:
    store.put("a", b"abc")
    bodies = iter([b"abd", b"ab", b"abc"])
    with faulty_proxy(store.endpoint, Faults(damage=lambda *_: next(bodies))) as endpoint:
        assert behind(settings, endpoint).get_verified("a", SHA256) == b"abc"
    with (
        faulty_proxy(store.endpoint, Faults(damage=lambda *_: b"abd")) as endpoint,
        pytest.raises(ObjectDamaged, match=r"^a is damaged in the storage"),
    ):
        behind(settings, endpoint).get_verified("a", SHA256)


def test_a_record_damaged_on_the_way_is_read_again(settings: Settings, store: Store) -> None:
    store.put_record("a", Sealed(3))
    stored = store.get("a")
    bodies = iter([stored[:-2], stored])
    with faulty_proxy(store.endpoint, Faults(damage=lambda *_: next(bodies))) as endpoint:
        assert behind(settings, endpoint).get_record("a", Sealed) == Sealed(3)
    store.put("a", stored[:-2])
    with pytest.raises(RecordInvalid):
        store.get_record("a", Sealed)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_portrait_clip(
        tmp_path_factory.mktemp("faulty") / "clip.mp4", seconds=SEGMENTS, size=(320, 180), gop=30
    )


@pytest.mark.parametrize("filters", [["fill"], ["sunglasses"]], ids=lambda value: value[0])
def test_resume_repairs_what_was_painted_without_faces(
    filters: list[str], clip: Path, settings: Settings, store: Store, queue: Queue
) -> None:
    """The source of one segment is damaged while it is detected, and intact later."""
    settings = settings.model_copy(update={"segment_s": 1.0})
    look = parse_look(filters)
    job_id = Client(settings).upload(clip, filters).job_id
    damaged = keys.source(job_id, 1)

    def damage(path: str, body: bytes) -> bytes:
        return body[:-1] if path.endswith(damaged) else body

    with faulty_proxy(store.endpoint, Faults(damage=damage)) as endpoint:
        run_detect(WorkerContext(behind(settings, endpoint), queue, settings), job_id, 1)
    assert store.exists(keys.faces_failed(job_id, 1))
    context = WorkerContext(store, queue, settings)
    for index in (0, 2):
        run_detect(context, job_id, index)
    for index in range(SEGMENTS):
        run_paint(context, job_id, index, look.id)
    # The segments beside it were painted without its faces, too.
    painted = [store.get_record(keys.painted(job_id, look.id, n), Painted) for n in range(SEGMENTS)]
    assert [record.without_faces for record in painted] == [(1,), (1,), (1,)]
    resume_job(store, queue, job_id)
    assert not store.exists(keys.faces_failed(job_id, 1))
    run_detect(context, job_id, 1)
    for index in range(SEGMENTS):
        run_paint(context, job_id, index, look.id)
    repaired = [
        store.get_record(keys.painted(job_id, look.id, n), Painted) for n in range(SEGMENTS)
    ]
    assert [record.without_faces for record in repaired] == [()] * SEGMENTS
    assert repaired[1].faces > painted[1].faces
    assert not repaired[1].notes
    assert resume_job(store, queue, job_id).state == "complete"


def test_resume_repairs_a_result_that_was_stored_during_an_earlier_resume(
    clip: Path, settings: Settings, store: Store, queue: Queue
) -> None:
    """A paint task that read the failed mark before `resume` removed it may store its result
    later."""
    settings = settings.model_copy(update={"segment_s": 1.0})
    look = parse_look(["sunglasses"])
    job_id = Client(settings).upload(clip, ["sunglasses"]).job_id
    context = WorkerContext(store, queue, settings)
    for index in range(SEGMENTS):
        run_detect(context, job_id, index)
        run_paint(context, job_id, index, look.id)
    for index in range(SEGMENTS):
        run_paint(context, job_id, index, look.id)
    key = keys.painted(job_id, look.id, 1)
    body = store.get(key).replace(b'"without_faces":[]', b'"without_faces":[1]')
    store.put(key, body)
    assert store.get_record(key, Painted).without_faces == (1,)
    assert resume_job(store, queue, job_id).keys.painted[look.id] == {0, 2}
