"""Compare the frames of two videos: how many, and when each is shown. Both are decoded side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from viewer.guarantee import Named, seconds

JUMP_S = 1
"""Times that go back by more than this begin anew: one recording lies behind another."""


class Shown(NamedTuple):
    """When a frame is shown, in seconds, and in which of the recordings that lie one behind the other."""

    part: int
    time_s: Fraction


class FrameReader:
    """The frames of a file's main video as an ordinary decode gives them, one in memory at a time.

    While `times` is iterated, ``first`` becomes the first frame, ``sizes`` the sizes met, ``refused`` the packets that
    the decoder refuses, ``concealed`` the frames decoded with errors, ``hidden`` those that have no time of their own
    (players show one of two frames at one time), and ``ends_early`` says why reading stopped, if it did.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self.stream = container, stream
        # Else a refusal is told with a later packet.
        stream.thread_type = "SLICE"
        self.tick = Fraction(stream.time_base or 1)
        self.first: av.VideoFrame | None = None
        self.sizes: dict[tuple[int, int], None] = {}
        self.refused, self.concealed, self.hidden = Named(), Named(), Named()
        self.ends_early = ""
        self.parts = 1
        self.count = 0

    def times(self) -> Iterator[Shown]:
        """When each frame is shown."""
        last_s: Fraction | None = None
        for frame, at_s in self._timed():
            if last_s is not None and last_s - at_s > JUMP_S:
                self.parts += 1
            elif last_s is not None and at_s <= last_s:
                self.hidden.add(seconds(at_s))
                continue
            last_s = at_s
            self.first = self.first or frame
            self.sizes[frame.width, frame.height] = None
            if frame.is_corrupt:
                self.concealed.add(seconds(at_s))
            self.count += 1
            yield Shown(self.parts - 1, at_s)

    def _timed(self) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Frames with their times; one that carries none comes right after the one before."""
        expected = 0
        for frame in self._decoded():
            pts = frame.pts if frame.pts is not None else frame.dts if frame.dts is not None else expected
            expected = pts + max(1, frame.duration or 0)
            yield frame, pts * self.tick

    def _decoded(self) -> Iterator[av.VideoFrame]:
        try:
            for packet in self._container.demux(self.stream):
                if packet.size:
                    yield from self._decode(packet)
        except av.error.FFmpegError as exc:
            self.ends_early = (exc.strerror or str(exc)).lower()
        yield from self._decode(None)

    def _decode(self, packet: av.Packet[VideoStream] | None) -> list[av.VideoFrame]:
        try:
            return self.stream.codec_context.decode(packet)
        except av.error.FFmpegError as exc:
            time = None if packet is None else packet.pts if packet.pts is not None else packet.dts
            where = "at the end" if time is None else f"at {seconds(time * self.tick)}"
            self.refused.add(f"{where} ({(exc.strerror or str(exc)).lower()})")
            return []


@dataclass(slots=True)
class FrameMatch:
    """What comparing came to: how much later each recording is shown in the result, and every difference."""

    matched: int = 0
    shifts_s: list[Fraction] = field(default_factory=list)
    missing: Named = field(default_factory=Named)
    extra: Named = field(default_factory=Named)
    wrong: Named = field(default_factory=Named)


class _Ahead:
    """An iterator of frames with the next two to be seen."""

    def __init__(self, frames: Iterator[Shown]) -> None:
        self._frames = frames
        self.now, self.next = next(frames, None), next(frames, None)

    def step(self) -> None:
        self.now, self.next = self.next, next(self._frames, None)


def match_frames(
    source: Iterator[Shown], result: Iterator[Shown], tolerance_s: Fraction, *, may_shift: bool
) -> FrameMatch:
    """Find for each frame of the source the frame of the result that is nearest to it in time.

    The first frame tells how much later everything is in the result, if ``may_shift``; where times begin anew in the
    source, the next frame of the result does.
    """
    match = FrameMatch()
    there, here = _Ahead(source), _Ahead(result)
    while there.now is not None or here.now is not None:
        if there.now is None:
            assert here.now is not None
            match.extra.add(seconds(here.now.time_s))
            here.step()
            continue
        if here.now is None:
            match.missing.add(seconds(there.now.time_s))
            there.step()
            continue
        if there.now.part >= len(match.shifts_s):
            known = there.now.part == 0 and not may_shift
            match.shifts_s.append(Fraction(0) if known else here.now.time_s - there.now.time_s)
        _step(match, there, here, tolerance_s)
    return match


def _step(match: FrameMatch, there: _Ahead, here: _Ahead, tolerance_s: Fraction) -> None:
    """Pair the two frames at hand, or pass over the one that the other side lacks."""
    assert there.now is not None
    assert here.now is not None
    shift_s = match.shifts_s[there.now.part]
    late_s = here.now.time_s - there.now.time_s - shift_s
    follows = there.next is not None and there.next.part == there.now.part
    if follows and abs(here.now.time_s - there.next.time_s - shift_s) < abs(late_s):  # type: ignore[union-attr]
        match.missing.add(seconds(there.now.time_s))
        there.step()
        return
    if here.next is not None and abs(here.next.time_s - there.now.time_s - shift_s) < abs(late_s):
        match.extra.add(seconds(here.now.time_s))
        here.step()
        return
    if abs(late_s) > tolerance_s:
        match.wrong.add(f"{seconds(there.now.time_s)} ({float(late_s):+.6f} s)")
    match.matched += 1
    there.step()
    here.step()
