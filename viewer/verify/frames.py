"""Compare the frames of two videos: how many, and when each is shown. Both are decoded side by
side."""

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

from facepaint.media.open import carries_no_times
from viewer.verify.alignment import pair_nearest
from viewer.verify.report import Named, seconds

REORDERED_FRAMES = 8
"""Frames by which a video with reordered frames shows whether its times can be relied on."""

KEPT_TIMES = 128
"""Times of packets kept until that is known."""

KEPT_REFUSALS = 1000
"""Times of refused packets kept: more than there are in a segment of which nothing can be
decoded."""

JUMP_S = 1
"""Times that go back by more than this begin anew: one recording lies behind another."""


class Shown(NamedTuple):
    """When a frame is shown, in seconds, and in which of the recordings that lie one behind the
    other."""

    part: int
    time_s: Fraction


class FrameReader:
    """The frames of a file's main video as an ordinary decode gives them, a few in memory at a
    time.

    While `times` is iterated, ``first`` becomes the first frame, ``sizes`` the sizes met,
    ``refused`` the packets that the decoder refuses, ``concealed`` the frames decoded with errors,
    ``hidden`` those that have no time of their own (players show one of two frames at one time),
    and ``ends_early`` says why reading stopped, if it did. Where a file says nothing of when its
    frames are shown (``untimed``), the n-th is shown at the time of its n-th packet.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self.stream = container, stream
        context = stream.codec_context
        # Else a refusal is told with a later packet.
        context.thread_type = "SLICE"
        self.tick = Fraction(stream.time_base or 1)
        self.untimed = carries_no_times(
            container.format.name, context.name, bytes(context.extradata or b"")
        )
        self._told: deque[int] = deque()
        self.first: av.VideoFrame | None = None
        self.sizes: dict[tuple[int, int], None] = {}
        self.refused, self.concealed, self.hidden = Named(), Named(), Named()
        self.refused_at: deque[Fraction] = deque(maxlen=KEPT_REFUSALS)
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
        decoded = self._decoded()
        beginning = list(islice(decoded, REORDERED_FRAMES))
        times = [frame.pts for frame in beginning]
        if self.stream.codec_context.has_b_frames and (None in times or times != sorted(times)):  # type: ignore[type-var]
            self.untimed = True
        expected = 0
        for frame in chain(beginning, decoded):
            pts = frame.pts if frame.pts is not None else frame.dts
            if self.untimed:
                pts = self._told.popleft() if self._told else None
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
        yield from self._decode(None)

    def _note_time(self, packet: av.Packet[VideoStream]) -> None:
        """Remember when a packet is decoded, for as long as it may be asked for."""
        if packet.dts is not None:
            self._told.append(packet.dts)
        if not self.untimed and len(self._told) > KEPT_TIMES:
            self._told.popleft()

    def _decode(self, packet: av.Packet[VideoStream] | None) -> list[av.VideoFrame]:
        try:
            return self.stream.codec_context.decode(packet)
        except av.error.FFmpegError as exc:
            time = None if packet is None else packet.pts if packet.pts is not None else packet.dts
            if time is not None:
                self.refused_at.append(time * self.tick)
            self.refused.add("at the end" if time is None else seconds(time * self.tick))
            self.refused.reasons[(exc.strerror or str(exc)).lower()] = None
            return []


@dataclass(slots=True)
class FrameMatch:
    """What comparing came to: how much later each recording is shown in the result, and every
    difference."""

    matched: int = 0
    shifts_s: list[Fraction] = field(default_factory=list)
    missing: Named = field(default_factory=Named)
    extra: Named = field(default_factory=Named)
    stand_ins: Named = field(default_factory=Named)
    wrong: Named = field(default_factory=Named)


def match_frames(
    source: Iterator[Shown],
    result: Iterator[Shown],
    tolerance_s: Fraction,
    *,
    may_shift: bool,
    refused_at: Collection[Fraction] = (),
) -> FrameMatch:
    """Compare when frames are shown. Where times begin anew in the source, the result tells where
    that part goes.

    The first frames tell how much later everything is in the result only if ``may_shift``.
    ``refused_at`` are the times of the source's packets that the decoder has refused lately: a
    frame at one of them is a stand-in and not too much.
    """
    match = FrameMatch(shifts_s=[] if may_shift else [Fraction(0)])
    for wanted, found in pair_nearest(source, result, match.shifts_s):
        if found is None:
            assert wanted is not None
            match.missing.add(seconds(wanted.time_s))
            continue
        if wanted is None:
            source_s = found.time_s - sum(match.shifts_s[-1:])
            known = any(abs(source_s - lost_s) <= tolerance_s for lost_s in refused_at)
            (match.stand_ins if known else match.extra).add(seconds(source_s))
            continue
        match.matched += 1
        late_s = found.time_s - wanted.time_s - match.shifts_s[wanted.part]
        if abs(late_s) > tolerance_s:
            match.wrong.add(f"{seconds(wanted.time_s)} ({float(late_s):+.6f} s)")
    return match
