"""Parallel reads of the storage."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

PARALLEL = 8
"""Requests at a time; the store's connection pool holds at least ten."""

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(read: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``read`` of each item, in the order of the items; several run at a time."""
    items = list(items)
    # Starting threads costs more than one read.
    if len(items) < 2:
        return [read(item) for item in items]
    with ThreadPoolExecutor(min(PARALLEL, len(items))) as pool:
        return list(pool.map(read, items))
