"""Run reads of the storage in parallel."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

PARALLEL = 8


T = TypeVar("T")


R = TypeVar("R")


def in_parallel(read: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``read`` of each item, in order, several at a time."""
    items = list(items)
    if len(items) < 2:
        return [read(item) for item in items]
    with ThreadPoolExecutor(min(PARALLEL, len(items))) as pool:
        return list(pool.map(read, items))
