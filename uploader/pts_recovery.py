"""Recover the presentation times of videos without them, from the display order in the codec.

AVI and bare streams have at best decoding times. The n-th frame in display order is shown at the
n-th of these times. H.264 and HEVC write the display order into each frame; in MPEG-4 it follows
from the frame types.
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

from facepaint.media.decoder import make_packet

VOP_START = b"\x00\x00\x01\xb6"
B_TYPE = 2
"""ISO/IEC 14496-2: the start code of a frame, and the value of the two bits after it in a
B-frame."""

NOT_CODED_BYTES = 19
"""An MPEG-4 packet of at most this size only repeats the frame before."""

FIRST_PACKETS = 20
PADDING_PACKETS = 80
"""FFmpeg's filter returns a frame 62 packets later, when later frames have settled its place. At
the end of the file its first packets, repeated, serve as those.

The alternative, to flush the filter, gives the last frames the places of much earlier ones.
"""

MAX_REORDERED = 16
"""Frames that can be missing before one that was decoded early, where a stream breaks off."""

KEPT_TIMES = 128
"""More than the frames by which any codec reorders."""


@dataclass(slots=True)
class _Placed:
    """A packet and its frame's number in display order, None if it shows no frame."""

    packet: av.Packet[Any]
    number: int | None


class _Order(Protocol):
    """Finds the numbers of frames in display order."""

    @property
    def delay(self) -> int:
        """The frames by which display lags behind decoding."""

    def place(self, packet: av.Packet[Any] | None) -> list[_Placed]:
        """Take the next packet, None at the end.

        Returns the packets whose numbers have become known, in the order in which they were taken.
        """


def can_recover_pts(codec: str) -> bool:
    """Whether the display order can be read from video of this codec."""
    return codec in ("h264", "hevc", "mpeg4")


