"""Cut demuxed packets into segments. Pure: packets in, segments out, no files and no storage.

The rules are those of `facepaint.records.segment.Segment`. A segment ends at the first keyframe at
or after ``segment_s``. If none comes within twice that, it ends at any packet, and the segments
after it are decoded from the keyframe at which this run starts. The segments of a run grow, because
each of them is decoded from the start of the run.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from facepaint.records.segment import AudioPacket, Packet, Segment, SegmentData

GROWTH = (1, 1, 2, 4)
"""Lengths of the segments of a run without keyframes, in ``segment_s``; the last one repeats."""

MAX_WORK_PX = 1_200_000_000
"""Frames x pixels of a segment: what a slow CPU paints in under a minute."""

MAX_BYTES = 64 * 2**20
"""A segment ends at any packet before it grows larger; this bounds the uploader's memory."""

LOOKAHEAD = 64
"""Packets after which a border counts as settled whatever the dts are: more than any codec
reorders."""


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """What a segment may hold at most.

    Args:
        work_px: frames x pixels.
        size_bytes: bytes of video and audio packets in memory.
    """

    work_px: int = MAX_WORK_PX
    size_bytes: int = MAX_BYTES


DEFAULT_LIMITS = SegmentLimits()


@dataclass(frozen=True, slots=True)
class CutSegment:
    """A segment's record, and the bytes of its video and audio packets."""

    record: Segment
    data: bytes
    audio: bytes


@dataclass(slots=True)
class _Border:
    """The end of a segment: before the packet at ``position``. It shows the frames before
    ``pts``."""

    position: int
    pts: int
    at_keyframe: bool


@dataclass(slots=True)
class _Audio:
    """An audio packet with its bytes; ``time_s`` is in seconds, None if the packet has no pts."""

    packet: AudioPacket
    data: bytes
    time_s: Fraction | None


@dataclass(slots=True)
class _Held:
    """The packets of the segment being gathered, and those read ahead of its border."""

    packets: list[Packet] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, packet: Packet, data: bytes) -> None:
        self.packets.append(packet)
        self.data.append(data)
        self.size += len(data)


