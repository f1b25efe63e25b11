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
    expected, found = _Peekable(source), _Peekable(result)
    while expected.now is not None and found.now is not None:
        shift_s = _shift_of(expected.now, found.now, shifts_s)
        if _next_expected_is_nearer(expected, found.now, shift_s):
            yield next(expected), None
        elif _next_found_is_nearer(expected.now, found, shift_s):
            yield None, next(found)
        else:
            yield next(expected), next(found)
    # Only one of the two has items left.
    yield from chain(((item, None) for item in expected), ((None, item) for item in found))


def lateness_s(expected: Timed, found: Timed, shift_s: Fraction) -> Fraction:
    """How much later an item is than expected, in seconds; negative if earlier, 0 if unknown."""
    if expected.time_s is None or expected.latest_s is None or found.time_s is None:
        return Fraction(0)
    time_s = found.time_s - shift_s
    if time_s < expected.time_s:
        return time_s - expected.time_s
    return max(Fraction(0), time_s - expected.latest_s)


def _shift_of(expected: Timed, found: Timed, shifts_s: list[Fraction]) -> Fraction:
    """The shift of the recording of ``expected``, which is appended if it is a new one."""
    # The first items of a recording are taken for the same: nothing else relates the two clocks.
    if expected.recording >= len(shifts_s):
        shifts_s.append((found.time_s or Fraction(0)) - (expected.time_s or Fraction(0)))
    return shifts_s[expected.recording]


def _next_expected_is_nearer(expected: _Peekable[T], found: T, shift_s: Fraction) -> bool:
    """Whether the source's next item is nearer to ``found`` than its present one."""
    now, then = expected.now, expected.then
    # The clocks of different recordings are not the same, so their times cannot be compared.
    if now is None or then is None or then.recording != now.recording:
        return False
    return abs(lateness_s(then, found, shift_s)) < abs(lateness_s(now, found, shift_s))


def _next_found_is_nearer(expected: T, found: _Peekable[T], shift_s: Fraction) -> bool:
    """Whether the result's next item is nearer to ``expected`` than its present one."""
    now, then = found.now, found.then
    if now is None or then is None:
        return False
    return abs(lateness_s(expected, then, shift_s)) < abs(lateness_s(expected, now, shift_s))