class PtsRecovery:
    """Sets pts and dts of a stream's packets, in file order. Holds back a few dozen packets.

    ``dropped`` counts the packets whose place in display order is unknown.
    """

    def __init__(self, stream: InputVideo) -> None:
        is_mpeg4 = stream.codec_context.name == "mpeg4"
        self._order: _Order = _FrameTypeOrder() if is_mpeg4 else _PictureOrderCount(stream)
        self._unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream) if is_mpeg4 else None
        self._times: deque[int] = deque()
        self._forgotten = 0
        self._waiting: deque[_Placed] = deque()
        self._returned = 0
        self.dropped = 0

    def of(self, packet: av.Packet[Any]) -> Iterator[av.Packet[Any]]:
        """Take the next packet, an empty one at the end; yield those whose times are known now."""
        for whole in self._unpacked(packet):
            try:
                placed = self._order.place(whole)
            except av.error.FFmpegError:
                self.dropped += 1
                continue
            self._note_time(whole)
            self._waiting.extend(placed)
        if not packet.size:
            self._waiting.extend(self._order.place(None))
        yield from self._timed(ended=not packet.size)

    def _unpacked(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """Packets of one frame each: old AVI files pack a B-frame with the frame before it."""
        if not packet.size:
            return []
        if self._unpack is None:
            return [packet]
        whole = make_packet(bytes(packet))
        whole.pts, whole.dts, whole.duration = packet.pts, packet.dts, packet.duration
        whole.is_keyframe = packet.is_keyframe
        unpacked = self._unpack.filter(whole)
        for single in unpacked:
            single.time_base, single.stream = packet.time_base, packet.stream
        return unpacked

    def _note_time(self, packet: av.Packet[Any]) -> None:
        """Remember when the packet is decoded; bare streams are timed by their frame rate."""
        last = self._times[-1] if self._times else None
        if packet.dts is None:
            time = 0 if last is None else last + max(1, packet.duration or 0)
        else:
            time = packet.dts if last is None else max(packet.dts, last + 1)
        self._times.append(time)

    def _timed(self, ended: bool) -> Iterator[av.Packet[Any]]:
        while self._waiting:
            packet, number = self._waiting[0].packet, self._waiting[0].number
            read = self._forgotten + len(self._times)
            # The time of a frame is that of a packet which may not have been read yet.
            if not ended and (self._returned if number is None else number) >= read:
                return
            self._waiting.popleft()
            self._returned += 1
            if number is None:
                continue
            if not self._forgotten <= number < read + MAX_REORDERED:
                self.dropped += 1
                continue
            packet.pts = self._time(number)
            # The cutter relies on a dts that is never above the pts.
            packet.dts = min(packet.pts, self._time(self._returned - 1 - self._order.delay))
            while len(self._times) > KEPT_TIMES:
                self._times.popleft()
                self._forgotten += 1
            yield packet

    def _time(self, number: int) -> int:
        """The time of a frame number, extrapolated before the first and after the last time."""
        times, index = self._times, number - self._forgotten
        if 0 <= index < len(times):
            return times[index]
        edge, inner, steps = (0, 1, index) if index < 0 else (-1, -2, index - len(times) + 1)
        step = abs(times[edge] - times[inner]) if len(times) > 1 else 1
        return times[edge] + steps * step


class _PictureOrderCount:
    """H.264 and HEVC write the picture order count into every frame; FFmpeg's filter reads it."""

    def __init__(self, stream: InputVideo) -> None:
        self._filter = BitStreamFilterContext("dts2pts", stream)
        self._queue: deque[av.Packet[Any]] = deque()
        self._first: list[bytes] = []
        self._taken = 0
        self._delay: int | None = None

    @property
    def delay(self) -> int:
        return self._delay or 0

    def place(self, packet: av.Packet[Any] | None) -> list[_Placed]:
        if packet is None:
            padding = islice(cycle(self._first), PADDING_PACKETS)
            return [placed for data in (*padding, None) for placed in self._filtered(data)]
        data = bytes(packet)
        if len(self._first) < FIRST_PACKETS:
            self._first.append(data)
        self._queue.append(packet)
        try:
            return self._filtered(data)
        except av.error.FFmpegError:
            self._queue.remove(packet)
            raise

    def _filtered(self, data: bytes | None) -> list[_Placed]:
        """The packets that the filter returns for the next one; None flushes it."""
        numbered = None if data is None else make_packet(data)
        if numbered is not None:
            # With these dts, the pts that the filter computes are frame numbers.
            numbered.dts, numbered.duration = self._taken, 1
        filtered = self._filter.filter(numbered)
        self._taken += 1
        # The padding comes out as well; by then the queue is empty.
        return [
            _Placed(self._queue.popleft(), self._number(packet.pts))
            for packet in filtered
            if self._queue
        ]

    def _number(self, pts: int | None) -> int:
        if self._delay is None:
            # The delay is the pts of the first frame. In a file of one frame the filter has none.
            self._delay = 0 if pts is None else pts
            return 0
        return -1 if pts is None else pts - self._delay


class _FrameTypeOrder:
    """MPEG-4: a reference frame is shown when the next one is decoded, a B-frame immediately."""

    @property
    def delay(self) -> int:
        return 1

    def __init__(self) -> None:
        # A reference frame, and the B-frames decoded since.
        self._held: list[_Placed] = []
        self._is_shown = True
        self._taken = 0

    def place(self, packet: av.Packet[Any] | None) -> list[_Placed]:
        data = b"" if packet is None else bytes(packet)
        ready: list[_Placed] = []
        if packet is not None and _is_b_frame(data):
            self._held.append(_Placed(packet, self._taken - 1))
        else:
            if self._held and self._is_shown:
                self._held[0].number = self._taken - 1
            ready, self._held = self._held, [_Placed(packet, None)] if packet is not None else []
            self._is_shown = len(data) > NOT_CODED_BYTES

        self._taken += 1
        return ready


def _is_b_frame(data: bytes) -> bool:
    start = data.find(VOP_START)
    return 0 <= start < len(data) - 4 and data[start + 4] >> 6 == B_TYPE
