"""Measure the time of a task by stage."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Adds up seconds by stage, one stage at a time, for the ``times_s`` of a record."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @property
    def times_s(self) -> dict[str, float]:
        """Seconds by stage, rounded to 0.1 ms."""
        return {stage: round(seconds, 4) for stage, seconds in self._seconds.items()}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Count the time it takes to get each item, not what is done with it."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
