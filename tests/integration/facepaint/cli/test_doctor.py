"""The doctor: finds what is there, names what is wrong, and says what to do."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.cli.doctor import Check, checks
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
from facepaint.store import ObjectInfo, Store
from tests.support.helpers import eventually

StartWorker = Callable[..., Child]


def examined(settings: Settings) -> dict[str, Check]:
    found = checks(settings)
    for check in found:
        assert "\n" not in check.detail
        assert check.ok or check.advice or check.name == "workers", f"{check.name} gives no advice"
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


def test_a_sound_installation_with_services_and_a_worker(
    settings: Settings, store: Store, queue: Queue, start_worker: StartWorker
) -> None:
    start_worker()
    store.put("k", b"x")
    found = examined(settings)
    assert [check for check in found.values() if not check.ok] == []
    assert found["installation"].detail.endswith("extras: worker, embedded")
    assert "libx264" in found["video"].detail
    assert re.fullmatch(
        rf"{DEFAULT_DETECTOR}@[0-9a-f]{{12}}; ONNX Runtime .* runs on cpu", found["detector"].detail
    )
    assert found["storage"].detail.startswith(
        f"{settings.s3_endpoint}, bucket {settings.s3_bucket}: put, get"
    )
    assert found["clock"].detail == "this machine's agrees with the storage's"
    assert found["broker"].detail == "answers; 0 tasks wait"
    assert found["workers"].detail.startswith(f"{settings.worker_name}-worker: paint+detect, on ")
    assert [info.key for info in store.list("") if not info.key.startswith(keys.WORKERS)] == ["k"]


def test_a_machine_without_services_that_can_start_its_own() -> None:
    found = examined(Settings.load())
    assert set(found) == {"installation", "video", "detector", "disk", "services"}
    assert found["services"] == Check(
        "services", True, "none running; `facepaint run` starts its own"
    )


def test_a_detector_that_is_none() -> None:
    detector = examined(Settings.load(detector="typo"))["detector"]
    assert not detector.ok
    assert detector.detail.startswith("unknown detector 'typo'; there are ")
    assert detector.advice == "set FACEPAINT_DETECTOR; `facepaint detectors list` lists the names"


def test_a_client_without_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepaint.cli.doctor.installed_extras", list)
    services = examined(Settings.load())["services"]
    assert not services.ok
    assert "docker compose up" in services.advice


@pytest.mark.timeout(60)
@pytest.mark.slow
def test_services_that_are_away_are_named(settings: Settings) -> None:
    endpoint, broker = (
        f"http://127.0.0.1:{free_port()}",
        f"redis://:secret@127.0.0.1:{free_port()}/0",
    )
    found = examined(Settings.load(s3_endpoint=endpoint, broker_url=broker))
    assert not found["storage"].ok
    assert found["storage"].detail.startswith(f"the object storage at {endpoint} does not answer")
    assert not found["broker"].ok
    assert "secret" not in found["broker"].detail
    assert not found["workers"].ok


def test_refused_keys_are_told_from_silence(settings: Settings, store: Store) -> None:
    stranger = settings.model_copy(update={"s3_secret_key": settings.s3_access_key})
    assert " refused (" in examined(stranger)["storage"].detail


@pytest.mark.slow
def test_a_worker_that_fell_silent_is_not_called_alive(settings: Settings, store: Store) -> None:
    workers = examined(settings)["workers"]
    assert (workers.ok, workers.detail, workers.advice) == (
        False,
        "none alive",
        "start one: facepaint worker",
    )
    store.put_record(keys.worker("old"), _info("old", age_s=300))
    assert (
        examined(settings)["workers"].detail
        == "none alive; silent: old: detect, on cuda, libx264, detect 812 frames/s"
    )
    store.put_record(keys.worker("new"), _info("new", age_s=3))
    workers = examined(settings)["workers"]
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
    assert examined(settings)["workers"] == Check(
        "workers", True, f"{new}; painter: paint, on cuda, libx264"
    )
    store.delete(keys.worker("new"))
    workers = examined(settings)["workers"]
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
    assert examined(settings)["workers"].detail.endswith("; no running worker paints")

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


@pytest.mark.parametrize(("off_s", "says"), [(-5000, r"\+50\d\d"), (5000, r"-(49\d\d|5000)")])
def test_clocks_that_differ_are_noticed(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, off_s: int, says: str
) -> None:
    filed = datetime.now(UTC) + timedelta(seconds=off_s)
    monkeypatch.setattr(Store, "list", lambda self, prefix: iter([ObjectInfo(prefix, 1, filed)]))
    clock = next(check for check in checks(settings) if check.name == "clock")
    assert not clock.ok
    assert re.fullmatch(f"this machine's differs by {says} s from the storage's", clock.detail)


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
    services = examined(Settings.load())["services"]
    assert (services.ok, services.advice) == (False, "start it again: facepaint up")
    (tmp_path / "stack.json").write_text(json.dumps(state | {"identity": identity(os.getpid())}))
    assert examined(Settings.load())["services"].ok


def test_a_device_asked_for_and_not_offered() -> None:
    detector = examined(Settings.load(device="cuda"))["detector"]
    assert not detector.ok
    assert detector.detail.endswith("runs on cpu; device 'cuda' is asked for")


def test_a_device_that_is_listed_and_does_not_load_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands in for the GPU build of ONNX Runtime, which complains and goes on with the CPU."""
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
    detector = examined(Settings.load())["detector"]
    assert not detector.ok
    assert "runs on cpu; cuda is listed and does not load: " in detector.detail
    assert "libcudnn.so.9" in detector.detail


def test_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    disk = examined(Settings.load())["disk"]
    assert not disk.ok
    assert disk.detail.startswith("1.0 GiB free for ")
