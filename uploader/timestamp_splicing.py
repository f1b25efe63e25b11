"""The times of a file in one row, where recordings were put one behind the other and times begin
anew."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

import av

JUMP_S = 1
"""Times that go back by more than this begin anew; decoding and muxing alone set them back by
less."""


class TimestampSplicer:
    """Says by how much the times of each packet are to be shifted. ``parts`` counts the recordings
    found so far.

    The video decides: where it jumps back, a new part begins at the end of all that came before.
    Sound goes over to that part where it jumps itself, which may be a little earlier or later; what
    it has too much at the seam is left out. ``ends_s`` is where everything so far ends, in seconds.
    """

    def __init__(self, video_index: int) -> None:
        self._video = video_index
        self._shifts_s = [Fraction(0)]
        self._part: defaultdict[int, int] = defaultdict(int)
        self._before_s: dict[int, Fraction] = {}
        self._placed_s: dict[int, Fraction] = {}
        self.ends_s = Fraction(0)

    @property
    def parts(self) -> int:
        """How many recordings the file has turned out to be made of."""
        return len(self._shifts_s)

    def shift(self, packet: av.Packet[Any]) -> int | None:
        """Ticks to add to the packet's times; None if it is to be left out."""
        index = packet.stream.index
        time = packet.pts if packet.dts is None else packet.dts
        if time is not None and not packet.is_discard:
            now_s = time * packet.time_base
            shown_s = (time if packet.pts is None else packet.pts) * packet.time_base
            if self._before_s.get(index, now_s) - now_s > JUMP_S and not self._enter_next_part(
                index, shown_s
            ):
                return None
            self._before_s[index] = now_s
            shift_s = self._shifts_s[self._part[index]]
            if (
                self._part[index]
                and index != self._video
                and now_s + shift_s <= self._placed_s[index]
            ):
                return None
            self._placed_s[index] = now_s + shift_s
            self.ends_s = max(
                self.ends_s, shown_s + shift_s + (packet.duration or 0) * packet.time_base
            )
        return round(self._shifts_s[self._part[index]] / packet.time_base)

    def _enter_next_part(self, index: int, shown_s: Fraction) -> bool:
        """Go over to the part that begins here, if the video says that one does."""
        if index == self._video:
            self._shifts_s.append(self.ends_s - shown_s)
        elif self._part[index] == self._part[self._video]:
            return False
        self._part[index] = len(self._shifts_s) - 1
        return True