class Cutter:
    """Takes packets in file order and yields each segment as soon as its border is settled.

    It holds one segment and the packets read ahead, whatever the file's length. ``late`` counts the
    frames that are stored after the segment that should show them; they are in no segment.

    Args:
        time_base: seconds per tick of the video's timestamps.
        pixels: pixels of a frame, weighted by what they cost to encode.
        segment_s: the length of a segment in seconds.
        limits: what a segment may hold at most.
    """

    def __init__(
        self,
        time_base: Fraction,
        pixels: int,
        segment_s: float,
        limits: SegmentLimits = DEFAULT_LIMITS,
    ) -> None:
        self._time_base = time_base
        self._pixels = pixels
        # Exact, so that the same file is cut at the same packets everywhere.
        self._segment = Fraction(segment_s).limit_denominator(1000) / time_base
        self._limits = limits
        self._held = _Held()
        self._audio: deque[_Audio] = deque()
        self._border: _Border | None = None
        self._index = 0
        self._run_start = 0
        self.late = 0
        self._start: int | None = None
        self._end: int | None = None
        self._last: int | None = None
        self._audio_size = 0

    def video(self, packet: Packet, data: bytes) -> Iterator[CutSegment]:
        """Take the next video packet and yield the segments that it completes.

        A packet that is shown needs a pts.
        """
        if not packet.discard:
            self._note_end(packet)
            self.late += self._start is not None and _time(packet) < self._start
        waiting = deque([(packet, data)])
        while waiting:
            self._take(*waiting.popleft())
            if self._border is not None and self._is_settled():
                cut, rest = self._cut()
                yield cut
                # What follows the border may already hold the next one.
                waiting.extendleft(reversed(rest))

    def audio(self, packet: AudioPacket, data: bytes, time_base: Fraction) -> None:
        """Take the next packet of an audio track.

        It is stored with the segment of its time, or with the next one that is cut.
        """
        time_s = None if packet.pts is None else packet.pts * time_base
        self._audio.append(_Audio(packet, data, time_s))
        self._audio_size += packet.size

    def finish(self) -> Iterator[CutSegment]:
        """Yield what is left at the end of the file."""
        # A border inside a run that is not settled yet is dropped if there is room: too few packets
        # follow it to make a decoder return the frames before it.
        while self._border is not None and (self._border.at_keyframe or self._is_oversized):
            cut, rest = self._cut()
            yield cut
            for packet, data in rest:
                self._take(packet, data)
        # Without a shown frame there is no window, and so no segment.
        if self._end is not None and self._held.packets:
            yield self._make(len(self._held.packets), len(self._held.packets), self._end, None)

    def _note_end(self, packet: Packet) -> None:
        """Remember the end of the frame that is shown last.

        That frame may be decoded long before the file ends. The durations of other packets do not
        count: where frames are reordered, containers store the time to the next decoded frame.
        """
        if self._last is None or _time(packet) >= self._last:
            self._last, self._end = _time(packet), _time(packet) + max(1, packet.duration)

    def _take(self, packet: Packet, data: bytes) -> None:
        if self._border is None:
            self._border = self._border_before(packet)
        self._held.add(packet, data)
        border = self._border
        if border is None or packet.discard:
            return
        if not border.at_keyframe:
            # Frames that are reordered across the border belong to the segment after it.
            border.pts = min(border.pts, _time(packet))
        if border.pts <= self._window_start(border.position):
            # The frame that the segment would start with comes after the border: end later.
            self._border = None

    def _window_start(self, own: int) -> int:
        """The start of the window of a segment that owns so many packets."""
        if self._start is not None:
            return self._start
        return min(_times(self._held.packets[:own]))

    def _border_before(self, packet: Packet) -> _Border | None:
        """The border that this packet causes: before it, or at a packet already held."""
        held = self._held.packets
        first = next((earlier for earlier in held if not earlier.discard), None)
        # A segment shows at least one frame, and so does the one after the border.
        if first is None or packet.discard:
            return None
        if self._ends_at_keyframe(first, packet):
            return _Border(len(held), _time(packet), at_keyframe=True)
        elapsed = _decode_time(packet) - _decode_time(first)
        if not self._in_run and elapsed >= 2 * self._segment:
            return self._border_without_keyframe(first, packet)
        is_long = self._in_run and elapsed >= self._run_length()
        if is_long or self._is_full(packet):
            return _Border(len(held), _time(packet), at_keyframe=False)
        return None

    def _border_without_keyframe(self, first: Packet, packet: Packet) -> _Border:
        """No keyframe came in time: the border that waiting for one has passed over."""
        held = self._held.packets
        long_enough = (
            number
            for number, earlier in enumerate(held)
            if number and self._is_long_enough(first, earlier)
        )
        position = next(long_enough, len(held))
        shown_after = _times([*held[position:], packet])
        return _Border(position, min(shown_after), at_keyframe=False)

    def _ends_at_keyframe(self, first: Packet, packet: Packet) -> bool:
        """Whether the segment ends before this packet because it is a keyframe."""
        # In an open GOP a keyframe may be shown before frames that are decoded earlier.
        if not packet.keyframe or _time(packet) <= max(_times(self._held.packets)):
            return False
        # The next keyframe always ends a run: what follows is decoded from there.
        long_enough = _time(packet) - _time(first) >= self._segment
        return self._in_run or long_enough or self._is_full(packet)

    @property
    def _in_run(self) -> bool:
        """Whether the segment continues a run, so that it does not start at a keyframe."""
        return self._index > self._run_start

    def _run_length(self) -> Fraction:
        """The length of the segment at this place of its run, in ticks."""
        position = min(self._index - self._run_start, len(GROWTH) - 1)
        return GROWTH[position] * self._segment

    def _is_full(self, packet: Packet) -> bool:
        """Whether the segment with this packet would be too much work or too large."""
        work_px = len(self._held.packets) * self._pixels
        size = self._size + packet.stored_bytes
        return work_px >= self._limits.work_px or size > self._limits.size_bytes

    @property
    def _size(self) -> int:
        """Bytes in memory."""
        return self._held.size + self._audio_size

    @property
    def _is_oversized(self) -> bool:
        return self._size > self._limits.size_bytes

    def _is_long_enough(self, first: Packet, packet: Packet) -> bool:
        """Whether a segment that starts with ``first`` may end before this packet."""
        return not packet.discard and _decode_time(packet) - _decode_time(first) >= self._segment

    def _is_settled(self) -> bool:
        """Whether no later packet can be shown before the border."""
        border, newest = self._border, self._held.packets[-1]
        assert border is not None
        # The dts grow, and a packet's pts is never below its dts.
        if newest.dts is not None and newest.dts >= border.pts:
            return True
        return len(self._held.packets) - border.position >= LOOKAHEAD

    def _cut(self) -> tuple[CutSegment, list[tuple[Packet, bytes]]]:
        """End the segment at its border. Also returns the packets after it, to be taken again."""
        border, held = self._border, self._held
        assert border is not None
        after = held.packets[border.position :]
        overlap = _overlap(after, border)
        cut = self._make(
            border.position, border.position + overlap, border.pts, border.pts * self._time_base
        )
        rest = list(zip(after, held.data[border.position :], strict=True))
        self._held = _Held()
        self._border = None
        self._start = border.pts
        self._index += 1
        if border.at_keyframe:
            self._run_start = self._index
        return cut, rest

    def _make(self, own: int, stored: int, end: int, audio_until_s: Fraction | None) -> CutSegment:
        """The segment of the first ``stored`` packets, of which ``own`` are not overlap."""
        packets, data = self._held.packets[:stored], SegmentData.pack(self._held.data[:stored])
        audio_packets = self._take_audio(audio_until_s)
        audio = SegmentData.pack(packet.data for packet in audio_packets)
        record = Segment(
            index=self._index,
            start=self._window_start(own),
            end=end,
            packets=tuple(packets),
            sha256=data.sha256,
            overlap=stored - own,
            decode_from=self._run_start,
            audio=tuple(packet.packet for packet in audio_packets),
            audio_sha256=audio.sha256,
        )
        return CutSegment(record, data.data, audio.data)

    def _take_audio(self, until_s: Fraction | None) -> list[_Audio]:
        """Remove and return the audio before a time, or all of it, in file order."""
        # Audio that is stored far ahead of the video is taken before its time, to bound memory.
        if self._audio_size > self._limits.size_bytes // 2:
            until_s = None
        taken: list[_Audio] = []
        kept: deque[_Audio] = deque()
        ended: set[int] = set()
        for audio in self._audio:
            stream = audio.packet.stream
            is_later = until_s is not None and audio.time_s is not None and audio.time_s >= until_s
            if is_later:
                ended.add(stream)
            # A track's packets stay in order, even if the time of one of them is lower.
            (kept if stream in ended else taken).append(audio)
        self._audio = kept
        self._audio_size = sum(audio.packet.size for audio in kept)
        return taken


