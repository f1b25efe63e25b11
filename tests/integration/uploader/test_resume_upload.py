"""Resuming a killed upload: it continues where it stopped, with the same file only."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.errors import UnknownJob, UsageError
from facepaint.jobs.maintenance import delete_job
from facepaint.jobs.status import job_status, list_jobs
from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import Extras, JobRecord, Sealed
from facepaint.records.keys import new_job_id
from facepaint.records.segment import Segment
from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.helpers import eventually
from tests.support.observed import ObservedStore
from tests.support.paths import ROOT
from tests.support.programs import run_facepaint
from uploader.upload import UploadProgress, upload

SEGMENTS = 12

BLUR = parse_look(["blur"])

Killed = Callable[..., str]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve segments of half a second, with audio and open GOPs."""
    path = tmp_path_factory.mktemp("clip") / "party.mp4"
    options = {"bf": "2", "x264-params": "open-gop=1"}
    return make_portrait_clip(path, seconds=6, size=(160, 90), fps=20, gop=10, options=options)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"segment_s": 0.5})


@pytest.fixture
def killed(clip: Path, store: Store, settings: Settings) -> Iterator[Killed]:
    """Start an uploader, kill it once so many objects with this ending are stored, and return the
    job's id."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(ending: str, count: int = 1, *, hold_at: str = "") -> str:
        environment = {**os.environ, **settings.environment(), "HOLD_AT": hold_at}
        folder = ROOT
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.slow_upload", str(clip)],
                env=environment,
                cwd=folder,
            )
        )

        def stored() -> str | None:
            found = [row.key for row in store.list("jobs/") if row.key.endswith(ending)]
            return found[0].split("/")[1] if len(found) >= count else None

        job_id = eventually(stored, 30)
        assert processes[-1].poll() is None, "it ended before it could be killed"
        processes[-1].kill()
        processes[-1].wait()
        return str(job_id)

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def interrupted(clip: Path, store: Store, queue: Queue, settings: Settings) -> str:
    """The id of a job whose upload was stopped after three segments."""

    def stop(progress: UploadProgress) -> None:
        if progress.segments >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(clip, BLUR, store, queue, settings, stop)
    (row,) = store.list("jobs/", folders=True)
    return row.key.split("/")[1]


def facepaint(settings: Settings, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_facepaint(*arguments, environment=settings.environment())


def contents(store: Store, job_id: str) -> dict[str, object]:
    """Every object of a job but its record, by key; those that are JSON as records."""
    found: dict[str, object] = {}
    for row in store.list(keys.prefix(job_id)):
        name = row.key.removeprefix(keys.prefix(job_id))
        if name.startswith("source/") and name.endswith(".json"):
            found[name] = store.get_record(row.key, Segment)
        elif name != "job.json":
            found[name] = store.get(row.key)
    return found


def test_a_killed_uploader_is_resumed(
    clip: Path, killed: Killed, store: Store, queue: Queue, settings: Settings
) -> None:
    job_id = killed(".bin", 4)
    before = job_status(store, job_id)
    assert before.state == "uploading"
    assert before.stored < SEGMENTS
    done = facepaint(settings, "upload", "--resume", job_id, clip)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{job_id}\n"
    after = job_status(store, job_id)
    assert (after.state, after.total) == ("working", SEGMENTS)
    assert queue.length() >= SEGMENTS, "everything without faces is queued"
    whole = upload(clip, BLUR, store, queue, settings)
    assert contents(store, job_id) == contents(store, whole.job_id)
    mine, undisturbed = (
        store.get_record(keys.job(name), JobRecord) for name in (job_id, whole.job_id)
    )
    assert replace(mine, id="", created=undisturbed.created) == replace(undisturbed, id="")


def test_killed_before_the_first_segment(
    clip: Path, killed: Killed, store: Store, queue: Queue, settings: Settings
) -> None:
    """Only the job's record is stored."""
    job_id = killed("job.json", hold_at=".bin")
    upload(clip, BLUR, store, queue, settings, resume=job_id)
    assert job_status(store, job_id).total == SEGMENTS


