"""Stored records that are damaged, forged, missing or of another version end in a stated result for
their job, and do no harm to others."""

import json
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from facepaint.errors import FacepaintError, JobError, RecordInvalid
from facepaint.jobs.explain import why_waiting
from facepaint.jobs.maintenance import resume_job
from facepaint.jobs.status import find_job, job_status, list_jobs
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.results import Failed
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.paint import run_paint
from tasks.track import run_track
from tests.support.made_job import MadeJob, sealed_job
from viewer.follow import FollowOptions, follow


@pytest.fixture
def context(store: Store, queue: Queue, settings: Settings) -> WorkerContext:
    return WorkerContext(store, queue, settings)


@pytest.fixture
def made(store: Store) -> MadeJob:
    return sealed_job(store)


def change(store: Store, key: str, **fields: Any) -> None:
    store.put(key, json.dumps({**json.loads(store.get(key)), **fields}).encode())


UNKNOWN = [
    ({"name": "laser-eyes"}, "unknown filter 'laser-eyes'"),
    ({"name": "blur", "options": {"colour": "#ff0000"}}, "filter blur has no option 'colour'"),
    ({"name": "blur", "options": {"size": 1e9}}, "filter blur: size=1000000000.0 is not between"),
]


@pytest.mark.parametrize(("spec", "fault"), UNKNOWN, ids=["filter", "option", "value"])
def test_a_look_of_a_newer_version_fails_alone(
    spec: dict[str, Any], fault: str, made: MadeJob, context: WorkerContext
) -> None:
    store, other = made.store, "0123456789ab"
    made.detect(range(4))
    made.paint(range(4))
    store.put(keys.look(made.id, other), json.dumps({"filters": [spec], "schema": 1}).encode())
    status = job_status(store, made.id)
    broken = status.look(other)
    assert broken is not None
    assert fault in broken.fault
    for index in range(4):
        run_paint(context, made.id, index, other)
        failed = store.get_record(keys.painted_failed(made.id, other, index), Failed)
        assert fault in failed.reason
    status = job_status(store, made.id)
    assert {look.id: look.state for look in status.looks} == {
        made.look.id: "complete",
        other: "incomplete",
    }
    assert [row.state for row in list_jobs(store, with_state=True)] == ["incomplete"]


def test_a_job_with_a_damaged_segment_record_becomes_incomplete(
    made: MadeJob, context: WorkerContext
) -> None:
    store = made.store
    key = keys.segment(made.id, 1)
    store.put(key, store.get(key)[:-20])
    made.detect([0, 2, 3])
    run_detect(context, made.id, 1)
    assert key in store.get_record(keys.faces_failed(made.id, 1), Failed).reason
    for index in range(4):
        run_paint(context, made.id, index, made.look.id)
    status = job_status(store, made.id)
    assert status.state == "incomplete"
    assert 1 in status.keys.paint_failed[made.look.id]


@pytest.mark.parametrize("kind", ["truncated", "absurd", "missing segment"])
def test_a_job_whose_end_is_unknown_is_damaged(kind: str, made: MadeJob) -> None:
    store = made.store
    key = keys.sealed(made.id)
    if kind == "truncated":
        store.put(key, store.get(key)[:-3])
    elif kind == "absurd":
        change(store, key, segments=10**12)
    else:
        key = keys.segment(made.id, 2)
        store.delete(key)
    made.detect([0, 1, 3])
    made.paint([0, 1])
    status = job_status(store, made.id)
    assert status.state == "damaged"
    assert key in why_waiting(status, [])
    assert [row.state for row in list_jobs(store, with_state=True)] == ["damaged"]
    with pytest.raises((JobError, RecordInvalid), match=key):
        list(follow(store, made.id, made.look.id, options=FollowOptions(abandoned_s=0.1)))


FORGED: dict[str, Any] = {
    "segment_s": 1e308,
    "start_pts": 10**400,
    "duration_s": -1,
    "detector": {"name": "facepaint-1", "min_face": 0},
    "kind": "hologram",
    "video": None,
}