def _overlap(after: Sequence[Packet], border: _Border) -> int:
    """How many packets after a border the decoder needs for the frames before it."""
    if not border.at_keyframe:
        return _packets_to_flush(after, border.pts)
    # Open GOP: frames that are decoded after the keyframe and shown before it.
    leading = (
        number
        for number, packet in enumerate(after, 1)
        if not packet.discard and _time(packet) < border.pts
    )
    return max(leading, default=0)


def _packets_to_flush(after: Sequence[Packet], border: int) -> int:
    """How many packets after a border inside a run make the decoder return the frames before it.

    The decoder itself cannot be flushed: it continues with the next segment of the run.
    """
    reached = (
        number
        for number, packet in enumerate(after, 1)
        if packet.dts is not None and packet.dts >= border
    )
    next_run = (number for number, packet in enumerate(after) if packet.keyframe)
    return min(next(reached, len(after)), next(next_run, len(after)))


def _time(packet: Packet) -> int:
    """The presentation time of a packet that is shown, in ticks."""
    assert packet.pts is not None
    return packet.pts


def _times(packets: Iterable[Packet]) -> list[int]:
    """The presentation times of those packets that are shown; the others may have none."""
    return [_time(packet) for packet in packets if not packet.discard]


def _decode_time(packet: Packet) -> int:
    """The packet's place in decoding order, in ticks."""
    return packet.dts if packet.dts is not None else _time(packet)
