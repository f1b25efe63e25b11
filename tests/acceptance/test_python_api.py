"""The script of docs/python.md, run unchanged against real services."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import facepaint
from benchmarks.clips import make_portrait_clip
from facepaint import errors
from facepaint.settings import Settings
from facepaint.stack.processes import Child
from tests.support.media_compare import read_video
from tests.support.paths import ROOT


def test_the_script_uploads_follows_and_saves(
    settings: Settings, start_worker: Callable[..., Child], tmp_path: Path
) -> None:
    start_worker()
    make_portrait_clip(tmp_path / "party.mp4", seconds=2, size=(320, 180))
    page = (ROOT / "docs" / "python.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    shown = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | settings.environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stderr == ""
    frames = len(read_video(tmp_path / "painted.mp4").times)
    assert shown.stdout.splitlines()[-1] == f"painted.mp4 {frames}"
    assert f"{frames} frames painted" in shown.stdout


def test_every_public_name_exists() -> None:
    for name in facepaint.__all__:
        assert getattr(facepaint, name) is not None
    assert facepaint.JobError is errors.JobError
