"""Compare the frames of two videos: how many there are, and when each is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice
from typing import NamedTuple

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from facepaint.media.open import lacks_pts
from viewer.verify.alignment import lateness_s, pair_nearest
from viewer.verify.report import Occurrences, seconds

REORDERED_FRAMES = 8
"""Frames by which a video with reordered frames shows whether its times are reliable."""

KEPT_TIMES = 128
"""Times of packets kept until that is known."""

KEPT_REFUSALS = 1000
"""Times of refused packets kept: more than a segment has of which nothing can be decoded."""

JUMP_S = 1
"""Times that go back by more than this start a new recording in the same file."""


class Shown(NamedTuple):
    """When a frame is shown, in seconds.

    Args:
        recording: the index of its recording, in a file of concatenated recordings.
        time_s: its time, or the earliest one if it is uncertain.
        until_s: the latest time if it is uncertain.
    """

    recording: int
    time_s: Fraction
    until_s: Fraction | None = None

    @property
    def latest_s(self) -> Fraction:
        """The latest time that is as good as ``time_s``."""
        return self.time_s if self.until_s is None else self.until_s


class FrameReader:
    """The frames of a file's main video as an ordinary decode returns them, a few in memory.

    The attributes below are filled while `times` is iterated.

    Attributes:
        untimed: the file has no reliable presentation times; the n-th frame is shown at the time of
            its n-th packet.
        first: the first frame.
        sizes: the frame sizes, in the order of their appearance.
        refused: packets that the decoder refuses, also by time in ``refused_at``.
        concealed: frames that are decoded with errors.
        repeated: frames at the time of the one before; players show only one of the two.
        ends_early: why reading stopped; empty if it did not.
        recordings: how many concatenated recordings the file has.
        count: the frames.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self.stream = container, stream
        context = stream.codec_context
        # With frame threads, a refusal is reported with a later packet.
        context.thread_type = "SLICE"
        self.tick = Fraction(stream.time_base or 1)
        self.untimed = lacks_pts(
            container.format.name, context.name, bytes(context.extradata or b"")
        )
        self._packet_times: deque[int] = deque()
        self.first: av.VideoFrame | None = None
        self.sizes: dict[tuple[int, int], None] = {}
        self.refused, self.concealed = Occurrences(), Occurrences()
        self.repeated = Occurrences()
        self.refused_at: deque[Fraction] = deque(maxlen=KEPT_REFUSALS)
        self.ends_early = ""
        self.recordings = 1
        self.count = 0

    def times(self) -> Iterator[Shown]:
        """When each frame is shown."""
        last_s: Fraction | None = None
        for frame, at_s in self._timed():
            if last_s is not None and last_s - at_s > JUMP_S:
                self.recordings += 1
            elif last_s is not None and at_s <= last_s:
                # Players show one of two frames at the same time.
                self.repeated.add(seconds(at_s))
                continue
            last_s = at_s
            self.first = self.first or frame
            self.sizes[frame.width, frame.height] = None
            if frame.is_corrupt:
                self.concealed.add(seconds(at_s))
            self.count += 1
            yield Shown(self.recordings - 1, at_s)

    def _timed(self) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Frames with their times; one without a time follows the one before."""
        decoded = self._decoded()
        # Unreliable times show where frames are reordered: the decoder returns them out of order.
        start = list(islice(decoded, REORDERED_FRAMES))
        times = [frame.pts for frame in start]
        is_sorted = None not in times and times == sorted(times)  # type: ignore[type-var]
        if self.stream.codec_context.has_b_frames and not is_sorted:
            self.untimed = True
        expected = 0
        for frame in chain(start, decoded):
            pts = frame.pts if frame.pts is not None else frame.dts
            # The n-th shown frame gets the n-th decoding time, as the uploader recovers it.
            if self.untimed:
                pts = self._packet_times.popleft() if self._packet_times else None
            pts = expected if pts is None else pts
            expected = pts + max(1, frame.duration or 0)
            yield frame, pts * self.tick

    def _decoded(self) -> Iterator[av.VideoFrame]:
        try:
            for packet in self._container.demux(self.stream):
                if packet.size:
                    self._note_time(packet)
                    yield from self._decode(packet)
        except av.error.FFmpegError as exc:
            self.ends_early = (exc.strerror or str(exc)).lower()
        # After an error, too: the decoder still has frames.
        yield from self._decode(None)

    def _note_time(self, packet: av.Packet[VideoStream]) -> None:
        """Remember when a packet is decoded, for as long as that may be needed."""
        if packet.dts is not None:
            self._packet_times.append(packet.dts)
        if not self.untimed and len(self._packet_times) > KEPT_TIMES:
            self._packet_times.popleft()

    def _decode(self, packet: av.Packet[VideoStream] | None) -> list[av.VideoFrame]:
        try:
            return self.stream.codec_context.decode(packet)
        except av.error.FFmpegError as exc:
            self._note_refusal(packet, (exc.strerror or str(exc)).lower())
            return []

    def _note_refusal(self, packet: av.Packet[VideoStream] | None, reason: str) -> None:
        time = None if packet is None else packet.pts if packet.pts is not None else packet.dts
        if time is None:
            self.refused.add("at the end")
        else:
            self.refused_at.append(time * self.tick)
            self.refused.add(seconds(time * self.tick))
        self.refused.reasons[reason] = None


@dataclass(slots=True)
class FrameMatch:
    """The outcome of comparing frames.

    Attributes:
        matched: pairs of frames.
        shifts_s: how much later each recording is in the result, in seconds.
        missing: frames of the source that the result lacks.
        extra: frames of the result that the source lacks.
        stand_ins: frames of the result in the place of packets that the decoder refuses.
        wrong: frames at another time.
    """

    matched: int = 0
    shifts_s: list[Fraction] = field(default_factory=list)
    missing: Occurrences = field(default_factory=Occurrences)
    extra: Occurrences = field(default_factory=Occurrences)
    stand_ins: Occurrences = field(default_factory=Occurrences)
    wrong: Occurrences = field(default_factory=Occurrences)


def match_frames(
    source: Iterator[Shown],
    result: Iterator[Shown],
    tolerance_s: Fraction,
    *,
    may_shift: bool,
    refused_at: Collection[Fraction] = (),
) -> FrameMatch:
    """Compare when frames are shown.

    Args:
        source: the frames that are expected, in order.
        result: the frames that there are, in order.
        tolerance_s: a difference in time that is none.
        may_shift: everything may be later in the result by the shift of the first frames. The
            later recordings of a file are shifted in any case.
        refused_at: the times of packets that the decoder has refused lately. A frame of the result
            at one of them is a stand-in.
    """
    match = FrameMatch(shifts_s=[] if may_shift else [Fraction(0)])
    for expected, found in pair_nearest(source, result, match.shifts_s):
        if found is None:
            assert expected is not None
            match.missing.add(seconds(expected.time_s))
        elif expected is None:
            # It belongs to the latest recording, whose shift is the last.
            source_s = found.time_s - sum(match.shifts_s[-1:])
            is_stand_in = any(abs(source_s - lost_s) <= tolerance_s for lost_s in refused_at)
            (match.stand_ins if is_stand_in else match.extra).add(seconds(source_s))
        else:
            match.matched += 1
            late_s = lateness_s(expected, found, match.shifts_s[expected.recording])
            if abs(late_s) > tolerance_s:
                match.wrong.add(f"{seconds(expected.time_s)} ({float(late_s):+.6f} s)")
    return match
