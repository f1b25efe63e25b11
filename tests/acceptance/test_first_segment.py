"""The first painted segment is served long before a slow upload ends."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.jobs.status import job_status, list_jobs
from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.settings import Settings
from facepaint.stack.processes import Child
from facepaint.store import Store
from tests.support.helpers import eventually
from tests.support.live_viewer import live_viewer
from tests.support.observed import ObservedStore
from uploader.upload import UploadResult, upload

SEGMENTS = 8

PUT_S = 0.05
"""The duration of each put; a segment takes three, four run at once."""

HELD = 4
"""From this segment on nothing is stored until the test sets ``release``."""


@dataclass
class SlowUpload:
    """An upload in the background; ``release`` lets it finish."""

    job_id: str
    release: threading.Event
    result: "Future[UploadResult]"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"segment_s": 1.0})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second a segment, with audio."""
    path = tmp_path_factory.mktemp("clip") / "party.mp4"
    return make_portrait_clip(path, seconds=SEGMENTS, size=(320, 180), fps=20, gop=20)


@pytest.fixture
def slow_upload(
    clip: Path, settings: Settings, store: Store, queue: Queue, start_worker: Callable[..., Child]
) -> Iterator[SlowUpload]:
    """Upload the clip to a slow storage while a real worker paints."""
    start_worker(settings)
    release = threading.Event()

    def take_time(key: str) -> None:
        name = key.rpartition("/")[2].partition(".")[0]
        if name.isdigit() and int(name) >= HELD:
            release.wait(120)
        time.sleep(PUT_S)  # the latency of the storage; no test waits by it

    slow = ObservedStore(settings, take_time)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(upload, clip, parse_look(["sunglasses"]), slow, queue, settings)
        try:
            jobs = eventually(lambda: list_jobs(store), 30)
            yield SlowUpload(jobs[0].id, release, result)
        finally:
            release.set()


def assert_uploading(store: Store, slow: SlowUpload) -> None:
    assert not slow.result.done()
    assert not store.exists(keys.sealed(slow.job_id))
    assert job_status(store, slow.job_id).stored <= HELD < SEGMENTS


def test_the_first_painted_segment_is_served_during_the_upload(
    slow_upload: SlowUpload, settings: Settings, store: Store
) -> None:
    with live_viewer(settings, store) as url, httpx.Client(base_url=url, timeout=30) as browser:

        def state() -> dict[str, Any]:
            answer: dict[str, Any] = (
                browser.get(f"/api/jobs/{slow_upload.job_id}").raise_for_status().json()
            )
            return answer

        eventually(lambda: state()["segments"]["painted"], 60)
        assert state()["state"] == "uploading"
        assert state()["total"] is None
        assert browser.get(f"/jobs/{slow_upload.job_id}").status_code == 200
        look = state()["look"]
        data = (
            browser.get(f"/api/jobs/{slow_upload.job_id}/looks/{look}/segments/0")
            .raise_for_status()
            .content
        )
        with av.open(io.BytesIO(data), "r") as container:
            frames = [frame.time for frame in container.decode(video=0)]
        assert len(frames) == 20
        assert frames[0] == 0
        assert_uploading(store, slow_upload)
        slow_upload.release.set()
        assert slow_upload.result.result(60).segments == SEGMENTS
        eventually(lambda: state()["state"] == "complete", 60)
