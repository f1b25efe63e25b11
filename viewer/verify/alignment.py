"""Pair the frames or packets of two files by their times, so that one that is missing is one
difference and not many."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Protocol, TypeVar


class Timed(Protocol):
    """A frame or packet with a time."""

    @property
    def recording(self) -> int:
        """The index of its recording, in a file of concatenated recordings."""

    @property
    def time_s(self) -> Fraction | None:
        """When it comes, in seconds; None if the file does not state it."""

    @property
    def latest_s(self) -> Fraction | None:
        """The latest time that is as good as ``time_s``; equal to it unless the time is
        uncertain."""


T = TypeVar("T", bound=Timed)
Pair = tuple[T | None, T | None]


class _Peekable(Iterator[T]):
    """An iterator whose next two items are visible."""

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
    """Pair each item of the source with the item of the result that is nearest in time.

    An item without a partner is paired with None. At most two items of each side are read ahead.

    Args:
        source: in the order of its times.
        result: in the order of its times.
        shifts_s: how many seconds later each recording of the source is in the result. A recording
            without a shift gets that of the first two items that meet, which is appended.
    """
    there, here = _Peekable(source), _Peekable(result)
    while there.now is not None and here.now is not None:
        shift_s = _shift_of(there.now, here.now, shifts_s)
        if _next_fits_better(there, here.now, shift_s):
            yield next(there), None
        elif _is_followed_by_better(there.now, here, shift_s):
            yield None, next(here)
        else:
            yield next(there), next(here)
    yield from chain(((item, None) for item in there), ((None, item) for item in here))


def lateness_s(wanted: Timed, found: Timed, shift_s: Fraction) -> Fraction:
    """How much later an item is than wanted, in seconds; negative if earlier, 0 if unknown."""
    if wanted.time_s is None or wanted.latest_s is None or found.time_s is None:
        return Fraction(0)
    time_s = found.time_s - shift_s
    if time_s < wanted.time_s:
        return time_s - wanted.time_s
    return max(Fraction(0), time_s - wanted.latest_s)


def _shift_of(wanted: Timed, found: Timed, shifts_s: list[Fraction]) -> Fraction:
    """The shift of the recording of ``wanted``, which is appended if it is a new one."""
    if wanted.recording >= len(shifts_s):
        shifts_s.append((found.time_s or Fraction(0)) - (wanted.time_s or Fraction(0)))
    return shifts_s[wanted.recording]


def _next_fits_better(there: _Peekable[T], found: T, shift_s: Fraction) -> bool:
    """Whether the source's next item is nearer to ``found`` than its present one.

    Items of different recordings cannot be compared: their clocks are not the same.
    """
    now, then = there.now, there.then
    if now is None or then is None or then.recording != now.recording:
        return False
    return abs(lateness_s(then, found, shift_s)) < abs(lateness_s(now, found, shift_s))


def _is_followed_by_better(wanted: T, here: _Peekable[T], shift_s: Fraction) -> bool:
    """Whether the result's next item is nearer to ``wanted`` than its present one."""
    if here.now is None or here.then is None:
        return False
    return abs(lateness_s(wanted, here.then, shift_s)) < abs(lateness_s(wanted, here.now, shift_s))
