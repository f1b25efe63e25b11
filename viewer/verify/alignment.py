"""Pair what two files show or sound by their times, so that one thing missing is one difference and
not many."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Protocol, TypeVar


class Timed(Protocol):
    """Something that comes at a time; ``part`` counts the recordings of a file that lie one behind
    the other."""

    @property
    def part(self) -> int:
        """In which recording it is."""

    @property
    def time_s(self) -> Fraction | None:
        """When it comes, in seconds; None where the file does not say."""


T = TypeVar("T", bound=Timed)
Pair = tuple[T | None, T | None]


class _Ahead(Iterator[T]):
    """An iterator whose next two items can be looked at."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self.now, self.then = next(items, None), next(items, None)

    def __next__(self) -> T:
        if self.now is None:
            raise StopIteration
        item, self.now, self.then = self.now, self.then, next(self._items, None)
        return item


def pair_nearest(
    source: Iterator[T], result: Iterator[T], shifts_s: list[Fraction]
) -> Iterator[Pair[T]]:
    """Each item of the source with the item of the result that is nearest to it in time, None where
    there is none.

    ``shifts_s`` says how many seconds later each part is in the result; the shift of a part it does
    not have yet is that of the first two items met, and is added.
    """
    there, here = _Ahead(source), _Ahead(result)
    while there.now is not None and here.now is not None:
        if there.now.part >= len(shifts_s):
            shifts_s.append((here.now.time_s or Fraction(0)) - (there.now.time_s or Fraction(0)))
        shift_s = shifts_s[there.now.part]
        apart_s = _apart(there.now, here.now, shift_s)
        if (
            there.then is not None
            and there.then.part == there.now.part
            and _apart(there.then, here.now, shift_s) < apart_s
        ):
            yield next(there), None
        elif here.then is not None and _apart(there.now, here.then, shift_s) < apart_s:
            yield None, next(here)
        else:
            yield next(there), next(here)
    yield from chain(((item, None) for item in there), ((None, item) for item in here))


def _apart(one: Timed, other: Timed, shift_s: Fraction) -> Fraction:
    if one.time_s is None or other.time_s is None:
        return Fraction(0)
    return abs(other.time_s - one.time_s - shift_s)
