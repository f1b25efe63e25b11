"""Deinterlace frames that are flagged interlaced: one frame out for each frame in, at its time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import av
import av.error
import av.filter

_TICK = Fraction(1, 1000)

_MIN_SIDE = 8
"""Shortest side in px that bwdif accepts."""


def deinterlaced(
    frames: Iterable[av.VideoFrame], note: Callable[[str], None] = lambda _: None
) -> Iterator[av.VideoFrame]:
    """Deinterlace the frames that are flagged interlaced; all others are passed through.

    FFmpeg's bwdif keeps full detail where nothing moves and interpolates elsewhere; it reads the
    frames before and after. The field order is each frame's own.

    Args:
        note: called once if there are interlaced frames.
    """
    running: _Deinterlacer | None = None
    for frame in frames:
        if running is not None and not running.takes(frame):
            yield from running.finish()
            running = None
        if running is None:
            if not _can_deinterlace(frame):
                yield frame
                continue
            note("interlaced frames deinterlaced")
            running = _Deinterlacer(frame)
        yield from running.add(frame)
    if running is not None:
        yield from running.finish()


def _can_deinterlace(frame: av.VideoFrame) -> bool:
    return bool(frame.interlaced_frame) and min(frame.width, frame.height) >= _MIN_SIDE


class _Deinterlacer:
    """A bwdif filter for frames of one size and format.

    At the border of a segment a neighbour is missing, and bwdif would interpolate even where
    nothing moves: detail would flicker at each border. So the first and last frame are their own
    neighbours.
    """

    def __init__(self, first: av.VideoFrame) -> None:
        self._kind = _kind(first)
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=_TICK
        )
        bwdif = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        sink = self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(sink)
        self._graph.configure()
        self._waiting: deque[av.VideoFrame] = deque()
        self._before = True
        self._number = 0
        self._push(first)

    def takes(self, frame: av.VideoFrame) -> bool:
        """Whether a frame has the size and format of the others."""
        return _kind(frame) == self._kind

    def add(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Take a frame; yields those that are done."""
        self._waiting.append(frame)
        self._push(frame)
        return self._pulled()

    def finish(self) -> Iterator[av.VideoFrame]:
        """Yield the remaining frames."""
        self._push(self._waiting[-1])
        return self._pulled()

    def _push(self, frame: av.VideoFrame) -> None:
        # The filter needs ascending times; the frames get their own back.
        pts = frame.pts
        frame.pts, self._number = self._number, self._number + 1
        self._graph.push(frame)
        frame.pts = pts

    def _pulled(self) -> Iterator[av.VideoFrame]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, av.VideoFrame)
            if self._before:
                self._before = False
                continue
            frame.pts = self._waiting.popleft().pts
            yield frame


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
