"""The status of jobs: counts, the list of jobs, and the reason why a job waits."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from facepaint.errors import UnknownJob, UsageError
from facepaint.jobs.explain import NO_DETECTING_WORKER, NO_PAINTING_WORKER, why_waiting
from facepaint.jobs.state import JobKeys
from facepaint.jobs.status import (
    BlankRecords,
    JobStatus,
    LookStatus,
    find_job,
    job_status,
    list_jobs,
)
from facepaint.jobs.workers import alive_workers
from facepaint.looks.parser import parse_look
from facepaint.records import keys
from facepaint.records.keys import new_job_id
from facepaint.records.results import Claim, Failed, Painted, WorkerInfo
from facepaint.store import Store
from tests.support.made_job import MadeJob, heartbeat, image_job, plain_job

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOOK = "0123456789ab"


def worker(*queues: str) -> WorkerInfo:
    return WorkerInfo("worker-1", NOW, "host", "cpu", ("libx264",), queues or ("detect", "paint"))


def begun(store: Store, **changes: object) -> MadeJob:
    """A job that is not sealed: four segments, two with faces, the first painted."""
    made = plain_job(store, **changes).begin()  # type: ignore[arg-type]
    made.upload(range(4))
    made.detect(range(2))
    made.paint([0])
    return made


def test_counts_follow_the_keys(store: Store) -> None:
    made = begun(store)
    store.put_record(keys.faces_failed(made.id, 2), Failed(2, "crashed", 3))
    store.put_record(keys.claim(made.id, "detect", 3), Claim("w", 1, NOW))
    made.fail_painting(1, "no memory")
    status = job_status(store, made.id)
    assert (status.state, status.stored, status.total) == ("uploading", 4, None)
    assert (status.detected, status.detect_failed, status.claims) == (
        2,
        1,
        frozenset({"detect-000003"}),
    )
    look = status.look(made.look.id)
    assert look is not None
    assert look.look == made.look
    assert (look.painted, look.failed, look.blank, look.reasons) == (1, 1, 0, {1: "no memory"})
    assert 0 <= status.idle_s < 60


def test_looks_are_in_the_order_of_their_requests(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plain_job(store).begin()
    looks = [made.look, *(parse_look([name]) for name in ("blur", "crown", "dog", "mosaic"))]
    for look in looks:
        store.put_record(keys.look(made.id, look.id), look)
    times = {
        keys.look(made.id, look.id): NOW + timedelta(seconds=order)
        for order, look in enumerate(looks)
    }
    listed = [
        replace(row, modified=times.get(row.key, NOW)) for row in store.list(keys.prefix(made.id))
    ]
    monkeypatch.setattr(store, "list", lambda _: iter(listed))

    assert [look.look for look in job_status(store, made.id).looks] == looks


def test_a_sealed_job_goes_from_working_to_complete(store: Store) -> None:
    made = begun(store)
    made.seal()
    status = job_status(store, made.id)
    assert (status.state, status.total) == ("working", 4)
    made.paint(range(1, 4))
    assert job_status(store, made.id).state == "complete"


def test_an_upload_is_abandoned_although_workers_still_store_results(store: Store) -> None:
    made = begun(store)
    later = datetime.now(UTC) + timedelta(minutes=11)
    status = job_status(store, made.id, now=later)
    assert status.state == "abandoned"
    assert status.idle_s == pytest.approx(660, abs=60)


def test_blank_segments_are_counted_with_and_without_cache(store: Store) -> None:
    made = begun(store, filters=("blur",))
    made.paint([1])
    key = keys.painted(made.id, made.look.id, 1)
    store.put_record(key, replace(store.get_record(key, Painted), blank=True))
    blank_records: BlankRecords = {}
    for _ in range(2):
        look = job_status(store, made.id, blank_records=blank_records).looks[0]
        assert (look.painted, look.blank) == (2, 1)
    assert sorted(blank_records.values()) == [False, True]


def test_missing_and_deleted_jobs_are_unknown(store: Store) -> None:
    made = plain_job(store)
    with pytest.raises(
        UnknownJob, match=rf"^there is no job {made.id}; `facepaint jobs` lists them$"
    ):
        job_status(store, made.id)
    made.begin()
    assert find_job(store, made.id).source.name == "holiday.mp4"
    store.put(keys.deleted(made.id), b"")
    with pytest.raises(UnknownJob):
        find_job(store, made.id)
    with pytest.raises(UsageError, match=r"'\.\./x' is not a job id"):
        find_job(store, "../x")


def test_jobs_are_listed_newest_first(store: Store) -> None:
    ids = [new_job_id(NOW - timedelta(days=age)) for age in range(5)]
    for job_id in ids:
        plain_job(store, id=job_id).begin()
    store.put(keys.deleted(ids[1]), b"")
    store.put(keys.job(ids[2]), b'{"schema": 99}')
    store.delete(keys.job(ids[3]))
    listed = list_jobs(store, with_state=True)
    assert [row.id for row in listed] == [ids[0], ids[2], ids[4]]
    assert [row.state for row in listed] == ["uploading", "damaged", "uploading"]
    assert listed[1].job is None
    assert listed[1].fault.startswith(f"jobs/{ids[2]}/job.json is not a Job record")
    assert [row.id for row in list_jobs(store, limit=1)] == [ids[0]]


def test_a_worker_with_a_recent_heartbeat_is_alive(store: Store) -> None:
    heartbeat(store, "young")
    now = datetime.now(UTC)
    store.put_record(
        keys.worker("old"), replace(worker(), name="old", at=now - timedelta(seconds=61))
    )
    store.put(keys.worker("foreign"), b'{"schema": 2}')
    assert [info.name for info in alive_workers(store)] == ["young"]
    assert alive_workers(store, now + timedelta(minutes=2)) == []


def status_of(
    stored: int,
    *,
    detected: Iterable[int] = (),
    detect_failed: Iterable[int] = (),
    painted: Iterable[int] = (),
    failed: Iterable[int] = (),
    sealed: bool = True,
    claims: Iterable[str] = (),
    idle_s: float = 1.0,
) -> JobStatus:
    """The status that `job_status` makes of such keys."""
    found = JobKeys(
        frozenset(range(stored)),
        frozenset(detected),
        frozenset(detect_failed),
        {LOOK: frozenset(painted)},
        {LOOK: frozenset(failed)},
        (LOOK,),
        sealed,
    )
    state = found.state(idle_s)
    look = LookStatus(
        LOOK,
        None,
        state,
        len(found.painted[LOOK]),
        len(found.paint_failed[LOOK]),
        0,
        dict.fromkeys(failed, "no memory"),
    )
    return JobStatus(
        job=plain_job(None, id="20261122T120000-aaaaaaaa").job,  # type: ignore[arg-type]
        keys=found,
        state=state,
        looks=(look,),
        stored=stored,
        total=stored if sealed else None,
        detected=len(found.detected),
        detect_failed=len(found.detect_failed),
        truncated="",
        idle_s=idle_s,
        claims=frozenset(claims),
    )


JOB = "20261122T120000-aaaaaaaa"
BOTH = (worker(),)


@pytest.mark.parametrize(
    ("status", "workers", "sentence"),
    [
        (status_of(2, detected=(0, 1), painted=(0, 1)), (), "Everything is painted."),
        (status_of(2), (), "No worker is running: `facepaint worker` starts one."),
        (status_of(0, sealed=False), BOTH, "Segment 0 is being uploaded."),
        (status_of(2), BOTH, "Segment 0 is waiting for face detection, which has not started."),
        (
            status_of(2, claims=("detect-000000",)),
            BOTH,
            "Segment 0 is waiting for face detection, which is running.",
        ),
        (
            status_of(3, detected=(1, 2), painted=(0,)),
            BOTH,
            "Segment 1 is waiting for face detection in the previous segment, "
            "which has not started.",
        ),
        (
            status_of(3, detected=(0, 1), painted=(0,), claims=("detect-000002",)),
            BOTH,
            "Segment 1 is waiting for face detection in the next segment, which is running.",
        ),
        (
            status_of(2, detected=(0, 1), painted=(0,), sealed=False),
            BOTH,
            "Segment 1 is waiting for the upload of the next segment.",
        ),
        (
            status_of(2, detected=(0,), detect_failed=(1,)),
            BOTH,
            "Segment 0 is ready and waiting for a worker to paint it.",
        ),
        (
            status_of(1, detected=(0,), claims=(f"paint-{LOOK}-000000",)),
            BOTH,
            "Segment 0 is being painted.",
        ),
        (
            status_of(1),
            (worker("paint"),),
            NO_DETECTING_WORKER,
        ),
        (
            status_of(1, detected=(0,)),
            (worker("detect"),),
            NO_PAINTING_WORKER,
        ),
        (
            status_of(3, detected=(0, 1, 2), painted=(0, 2), failed=(1,)),
            BOTH,
            f"Everything is painted except 1 segment, which failed: `facepaint resume {JOB}` "
            "retries it.",
        ),
        (
            status_of(2, detected=(0, 1), painted=(0, 1), sealed=False, idle_s=1200),
            BOTH,
            f"The upload stopped 20 minutes ago: `facepaint upload --resume {JOB} FILE` "
            f"continues it, `facepaint resume {JOB} --seal` finalizes it with what is stored.",
        ),
    ],
)
def test_why_a_job_waits(status: JobStatus, workers: tuple[WorkerInfo, ...], sentence: str) -> None:
    assert why_waiting(status, workers) == sentence


@pytest.mark.parametrize(
    ("status", "workers", "sentence"),
    [
        (
            status_of(3, detected=(0, 1), sealed=False),
            BOTH,
            "Segment 0 is waiting for person tracking, which starts when the upload is complete.",
        ),
        (
            status_of(3, detected=(0, 1)),
            BOTH,
            "Segment 0 is waiting for person tracking, which starts when faces are detected in "
            "1 segment more.",
        ),
        (
            status_of(2, detected=(0, 1)),
            BOTH,
            "Segment 0 is waiting for person tracking, which has not started.",
        ),
        (
            status_of(2, detected=(0, 1), claims=("track-000000",)),
            BOTH,
            "Segment 0 is waiting for person tracking, which is running.",
        ),
        (
            status_of(2, detected=(0, 1)),
            (worker("paint"),),
            NO_DETECTING_WORKER,
        ),
    ],
)
def test_why_a_look_that_selects_people_waits(
    status: JobStatus, workers: tuple[WorkerInfo, ...], sentence: str
) -> None:
    naming = (replace(status.looks[0], look=parse_look(["dog@2"])),)
    assert why_waiting(replace(status, looks=naming), workers) == sentence
    for known in (replace(status.keys, tracked=True), replace(status.keys, tracking_failed=True)):
        assert "person tracking" not in why_waiting(
            replace(status, looks=naming, keys=known), workers
        )


def test_why_one_segment_waits() -> None:
    status = status_of(3, detected=(0, 1, 2), painted=(0,), failed=(1,))
    assert why_waiting(status, BOTH, LOOK, 0) == "Segment 0 is painted."
    assert why_waiting(status, BOTH, LOOK, 1) == (
        f"Segment 1 failed (no memory): `facepaint resume {JOB}` retries it."
    )
    assert why_waiting(replace(status, looks=()), BOTH) == "The job has no look yet."


def test_images_do_not_wait_for_their_neighbours() -> None:
    status = status_of(3, detected=(1,), painted=(0,), sealed=False)
    pictures = replace(status, job=image_job(status.job, "a", "b", "c"))
    assert why_waiting(pictures, BOTH) == "Segment 1 is ready and waiting for a worker to paint it."
