"""Cut demuxed packets into segments. Pure: packets in, segments out, no file and no storage.

The rules are those of `facepaint.records.job.Segment`. A segment ends at the first keyframe at or
after ``segment_s``. Where none comes within twice that, it ends at any packet and the next ones are
decoded from where this run began; there segments grow, since each is decoded from the run's
beginning.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from facepaint.records.segment import AudioPacket, Packet, Segment, SegmentData

GROWTH = (1, 1, 2, 4)
"""Lengths of the segments of a run without keyframes, in ``segment_s``; the last one goes on."""

MAX_WORK_PX = 1_200_000_000
"""Frames x pixels of a segment: what a slow CPU paints in under a minute."""

MAX_BYTES = 64 * 2**20
"""A segment ends at any packet before it grows over this, and the uploader's memory with it."""

LOOKAHEAD = 64
"""Packets after which a border is taken as settled whatever the dts say: more than any codec
reorders."""


@dataclass(frozen=True, slots=True)
class CutSegment:
    """A segment's record and what is stored beside it."""

    record: Segment
    data: bytes
    audio: bytes


@dataclass(slots=True)
class _Border:
    """Where a segment ends: before the packet at ``position``; it shows what comes before
    ``pts``."""

    position: int
    pts: int
    at_keyframe: bool


@dataclass(slots=True)
class _Sound:
    packet: AudioPacket
    data: bytes
    time: Fraction | None


@dataclass(slots=True)
class _Held:
    """The packets of the segment being gathered, with those looked ahead at."""

    packets: list[Packet] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, packet: Packet, data: bytes) -> None:
        self.packets.append(packet)
        self.data.append(data)
        self.size += len(data)


