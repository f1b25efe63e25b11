"""Mutated networks work, or are refused in one line."""

import ast
import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_mutated_network_works_or_is_refused(seed: int) -> None:
    command = [sys.executable, "-m", "tests.support.fuzz_onnx", str(seed), "600"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outcomes = ast.literal_eval(done.stdout.splitlines()[-1])
    assert set(outcomes) == {"works", "InputError", "UsageError"}
    assert sum(outcomes.values()) == 600
