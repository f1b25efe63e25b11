"""Programs that tests run: facepaint's command line, players, PyTorch.

A test is skipped where a program is missing; on CI, where all are set up, it fails.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

FACEPAINT = (sys.executable, "-m", "facepaint")


def run_facepaint(
    *arguments: object,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 170,
) -> subprocess.CompletedProcess[str]:
    """Run facepaint's command line with more environment variables, whatever its exit code."""
    return subprocess.run(
        [*FACEPAINT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        check=False,
    )


def skip_or_fail(missing: str, *, whole_module: bool = False) -> NoReturn:
    """Skip the test because something is missing; on CI, where it must be set up, fail instead."""
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing, allow_module_level=whole_module)


def find_program(name: str) -> str:
    """The path of a program."""
    found = shutil.which(name)
    if found is None:
        skip_or_fail(f"{name} is not installed")
    return found


def run_silently(name: str, *arguments: object) -> str:
    """Run a program that must succeed without messages; return what it prints."""
    command = [find_program(name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr
    return done.stdout


def need_torch() -> None:
    """Skip the whole module where PyTorch is not installed: it is too large for `make setup`."""
    if importlib.util.find_spec("torch") is None:
        skip_or_fail("PyTorch is not installed (make train-setup)", whole_module=True)