@pytest.mark.parametrize("field", FORGED)
def test_a_forged_job_is_listed_with_its_fault(field: str, made: MadeJob) -> None:
    change(made.store, keys.job(made.id), **{field: FORGED[field]})
    with pytest.raises(RecordInvalid, match=r"is not a Job record: .*; it is damaged, or of"):
        find_job(made.store, made.id)
    (row,) = list_jobs(made.store, with_state=True)
    assert row.state == "damaged"
    assert field in row.fault


@pytest.mark.parametrize(
    "name",
    ["../x.html", "000000-0123456789ab.html", "000000-0123456789ab.mp4\n", "x", "/etc/passwd"],
)
def test_a_forged_name_of_a_result_is_refused(name: str, made: MadeJob) -> None:
    made.detect(range(4))
    made.paint(range(4))
    change(made.store, keys.painted(made.id, made.look.id, 0), name=name)
    with pytest.raises(RecordInvalid, match="name: String should match pattern"):
        next(iter(follow(made.store, made.id, made.look.id)))


VALUES = [None, "", "x" * 300, -1, 0, 10**30, 1e308, [], {}, True, "\udc80", "1/0", [[[[]]]]]


def mutations(body: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Mutated versions of a JSON record: other values, missing keys, lost bytes."""
    chance = random.Random(seed)
    for _ in range(count):
        record = json.loads(body)
        kind = chance.random()
        if kind < 0.15:
            yield body[: chance.randrange(len(body))]
            continue
        if kind < 0.25:
            at = chance.randrange(len(body))
            yield body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
            continue
        place = record
        while True:
            path = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            inner = place[path]
            if not isinstance(inner, dict | list) or not inner or chance.random() < 0.3:
                break
            place = inner
        if kind < 0.4:
            del place[path]
        else:
            place[path] = chance.choice(VALUES)
        yield json.dumps(record).encode()


def records_of(made: MadeJob) -> list[str]:
    return [row.key for row in made.store.list(keys.prefix(made.id)) if row.key.endswith(".json")]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_mutated_records_end_in_errors_of_ours(
    seed: int, store: Store, queue: Queue, context: WorkerContext
) -> None:
    made = sealed_job(store, filters=("blur",))
    made.detect(range(4))
    made.paint(range(3))
    store.put_record(keys.painted_failed(made.id, made.look.id, 3), Failed(3, "crashed", 3))
    for key in records_of(made):
        original = store.get(key)
        for mutated in mutations(original, seed, 6):
            store.put(key, mutated)
            try_everything(made, WorkerContext(store, queue, context.settings))
            restore(made, key, original)


def try_everything(made: MadeJob, context: WorkerContext) -> None:
    """Whatever reads records may raise an error of ours, of one line."""
    store, job, look = made.store, made.id, made.look.id
    list_jobs(store, with_state=True)
    actions = (
        lambda: why_waiting(job_status(store, job), []),
        lambda: run_detect(context, job, 0),
        lambda: run_paint(context, job, 3, look),
        lambda: run_track(context, job),
        lambda: play(made),
        lambda: resume_job(store, context.queue, job),
    )
    messages = []
    for action in actions:
        try:
            action()
        except FacepaintError as exc:
            messages.append(str(exc))
    assert not [message for message in messages if "\n" in message]


def play(made: MadeJob) -> None:
    """Follow a job as far as it comes within a moment."""
    options = FollowOptions(abandoned_s=0.01)
    threading.Timer(0.2, options.stop.set).start()
    list(follow(made.store, made.id, made.look.id, options=options))


def restore(made: MadeJob, key: str, original: bytes) -> None:
    """Put back what the actions changed."""
    made.store.put(key, original)
    made.detect(range(4))
    made.paint(range(3))
    mark = Failed(3, "crashed", 3)
    made.store.put_record(keys.painted_failed(made.id, made.look.id, 3), mark)
