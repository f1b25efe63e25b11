"""The doctor: reports what is installed and running, what is wrong, and how to fix it."""

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.cli.doctor import Check, _killed_runs, checks
from facepaint.client import Client
from facepaint.jobs.explain import why_waiting
from facepaint.jobs.workers import alive_workers
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.detector_card import DEFAULT_DETECTOR
from facepaint.records.results import WorkerInfo
from facepaint.settings import Settings
from facepaint.stack.components import free_port
from facepaint.stack.processes import Child, identity
from facepaint.store import Store
from tests.support.helpers import eventually

StartWorker = Callable[..., Child]


def results(settings: Settings, **options: Any) -> dict[str, Check]:
    """The checks by name; `checks` takes the options."""
    found = checks(settings, **options)
    for check in found:
        assert "\n" not in check.detail
        assert check.ok or check.advice or check.name == "workers", f"{check.name} gives no advice"
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


def test_a_complete_installation_with_services_and_a_worker(
    settings: Settings, store: Store, queue: Queue, start_worker: StartWorker
) -> None:
    start_worker()
    store.put("k", b"x")
    found = results(settings)
    assert [check for check in found.values() if not check.ok] == []
    assert found["installation"].detail.endswith("extras: worker, embedded")
    assert "libx264" in found["video"].detail
    assert re.fullmatch(
        rf"{DEFAULT_DETECTOR}@[0-9a-f]{{12}}; ONNX Runtime .* runs on cpu", found["detector"].detail
    )
    assert found["storage"].detail.startswith(
        f"{settings.s3_endpoint}, bucket {settings.s3_bucket}: put, get"
    )
    assert found["clock"].detail == "in sync with the storage"
    assert found["broker"].detail == "answers; 0 tasks waiting"
    assert found["workers"].detail.startswith(f"{settings.worker_name}-worker: paint+detect, on ")
    assert [info.key for info in store.list("") if not info.key.startswith(keys.WORKERS)] == ["k"]


def test_a_machine_without_services_that_can_start_its_own() -> None:
    found = results(Settings.load())
    assert set(found) == {
        "installation",
        "video",
        "detector",
        "disk",
        "killed runs",
        "services",
    }
    assert found["services"] == Check(
        "services", True, "none running; `facepaint run` starts its own"
    )


def test_an_unknown_detector() -> None:
    detector = results(Settings.load(detector="typo"))["detector"]
    assert not detector.ok
    assert detector.detail.startswith("unknown detector 'typo'; there are ")
    assert detector.advice == "set FACEPAINT_DETECTOR; `facepaint detectors list` lists the names"


def test_a_client_without_services() -> None:
    services = results(Settings.load(), extras=[])["services"]
    assert not services.ok
    assert "docker compose up" in services.advice


@pytest.mark.timeout(60)
@pytest.mark.slow
def test_unreachable_services_are_named(settings: Settings) -> None:
    endpoint, broker = (
        f"http://127.0.0.1:{free_port()}",
        f"redis://:secret@127.0.0.1:{free_port()}/0",
    )
    found = results(Settings.load(s3_endpoint=endpoint, broker_url=broker))
    assert not found["storage"].ok
    assert found["storage"].detail.startswith(f"the object storage at {endpoint} does not answer")
    assert not found["broker"].ok
    assert "secret" not in found["broker"].detail
    assert not found["workers"].ok


def test_refused_keys_are_reported_as_such(settings: Settings, store: Store) -> None:
    refused = settings.model_copy(update={"s3_secret_key": settings.s3_access_key})
    assert " refused (" in results(refused)["storage"].detail


@pytest.mark.slow
def test_a_worker_without_a_recent_heartbeat_is_not_alive(settings: Settings, store: Store) -> None:
    workers = results(settings)["workers"]
    assert (workers.ok, workers.detail, workers.advice) == (
        False,
        "none alive",
        "start one: facepaint worker",
    )
    store.put_record(keys.worker("old"), _info("old", age_s=300))
    assert (
        results(settings)["workers"].detail
        == "none alive; no recent heartbeat: old: detect, on cuda, libx264, detect 812 frames/s"
    )
    store.put_record(keys.worker("new"), _info("new", age_s=3))
    workers = results(settings)["workers"]
    new = "new: detect, on cuda, libx264, detect 812 frames/s"
    assert workers == Check(
        "workers",
        False,
        f"{new}; no running worker paints",
        "start one: facepaint worker --queues paint",
    )
    store.put_record(
        keys.worker("painter"),
        replace(_info("painter", age_s=3), queues=("paint",), frames_per_s={}),
    )
    assert results(settings)["workers"] == Check(
        "workers", True, f"{new}; painter: paint, on cuda, libx264"
    )
    store.delete(keys.worker("new"))
    workers = results(settings)["workers"]
    assert (workers.ok, workers.advice) == (False, "start one: facepaint worker --queues detect")
    assert workers.detail == "painter: paint, on cuda, libx264; no running worker detects faces"


