"""What several tests need and pytest does not give."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], timeout_s: float = 10.0, every_s: float = 0.05) -> T:
    """Poll until ``check`` returns something true, and return that; fail with its last answer when the time is over.

    An ``AssertionError`` raised by ``check`` counts as "not yet", and is what is raised in the end.
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
