"""Killed and hanging workers and a broker that loses its data do not change the result of a job."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from benchmarks.clips import make_portrait_clip
from facepaint.client import Client
from facepaint.jobs.status import job_status
from facepaint.looks.parser import parse_look
from facepaint.looks.selection import FaceSelection
from facepaint.records import keys
from facepaint.records.results import Painted
from facepaint.settings import Settings
from facepaint.stack import components
from facepaint.stack.processes import Child, Children, wait_until_ready
from tests.support.helpers import eventually
from tests.support.media_compare import read_video
from tests.support.poison import HANGS

SEGMENTS = 6

StartWorker = Callable[..., Child]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds with a keyframe every second: six segments."""
    return make_portrait_clip(
        tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SEGMENTS, gop=30
    )


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    """Settings with timeouts of seconds instead of minutes."""
    return settings.model_copy(
        update={"segment_s": 1.0, "visibility_timeout_s": 6, "task_time_limit_s": 4}
    )


@pytest.fixture
def client(impatient: Settings) -> Client:
    client = Client(impatient)
    client.store.make_bucket()
    return client


@pytest.fixture
def start_poisoned(impatient: Settings, tmp_path: Path) -> Iterator[StartWorker]:
    """Start a worker that dies or hangs over a segment; see `tests.support.poison`."""
    children = Children()
    (tmp_path / "poisoned" / "logs").mkdir(parents=True)

    def start(
        poison: str, settings: Settings = impatient, pool: components.Pool = "prefork"
    ) -> Child:
        recipe = components.worker(
            tmp_path / "poisoned", settings, "poisoned", processes=1, pool=pool
        )
        command = tuple(
            "tests.support.poison" if word == "tasks" else word for word in recipe.command
        )
        child = children.start(
            replace(recipe, command=command, environment={**recipe.environment, "POISON": poison})
        )
        wait_until_ready(child, 60)
        return child

    yield start
    children.close()


def painted(client: Client, job_id: str, look: str) -> dict[int, Painted]:
    found = job_status(client.store, job_id).keys.painted[look]
    return {
        n: client.store.get_record(keys.painted(job_id, look, n), Painted) for n in sorted(found)
    }


def test_a_killed_worker_does_not_change_the_result(
    clip: Path, client: Client, impatient: Settings, start_worker: StartWorker
) -> None:
    worker = start_worker(impatient, name="first")
    job_id = client.upload(clip, ["sunglasses"]).job_id
    look = client.look_of(job_id)
    eventually(lambda: job_status(client.store, job_id).keys.painted[look], 60)
    worker.kill()
    assert job_status(client.store, job_id).state == "working", "killed too late to prove anything"
    start_worker(impatient, name="second")
    assert client.wait(job_id, poll_s=0.2).state == "complete"
    undisturbed = client.upload(clip, ["sunglasses"]).job_id
    assert client.wait(undisturbed, poll_s=0.2).state == "complete"
    after_kill, without = painted(client, job_id, look), painted(client, undisturbed, look)
    assert {n: record.sha256 for n, record in after_kill.items()} == {
        n: r.sha256 for n, r in without.items()
    }
    assert len(without) == SEGMENTS
    assert not list(client.store.list(f"{keys.prefix(job_id)}claims/")), "tasks remove their claims"


@pytest.mark.slow
def test_resume_recovers_from_a_broker_that_lost_its_data(
    clip: Path, client: Client, impatient: Settings, start_worker: StartWorker
) -> None:
    job_id = client.upload(clip, ["blur"]).job_id
    assert impatient.broker_url is not None
    with redis.Redis.from_url(impatient.broker_url.get_secret_value()) as broker:
        broker.flushdb()
    assert client.queue.length() == 0
    start_worker(impatient)
    client.resume(job_id)
    assert client.wait(job_id, poll_s=0.2).state == "complete"


@pytest.mark.slow
@pytest.mark.parametrize(("poison", "failed"), [("paint-2-kill", 2), ("paint-1-hang", 1)])
def test_a_segment_that_stops_its_worker_fails_and_the_others_are_painted(
    poison: str, failed: int, clip: Path, client: Client, start_poisoned: StartWorker
) -> None:
    start_poisoned(poison)
    job_id = client.upload(clip, ["sunglasses"]).job_id
    status = client.wait(job_id, poll_s=0.2)
    assert status.state == "incomplete"
    (look,) = status.looks
    assert look.painted == SEGMENTS - 1
    assert look.reasons == {failed: "its worker died or hung 3 times"}


