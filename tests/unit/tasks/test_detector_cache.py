"""The folder in which a worker opens strangers' networks."""

from pathlib import Path

import pytest

from tasks.detector_cache import enter_empty_folder


def test_a_worker_works_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        enter_empty_folder()
        assert Path.cwd().is_relative_to(tmp_path / "home")
        assert not list(Path.cwd().iterdir())
