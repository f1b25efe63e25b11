"""Child processes: they end with their parent and their own children; a death is reported."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from facepaint.errors import ServiceError
from facepaint.stack.processes import (
    MAX_LOG_BYTES,
    Children,
    Recipe,
    identity,
    last_line,
    wait_until_ready,
)
from tests.support.helpers import eventually, living_in_group, needs_proc
from tests.support.paths import ROOT

STUBBORN = "trap '' HUP TERM; (sleep 600) & echo started; wait"
"""A shell with a child of its own that ignores every signal but SIGKILL."""


def recipe(folder: Path, script: str, **options: object) -> Recipe:
    return Recipe(
        "helper",
        ("/bin/sh", "-c", script),
        folder / "helper.log",
        folder,
        dict(os.environ),
        **options,
    )  # type: ignore[arg-type]


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.close()


@needs_proc
def test_the_children_of_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = f"""
import os, time
from pathlib import Path
from facepaint.stack.processes import Children, Recipe
folder = Path({str(tmp_path)!r})
command = ("/bin/sh", "-c", {STUBBORN!r})
helper = Recipe("helper", command, folder / "helper.log", folder, os.environ)
child = Children().start(helper)
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    leader = int(parent.stdout.readline())
    eventually(lambda: len(living_in_group(leader)) == 2)
    parent.kill()
    parent.communicate()
    eventually(lambda: not living_in_group(leader))


@needs_proc
def test_a_child_that_does_not_stop_is_killed_with_its_children(
    children: Children, tmp_path: Path
) -> None:
    child = children.start(recipe(tmp_path, STUBBORN, stop_s=0.2, escalate=signal.SIGKILL))
    eventually(lambda: len(living_in_group(child.pid)) == 2)
    children.stop([child])
    assert not child.alive
    eventually(lambda: not living_in_group(child.pid))


def test_a_child_that_stops_in_time_gets_no_second_signal(
    children: Children, tmp_path: Path
) -> None:
    script = "trap 'echo stopping; exit 0' TERM; echo started; while :; do sleep 0.05; done"
    child = children.start(recipe(tmp_path, script, stop_s=30.0, escalate=signal.SIGKILL))
    eventually(lambda: last_line(child.recipe.log) == "started")
    children.stop([child])
    assert child.returncode == 0
    assert last_line(child.recipe.log) == "stopping"


def test_a_child_that_ends_before_it_is_ready_is_reported_with_its_last_line(
    children: Children, tmp_path: Path
) -> None:
    child = children.start(recipe(tmp_path, "echo no port; echo; exit 7", answers=lambda: False))
    with pytest.raises(ServiceError) as caught:
        wait_until_ready(child, 10)
    assert (
        str(caught.value)
        == f"the helper ended with status 7: no port (log: {tmp_path / 'helper.log'})"
    )


def test_a_child_that_never_answers_is_reported(children: Children, tmp_path: Path) -> None:
    child = children.start(recipe(tmp_path, "sleep 600", answers=lambda: False))
    with pytest.raises(ServiceError, match=r"^the helper does not answer after 0\.2 s \(log: "):
        wait_until_ready(child, 0.2)


def test_the_pause_before_a_restart_grows_with_every_death(
    children: Children, tmp_path: Path
) -> None:
    children.start(recipe(tmp_path, "exit 1"))
    deaths: list[str] = []

    def died_three_times() -> bool:
        deaths.extend(children.supervise())
        return len(deaths) == 3

    eventually(died_three_times, 60)
    assert [line.partition("restarting it in ")[2].partition(" (")[0] for line in deaths] == [
        "0.5 s",
        "1 s",
        "2 s",
    ]


def test_a_long_log_is_renamed_at_the_next_start(children: Children, tmp_path: Path) -> None:
    log = tmp_path / "helper.log"
    log.write_bytes(b"x" * (MAX_LOG_BYTES + 1))
    child = children.start(recipe(tmp_path, "echo anew"))
    eventually(lambda: not child.alive)
    assert log.read_text() == "anew\n"
    assert (tmp_path / "helper.log.1").stat().st_size == MAX_LOG_BYTES + 1


def test_a_process_differs_from_a_later_one_with_the_same_id(tmp_path: Path) -> None:
    process = subprocess.Popen(["/bin/sh", "-c", "exec sleep 600"])
    try:
        before = identity(process.pid)
        assert before
        assert before == identity(process.pid)
        assert before != identity(os.getpid())
    finally:
        process.kill()
        process.wait()
    assert identity(process.pid) == ""


@needs_proc
def test_identity_names_the_boot() -> None:
    """After a reboot another process may have the same pid and start; it must not be killed."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert identity(os.getpid()).startswith(f"{boot}:")


def test_a_long_log_is_moved_while_it_is_written(children: Children, tmp_path: Path) -> None:
    script = "while :; do echo a line of some length; sleep 0.01; done"
    child = children.start(recipe(tmp_path, script))
    log = child.recipe.log
    eventually(lambda: log.stat().st_size > 200)
    with log.open("ab") as file:
        file.truncate(MAX_LOG_BYTES + 1)
    children.supervise()
    assert log.with_suffix(".log.1").stat().st_size > MAX_LOG_BYTES
    assert log.stat().st_size < MAX_LOG_BYTES / 2
    eventually(lambda: log.stat().st_size > 200)
    assert b"\0" not in log.read_bytes(), "it goes on at the beginning"
