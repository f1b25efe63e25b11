"""Times for videos that carry none: when each frame is shown follows from the order that the codec
itself tells.

AVI and bare streams say at best when a packet is decoded. Their n-th frame in the order of showing
is shown at the n-th of these times; which one that is, is written in H.264 and HEVC, and follows
from the types of frames in MPEG-4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Protocol

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.video.stream import VideoStream as InputVideo

from facepaint.media.decoder import packet_of

VOP_START = b"\x00\x00\x01\xb6"
B_TYPE = 2
"""ISO/IEC 14496-2: the start of a frame, and the two bits behind it that say B."""

NOT_CODED_BYTES = 19
"""A packet of MPEG-4 this small says only that nothing changes."""

BEGINNING_PACKETS = 20
PADDING_PACKETS = 80
"""FFmpeg's filter knows a frame's place once later ones come, and gives it 62 later: at the end the
file's beginning, over and over, stands for those.

Told of the end instead, it gives the frames it still holds the places of much earlier ones.
"""

MOST_REORDERED = 16
"""Frames that can be missing before one that was decoded early, where a stream breaks off."""

KEPT_TIMES = 128
"""More than the frames that any codec shows later or earlier than it decodes them."""


@dataclass(slots=True)
class _Placed:
    """A packet and its frame's number in the order of showing, None if it shows no frame."""

    packet: av.Packet[Any]
    number: int | None


class _Order(Protocol):
    """Finds the numbers of frames."""

    @property
    def delay(self) -> int:
        """By how many frames showing lags behind decoding."""

    def place(self, packet: av.Packet[Any] | None) -> list[_Placed]:
        """Take the next packet, None at the end; gives those whose numbers are known, in the order
        taken."""


def can_restore(codec: str) -> bool:
    """Whether the order of showing can be told for such a video."""
    return codec in ("h264", "hevc", "mpeg4")


class PtsRecovery:
    """Sets pts and dts of a stream's packets, in the order of the file; holds a few dozen packets
    back.

    ``lost`` counts the packets for which no place could be found, and which are left out.
    """

    def __init__(self, stream: InputVideo) -> None:
        in_types = stream.codec_context.name == "mpeg4"
        self._order: _Order = _TypeOrder() if in_types else _CodedOrder(stream)
        self._unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream) if in_types else None
        self._times: deque[int] = deque()
        self._forgotten = 0
        self._waiting: deque[_Placed] = deque()
        self._given = 0
        self.lost = 0

    def of(self, packet: av.Packet[Any]) -> Iterator[av.Packet[Any]]:
        """Take the next packet, an empty one at the end; gives those whose times have become
        known."""
        for whole in self._unpacked(packet):
            try:
                placed = self._order.place(whole)
            except av.error.FFmpegError:
                self.lost += 1
                continue
            self._note_time(whole)
            self._waiting.extend(placed)
        if not packet.size:
            self._waiting.extend(self._order.place(None))
        yield from self._timed(ended=not packet.size)

    def _unpacked(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """The packet with one frame in it."""
        if not packet.size or self._unpack is None:
            return [packet] if packet.size else []
        whole = packet_of(bytes(packet))
        whole.pts, whole.dts, whole.duration = packet.pts, packet.dts, packet.duration
        whole.is_keyframe = packet.is_keyframe
        found = self._unpack.filter(whole)
        for single in found:
            single.time_base, single.stream = packet.time_base, packet.stream
        return found

    def _note_time(self, packet: av.Packet[Any]) -> None:
        """Remember when the packet is decoded; bare streams go by their frame rate."""
        if packet.dts is None:
            self._times.append(self._times[-1] + max(1, packet.duration or 0) if self._times else 0)
        else:
            self._times.append(max(packet.dts, self._times[-1] + 1) if self._times else packet.dts)

    def _timed(self, ended: bool) -> Iterator[av.Packet[Any]]:
        while self._waiting:
            packet, number = self._waiting[0].packet, self._waiting[0].number
            read = self._forgotten + len(self._times)
            if not ended and (self._given if number is None else number) >= read:
                return
            self._waiting.popleft()
            self._given += 1
            if number is None:
                continue
            if not self._forgotten <= number < read + MOST_REORDERED:
                self.lost += 1
                continue
            packet.pts = self._time(number)
            packet.dts = min(packet.pts, self._time(self._given - 1 - self._order.delay))
            while len(self._times) > KEPT_TIMES:
                self._times.popleft()
                self._forgotten += 1
            yield packet

    def _time(self, number: int) -> int:
        """The time of a number; before the first and behind the last, times go on as between two
        there."""
        times, index = self._times, number - self._forgotten
        if 0 <= index < len(times):
            return times[index]
        edge, inner = (0, 1) if index < 0 else (-1, -2)
        step = abs(times[edge] - times[inner]) if len(times) > 1 else 1
        return times[edge] + (index if index < 0 else index - len(times) + 1) * step


class _CodedOrder:
    """H.264 and HEVC write into every frame where it is shown (picture order count); FFmpeg's
    filter reads that."""

    def __init__(self, stream: InputVideo) -> None:
        self._filter = BitStreamFilterContext("dts2pts", stream)
        self._queue: deque[av.Packet[Any]] = deque()
        self._beginning: list[bytes] = []
        self._taken = 0
        self._delay: int | None = None

    @property
    def delay(self) -> int:
        return self._delay or 0

    def place(self, packet: av.Packet[Any] | None) -> list[_Placed]:
        if packet is None:
            padding = islice(cycle(self._beginning), PADDING_PACKETS)
            return [placed for data in (*padding, None) for placed in self._filtered(data)]
        data = bytes(packet)
        if len(self._beginning) < BEGINNING_PACKETS:
            self._beginning.append(data)
        self._queue.append(packet)
        try:
            return self._filtered(data)
        except av.error.FFmpegError:
            self._queue.remove(packet)
            raise

    def _filtered(self, data: bytes | None) -> list[_Placed]:
        numbered = None if data is None else packet_of(data)
        if numbered is not None:
            numbered.dts, numbered.duration = self._taken, 1
        found = self._filter.filter(numbered)
        self._taken += 1
        return [
            _Placed(self._queue.popleft(), self._number(packet.pts))
            for packet in found
            if self._queue
        ]

    def _number(self, pts: int | None) -> int:
        if self._delay is None:
            # A file of one frame: nothing comes behind it that would tell its place.
            self._delay = 0 if pts is None else pts
            return 0
        return -1 if pts is None else pts - self._delay


class _TypeOrder:
    """In MPEG-4 a frame that others may refer to is shown when the next such frame is decoded, a
    B-frame at once."""

    @property
    def delay(self) -> int:
        return 1

    def __init__(self) -> None:
        self._held: list[_Placed] = []
        """A frame that others may refer to, and the B-frames decoded since."""
        self._shows = True
        self._taken = 0

    def place(self, packet: av.Packet[Any] | None) -> list[_Placed]:
        data = b"" if packet is None else bytes(packet)
        ready: list[_Placed] = []
        if packet is not None and _is_b_frame(data):
            self._held.append(_Placed(packet, self._taken - 1))
        else:
            if self._held and self._shows:
                self._held[0].number = self._taken - 1
            ready, self._held = self._held, [_Placed(packet, None)] if packet is not None else []
            self._shows = len(data) > NOT_CODED_BYTES
        self._taken += 1
        return ready


def _is_b_frame(data: bytes) -> bool:
    start = data.find(VOP_START)
    return 0 <= start < len(data) - 4 and data[start + 4] >> 6 == B_TYPE
