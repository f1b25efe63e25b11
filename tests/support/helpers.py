"""Polling and processes, for tests."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


def eventually(check: Callable[[], T], timeout_s: float = 10.0, every_s: float = 0.05) -> T:
    """Poll until ``check`` returns a true value, and return it; fail after ``timeout_s``.

    An ``AssertionError`` of ``check`` counts as false; the last one is raised at the timeout.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            found = check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        else:
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s:g} s; the last answer was {found!r}")
        time.sleep(every_s)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def living_in_group(leader: int) -> set[int]:
    """The living processes of a process group."""
    return {pid for pid, _, group in _processes() if group == leader}


def children_of(parent: int) -> set[int]:
    """The living processes that a process started."""
    return {pid for pid, ppid, _ in _processes() if ppid == parent}


def _processes() -> Iterator[tuple[int, int, int]]:
    """Id, parent and group of every process but zombies."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, group, *_ = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if state != "Z":
            yield int(entry.parent.name), int(parent), int(group)
