"""Splice the times of concatenated recordings, whose timestamps start again, into one timeline."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

import av

JUMP_S = 1
"""Times that go back by more than this start a new recording; reordering and muxing set them back
by less."""


class TimestampSplicer:
    """Computes the shift of each packet's times.

    The video decides: where it jumps back, a new recording starts at the end of everything before.
    Audio changes to that recording where it jumps back itself, which may be a little earlier or
    later; audio that overlaps at the splice is dropped. ``ends_s`` is the end of everything so far,
    in seconds.
    """

    def __init__(self, video_index: int) -> None:
        self._video = video_index
        self._shifts_s = [Fraction(0)]
        self._recording: defaultdict[int, int] = defaultdict(int)
        self._source_s: dict[int, Fraction] = {}
        self._spliced_s: dict[int, Fraction] = {}
        self.ends_s = Fraction(0)

    @property
    def recordings(self) -> int:
        """How many recordings the file has contained so far."""
        return len(self._shifts_s)

    def shift(self, packet: av.Packet[Any]) -> int | None:
        """Ticks to add to the packet's times; None if the packet is to be dropped."""
        index = packet.stream.index
        time = packet.pts if packet.dts is None else packet.dts
        # The times of discarded packets are no evidence: an edit list may set them back.
        if time is None or packet.is_discard:
            return self._ticks(packet)
        now_s = time * packet.time_base
        shown_s = (time if packet.pts is None else packet.pts) * packet.time_base
        jumps_back = self._source_s.get(index, now_s) - now_s > JUMP_S
        if jumps_back and not self._enter_next_recording(index, shown_s):
            return None
        self._source_s[index] = now_s
        shift_s = self._shifts_s[self._recording[index]]
        is_spliced_audio = index != self._video and self._recording[index] > 0
        # Audio that overlaps the recording before: both cannot be played.
        if is_spliced_audio and now_s + shift_s <= self._spliced_s[index]:
            return None
        self._spliced_s[index] = now_s + shift_s
        duration_s = (packet.duration or 0) * packet.time_base
        self.ends_s = max(self.ends_s, shown_s + shift_s + duration_s)
        return self._ticks(packet)

    def _ticks(self, packet: av.Packet[Any]) -> int:
        """The shift of a packet's recording, in ticks of its time base."""
        shift_s = self._shifts_s[self._recording[packet.stream.index]]
        return round(shift_s / packet.time_base)

    def _enter_next_recording(self, index: int, shown_s: Fraction) -> bool:
        """Change a track to the next recording; False if the video has not started one."""
        if index == self._video:
            self._shifts_s.append(self.ends_s - shown_s)
        elif self._recording[index] == self._recording[self._video]:
            return False
        self._recording[index] = len(self._shifts_s) - 1
        return True
