"""Players and other programs that tests run: without one the test is skipped, on CI it fails, where
they are set up."""

import importlib.util
import os
import shutil
import subprocess
from typing import NoReturn

import pytest


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
    """Run a program that must have nothing to complain of; returns what it prints."""
    command = [find_program(name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr
    return done.stdout


def need_torch() -> None:
    """Skip the whole module where PyTorch, too large for the ordinary set-up, is not installed; on
    CI fail."""
    if importlib.util.find_spec("torch") is None:
        skip_or_fail("PyTorch is not installed (make train-setup)", whole_module=True)