@pytest.mark.slow
def test_killed_before_the_job_had_a_record(
    clip: Path, killed: Killed, store: Store, settings: Settings
) -> None:
    """There is no job then: none is listed, none can be resumed, and what was written can be
    deleted."""
    job_id = killed(f"{BLUR.id}.json", hold_at="job.json")
    assert list_jobs(store) == []
    done = facepaint(settings, "upload", "--resume", job_id, clip)
    assert done.returncode == 3
    assert (
        done.stderr.strip() == f"facepaint: there is no job {job_id}; `facepaint jobs` lists them"
    )
    delete_job(store, job_id)
    assert not list(store.list("jobs/"))


def test_what_is_stored_is_not_stored_again(
    clip: Path, interrupted: str, queue: Queue, settings: Settings, store: Store
) -> None:
    stood = sorted(job_status(store, interrupted).keys.stored)
    written: list[str] = []
    upload(clip, BLUR, ObservedStore(settings, written.append), queue, settings, resume=interrupted)
    for index in range(SEGMENTS):
        assert (keys.segment(interrupted, index) in written) == (index not in stood)
    assert keys.job(interrupted) not in written


def test_another_file_is_refused(
    clip: Path, interrupted: str, store: Store, settings: Settings, tmp_path: Path
) -> None:
    before = contents(store, interrupted)
    other = tmp_path / "other.mp4"
    data = bytearray(clip.read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    done = facepaint(settings, "upload", "--resume", interrupted, other)
    assert done.returncode == 3
    (line,) = done.stderr.strip().splitlines()
    assert "other.mp4 is not the file" in line
    assert "party.mp4" in line
    assert contents(store, interrupted) == before


def test_the_same_file_under_another_name(
    clip: Path, interrupted: str, store: Store, queue: Queue, settings: Settings, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(clip.read_bytes())
    upload(moved, BLUR, store, queue, settings, resume=interrupted)
    assert job_status(store, interrupted).total == SEGMENTS
    assert store.get_record(keys.job(interrupted), JobRecord).source.name == "party.mp4"


def test_resuming_with_other_settings_cuts_as_before(
    clip: Path, interrupted: str, store: Store, queue: Queue, settings: Settings
) -> None:
    """Half a job in half seconds and half in two seconds would not join."""
    upload(
        clip, BLUR, store, queue, settings.model_copy(update={"segment_s": 2.0}), resume=interrupted
    )
    assert job_status(store, interrupted).total == SEGMENTS


def test_resuming_a_finished_upload_changes_nothing(
    clip: Path, store: Store, queue: Queue, settings: Settings
) -> None:
    job_id = upload(clip, BLUR, store, queue, settings).job_id
    before = contents(store, job_id)
    again = upload(clip, BLUR, store, queue, settings, resume=job_id)
    assert (again.job_id, again.segments, again.warnings) == (job_id, SEGMENTS, ())
    assert contents(store, job_id) == before


def test_an_upload_that_was_sealed_early_is_completed(
    clip: Path, interrupted: str, store: Store, queue: Queue, settings: Settings
) -> None:
    store.put_record(keys.sealed(interrupted), Sealed(2, "the upload stopped after segment 1"))
    upload(clip, BLUR, store, queue, settings, resume=interrupted)
    assert store.get_record(keys.sealed(interrupted), Sealed) == Sealed(SEGMENTS)
    assert store.get_record(keys.extras(interrupted), Extras)


def test_there_is_no_such_job(clip: Path, store: Store, queue: Queue, settings: Settings) -> None:
    missing = new_job_id(datetime.now(UTC))
    with pytest.raises(UnknownJob, match=missing):
        upload(clip, BLUR, store, queue, settings, resume=missing)
    with pytest.raises(UsageError, match="is not a job id"):
        upload(clip, BLUR, store, queue, settings, resume="../../etc")