def _info(name: str, age_s: float) -> WorkerInfo:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    return WorkerInfo(name, at, "host", "cuda", ("libx264",), ("detect",), {"detect": 812.4})


def test_a_worker_that_only_detects_is_reported_as_such(
    settings: Settings, store: Store, start_worker: StartWorker, tmp_path: Path
) -> None:
    name = f"{settings.worker_name}-detector"
    store.put_record(keys.worker(name), replace(_info(name, age_s=300), queues=("paint", "detect")))
    start_worker(name="detector", queues=("detect",))

    def beats() -> bool:
        record = store.get_record(keys.worker(name), WorkerInfo)
        return datetime.now(UTC) - record.at < timedelta(seconds=60)

    eventually(beats)
    assert store.get_record(keys.worker(name), WorkerInfo).queues == ("detect",)
    assert results(settings)["workers"].detail.endswith("; no running worker paints")

    client = Client(settings)
    job_id = client.upload(
        make_portrait_clip(tmp_path / "clip.mp4", seconds=1, size=(320, 180)), ["dog"]
    ).job_id
    eventually(lambda: client.status(job_id).detected == 1, timeout_s=60)
    # The task also reports its speed into the record, from a process of the pool.
    eventually(lambda: store.get_record(keys.worker(name), WorkerInfo).frames_per_s, timeout_s=60)
    assert store.get_record(keys.worker(name), WorkerInfo).queues == ("detect",)
    assert "All running workers only detect faces" in why_waiting(
        client.status(job_id), alive_workers(store)
    )


@pytest.mark.parametrize(("off_s", "shown"), [(5000, r"\+50\d\d"), (-5000, r"-(49\d\d|5000)")])
def test_a_wrong_clock_is_reported(
    settings: Settings, store: Store, off_s: int, shown: str
) -> None:
    offset = timedelta(seconds=off_s)
    clock = results(settings, now=lambda: datetime.now(UTC) + offset)["clock"]
    assert not clock.ok
    assert re.fullmatch(f"this machine's differs by {shown} s from the storage's", clock.detail)


def test_the_connection_of_a_killed_stack_is_recognized(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path))
    assert settings.broker_url is not None
    facts = {
        "broker_url": settings.broker_url.get_secret_value(),
        "s3_endpoint": settings.s3_endpoint,
    }
    (tmp_path / "connection.json").write_text(json.dumps(facts))
    state = {"pid": os.getpid(), "identity": "an earlier process", "children": []}
    (tmp_path / "stack.json").write_text(json.dumps(state))
    services = results(Settings.load())["services"]
    assert (services.ok, services.advice) == (False, "start it again: facepaint up")
    (tmp_path / "stack.json").write_text(json.dumps(state | {"identity": identity(os.getpid())}))
    assert results(Settings.load())["services"].ok


def test_a_device_that_is_configured_and_not_available() -> None:
    detector = results(Settings.load(device="cuda"))["detector"]
    assert not detector.ok
    assert detector.detail.endswith("runs on cpu; device 'cuda' is configured and not available")


def test_a_device_that_is_listed_and_does_not_load_is_reported_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands in for the GPU build of ONNX Runtime, which reports an error and uses the CPU."""
    (tmp_path / "onnxruntime.py").write_text(
        "import sys\n__version__ = '1'\n"
        "def get_available_providers(): return ['CUDAExecutionProvider', 'CPUExecutionProvider']\n"
        "def preload_dlls(directory): pass\n"
        "class InferenceSession:\n"
        "    def __init__(self, path, providers):\n"
        "        print('[E:onnxruntime] Error: libcudnn.so.9: cannot open shared object "
        "file', file=sys.stderr)\n"
        "        print('[W:onnxruntime] Failed to create CUDAExecutionProvider.', "
        "file=sys.stderr)\n"
        "    def get_providers(self): return ['CPUExecutionProvider']\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    detector = results(Settings.load())["detector"]
    assert not detector.ok
    assert "runs on cpu; cuda is listed and does not load: " in detector.detail
    assert "libcudnn.so.9" in detector.detail


def test_a_disk_that_is_nearly_full() -> None:
    disk = results(Settings.load(), min_free_bytes=2**60)["disk"]
    assert not disk.ok
    assert " GiB free for " in disk.detail


def test_what_killed_runs_left_is_removed(tmp_path: Path) -> None:
    """A run that was killed cannot remove the video that it had uploaded to itself."""
    folder = tmp_path / "runs" / "0123456789ab"
    (folder / "objects").mkdir(parents=True)
    (folder / "objects" / "video").write_bytes(b"private")
    long_ago = time.time() - 1000
    os.utime(folder, (long_ago, long_ago))
    home = Settings.load(home=tmp_path)
    assert _killed_runs(home).detail == "1 folder with videos left by killed runs: removed now"
    assert list((tmp_path / "runs").iterdir()) == []
    assert _killed_runs(home).detail == "none has left anything"