@pytest.mark.slow
def test_tracking_resumes_after_its_worker_was_killed(
    clip: Path,
    client: Client,
    impatient: Settings,
    start_poisoned: StartWorker,
    start_worker: StartWorker,
) -> None:
    poisoned = start_poisoned("track-0-hang")
    job_id = client.upload(clip, parse_look(["fill"], FaceSelection(keep=(1,)))).job_id
    claim = keys.claim(job_id, "track", 0)
    eventually(lambda: client.store.exists(claim), 60)
    poisoned.kill()
    assert not client.store.exists(keys.tracks(job_id))
    start_worker(impatient)
    assert client.wait(job_id, poll_s=0.2).state == "complete"
    assert [person.number for person in client.people(job_id).confident] == [1, 2]
    (record, *_) = painted(client, job_id, client.look_of(job_id)).values()
    assert record.notes == (), "every identity was known"
    assert not client.store.exists(claim)


@pytest.mark.slow
def test_a_redacting_look_has_a_blank_segment_where_painting_failed(
    clip: Path, client: Client, start_poisoned: StartWorker, tmp_path: Path
) -> None:
    start_poisoned("paint-2-kill")
    job_id = client.upload(clip, ["blur"]).job_id
    status = client.wait(job_id, poll_s=0.2)
    assert status.state == "complete"
    assert status.looks[0].blank == 1
    client.save(job_id, tmp_path / "saved.mp4")
    saved, source = read_video(tmp_path / "saved.mp4"), read_video(clip)
    assert saved.times == pytest.approx(source.times, abs=1 / 90000)
    blank = [int(luma.max()) - int(luma.min()) < 8 for luma in saved.luma]
    assert blank == [60 <= n < 90 for n in range(len(blank))]


@pytest.mark.slow
def test_a_failed_detection_covers_whole_frames(
    clip: Path, client: Client, start_poisoned: StartWorker, tmp_path: Path
) -> None:
    start_poisoned("detect-2-kill")
    job_id = client.upload(clip, ["mosaic"]).job_id
    status = client.wait(job_id, poll_s=0.2)
    assert status.state == "complete"
    client.save(job_id, tmp_path / "saved.mp4")
    saved, source = read_video(tmp_path / "saved.mp4"), read_video(clip)
    for n in (60, 75, 89):
        detail = [
            float(abs(luma[:, 1:].astype(int) - luma[:, :-1]).mean())
            for luma in (saved.luma[n], source.luma[n])
        ]
        assert detail[0] < 0.3 * detail[1], "the whole frame has lost its detail"


@pytest.mark.slow
def test_another_worker_finishes_the_tasks_of_a_stopped_one(
    clip: Path, client: Client, impatient: Settings, start_worker: StartWorker
) -> None:
    worker = start_worker(impatient, name="first")
    job_id = client.upload(clip, ["fill"]).job_id
    eventually(lambda: job_status(client.store, job_id).detected, 60)
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(40)
    start_worker(impatient, name="second")
    assert client.wait(job_id, poll_s=0.2).state == "complete"


@pytest.mark.slow
def test_a_graceful_stop_does_not_count_as_a_crash(
    clip: Path,
    client: Client,
    impatient: Settings,
    start_worker: StartWorker,
    start_poisoned: StartWorker,
) -> None:
    patient = impatient.model_copy(update={"task_time_limit_s": 60, "visibility_timeout_s": 70})
    worker = start_poisoned("detect-0-hang", patient)
    job_id = client.upload(clip, ["fill"]).job_id
    claim = keys.claim(job_id, "detect", 0)
    eventually(lambda: HANGS in worker.recipe.log.read_text(), 30)
    assert client.store.exists(claim)
    os.kill(worker.pid, signal.SIGTERM)
    os.kill(worker.pid, signal.SIGQUIT)
    assert worker.wait(20)
    assert not client.store.exists(claim)
    start_worker(patient, name="second")
    assert client.wait(job_id, poll_s=0.2).state == "complete"


@pytest.mark.slow
def test_a_hanging_worker_of_one_process_exits_so_that_it_can_be_restarted(
    clip: Path,
    client: Client,
    start_worker: StartWorker,
    start_poisoned: StartWorker,
    impatient: Settings,
) -> None:
    """As on a GPU: there is no pool whose parent could kill it."""
    worker = start_poisoned("detect-0-hang", pool="solo")
    job_id = client.upload(clip, ["fill"]).job_id
    assert worker.wait(60)
    assert client.store.exists(keys.claim(job_id, "detect", 0)), "it counts as a crash"
    start_worker(impatient, name="second")
    assert client.wait(job_id, poll_s=0.2).state == "complete"