class Cutter:
    """Feed it packets in the order of the file; it gives segments as soon as their borders are
    settled.

    It holds one segment and the packets looked ahead at, whatever the file's length. ``late``
    counts the frames that come too late in the file for the time they are to be shown at, and are
    in no segment.
    """

    def __init__(self, time_base: Fraction, pixels: int, segment_s: float) -> None:
        self._time_base = time_base
        self._pixels = pixels
        self._segment = Fraction(segment_s).limit_denominator(1000) / time_base
        self._held = _Held()
        self._sounds: deque[_Sound] = deque()
        self._border: _Border | None = None
        self._index = 0
        self._run_start = 0
        self.late = 0
        self._start: int | None = None
        self._end: int | None = None
        self._last: int | None = None
        self._sound_size = 0

    def video(self, packet: Packet, data: bytes) -> Iterator[CutSegment]:
        """Take the next video packet; gives the segments it completes. One that is shown needs a
        pts."""
        if not packet.discard:
            # The frame shown last may be decoded long before the file ends. What others last says
            # nothing: where frames are reordered, containers tell the time to the next one decoded.
            if self._last is None or _time(packet) >= self._last:
                self._last, self._end = _time(packet), _time(packet) + max(1, packet.duration)
            self.late += self._start is not None and _time(packet) < self._start
        waiting = deque([(packet, data)])
        while waiting:
            self._take(*waiting.popleft())
            if self._border is not None and self._is_settled():
                cut, rest = self._cut()
                yield cut
                waiting.extendleft(reversed(rest))

    def audio(self, packet: AudioPacket, data: bytes, time_base: Fraction) -> None:
        """Take the next packet of a sound track; it goes with the segment of its time, or the next
        to be cut."""
        time = None if packet.pts is None else packet.pts * time_base
        self._sounds.append(_Sound(packet, data, time))
        self._sound_size += packet.size

    def finish(self) -> Iterator[CutSegment]:
        """The file has ended: gives what is left.

        A border in a run that is not settled yet is left out if there is room: too few packets are
        behind it to push out what is before.
        """
        while self._border is not None and (self._border.at_keyframe or self._size > MAX_BYTES):
            cut, rest = self._cut()
            yield cut
            for packet, data in rest:
                self._take(packet, data)
        if self._end is not None and self._held.packets:
            yield self._make(len(self._held.packets), len(self._held.packets), self._end, None)

    def _take(self, packet: Packet, data: bytes) -> None:
        if self._border is None:
            self._border = self._border_before(packet)
        self._held.add(packet, data)
        border = self._border
        if border is None or packet.discard:
            return
        if not border.at_keyframe:
            border.pts = min(border.pts, _time(packet))
        if border.pts <= self._window_start(border.position):
            # What the segment was to begin with comes behind the border: it must end later.
            self._border = None

    def _window_start(self, own: int) -> int:
        """Where the window of a segment of so many packets begins."""
        if self._start is not None:
            return self._start
        return min(_times(self._held.packets[:own]))

    def _border_before(self, packet: Packet) -> _Border | None:
        """A border at which the segment ends, before this packet or at one already held."""
        held = self._held.packets
        first = next((earlier for earlier in held if not earlier.discard), None)
        # A segment shows at least one frame, and so does what follows the border.
        if first is None or packet.discard:
            return None
        if self._ends_at_keyframe(first, packet):
            return _Border(len(held), _time(packet), at_keyframe=True)
        position = self._index - self._run_start
        elapsed = _order(packet) - _order(first)
        if position == 0 and elapsed >= 2 * self._segment:
            # No keyframe came in time. The segment ends where it would have ended without waiting.
            back = next((n for n, p in enumerate(held) if n and self._may_end(first, p)), len(held))
            return _Border(back, min(_times([*held[back:], packet])), at_keyframe=False)
        longest = GROWTH[min(position, len(GROWTH) - 1)] * self._segment
        grown = position > 0 and elapsed >= longest
        if grown or self._is_full(packet):
            return _Border(len(held), _time(packet), at_keyframe=False)
        return None

    def _ends_at_keyframe(self, first: Packet, packet: Packet) -> bool:
        """Whether the segment ends before a packet because that is a keyframe."""
        if not packet.keyframe or _time(packet) <= max(_times(self._held.packets)):
            return False
        # The next keyframe always ends a run: what follows is decoded from there.
        in_run = self._index > self._run_start
        long_enough = _time(packet) - _time(first) >= self._segment
        return in_run or long_enough or self._is_full(packet)

    def _is_full(self, packet: Packet) -> bool:
        """Whether the segment with this packet would be too much work or too large."""
        work_px = len(self._held.packets) * self._pixels
        return work_px >= MAX_WORK_PX or self._size + packet.stored_bytes > MAX_BYTES

    @property
    def _size(self) -> int:
        """Bytes in memory."""
        return self._held.size + self._sound_size

    def _may_end(self, first: Packet, packet: Packet) -> bool:
        return not packet.discard and _order(packet) - _order(first) >= self._segment

    def _is_settled(self) -> bool:
        """Whether no packet to come can be shown before the border; a packet's pts is never below
        its dts."""
        border, newest = self._border, self._held.packets[-1]
        assert border is not None
        if newest.dts is not None and newest.dts >= border.pts:
            return True
        return len(self._held.packets) - border.position >= LOOKAHEAD

    def _cut(self) -> tuple[CutSegment, list[tuple[Packet, bytes]]]:
        """End the segment at the settled border; also the packets after it, to be taken again."""
        border, held = self._border, self._held
        assert border is not None
        after = held.packets[border.position :]
        if border.at_keyframe:
            earlier = (
                n + 1
                for n, packet in enumerate(after)
                if not packet.discard and _time(packet) < border.pts
            )
            overlap = max(earlier, default=0)
        else:
            overlap = _pushing(after, border.pts)
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

    def _make(self, own: int, stored: int, end: int, until: Fraction | None) -> CutSegment:
        packets, data = self._held.packets[:stored], SegmentData.pack(self._held.data[:stored])
        sounds = self._sounds_until(until)
        audio = SegmentData.pack(sound.data for sound in sounds)
        record = Segment(
            index=self._index,
            start=self._window_start(own),
            end=end,
            packets=tuple(packets),
            sha256=data.sha256,
            overlap=stored - own,
            decode_from=self._run_start,
            audio=tuple(sound.packet for sound in sounds),
            audio_sha256=audio.sha256,
        )
        return CutSegment(record, data.data, audio.data)

    def _sounds_until(self, until: Fraction | None) -> list[_Sound]:
        """The sound before a time, in the order of the file, each track's packets in their order.

        Sound that runs far ahead of the pictures is taken earlier than its time: memory is bounded.
        """
        if self._sound_size > MAX_BYTES // 2:
            until = None
        taken: list[_Sound] = []
        kept: deque[_Sound] = deque()
        later: set[int] = set()
        for sound in self._sounds:
            stream = sound.packet.stream
            if until is not None and (
                stream in later or (sound.time is not None and sound.time >= until)
            ):
                later.add(stream)
                kept.append(sound)
            else:
                taken.append(sound)
        self._sounds = kept
        self._sound_size = sum(sound.packet.size for sound in kept)
        return taken


def _pushing(after: Sequence[Packet], border: int) -> int:
    """How many packets behind a border push what comes before it out of a decoder that is to go on
    there."""
    enough = (
        n + 1 for n, packet in enumerate(after) if packet.dts is not None and packet.dts >= border
    )
    next_run = (n for n, packet in enumerate(after) if packet.keyframe)
    return min(next(enough, len(after)), next(next_run, len(after)))


def _time(packet: Packet) -> int:
    """When the packet's frame is shown."""
    assert packet.pts is not None
    return packet.pts


def _times(packets: Iterable[Packet]) -> list[int]:
    """When frames are shown; packets that are not shown may have no time."""
    return [_time(packet) for packet in packets if not packet.discard]


def _order(packet: Packet) -> int:
    """Where the packet stands in decoding order, in time."""
    return packet.dts if packet.dts is not None else _time(packet)
