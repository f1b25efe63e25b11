"""Encode the frames of a segment into a fragmented MP4 that joins with its neighbours without a seam."""

import io
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType

import av
import av.error
from av.video.stream import VideoStream as OutputStream

from facepaint.boxes import codec_string, init_length, shift_tfdt
from facepaint.errors import JobError
from facepaint.jobs import Colour, OutputProfile

KEYFRAME_EVERY_S = 2
"""Longest stretch without a keyframe: a player can seek to each."""


@dataclass(frozen=True, slots=True)
class EncodeSpec:
    """What is the same for every segment of a job, so that all have one init part."""

    size: tuple[int, int]
    pixel_format: str
    time_base: Fraction
    frame_rate: Fraction
    sample_aspect_ratio: Fraction
    colour: Colour
    profile: OutputProfile
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished segment: the file, the length of its init part, its RFC 6381 codec string, its number of frames."""

    data: bytes
    init_bytes: int
    codec: str
    frames: int


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as exc:
        raise JobError(f"the segment cannot be encoded: {exc}") from exc


class SegmentEncoder:
    """Takes frames in order, gives one fragmented MP4. What the encoder refuses is a `JobError`.

    There are no B-frames, so dts equals pts. ``origin`` is the job's start_pts; the file's ``tfdt`` counts from it.
    ``end`` is the window's end and gives the last frame its duration.
    """

    def __init__(self, spec: EncodeSpec, origin: int, end: int) -> None:
        self._spec, self._origin, self._end = spec, origin, end
        self._times: list[int] = []
        self._packets: deque[av.Packet[OutputStream]] = deque()
        self._muxed = 0
        self._buffer = io.BytesIO()
        # MP4 counts in whole ticks a second; a time base like 1001/30000 becomes 1/30000 with times x 1001.
        self._ticks = spec.time_base.numerator
        self._timescale = spec.time_base.denominator
        self._container = av.open(
            self._buffer,
            "w",
            format="mp4",
            options={"movflags": "cmaf+frag_keyframe", "video_track_timescale": str(self._timescale)},
        )
        self._stream = self._add_stream()

    def __enter__(self) -> "SegmentEncoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def write(self, frame: av.VideoFrame) -> None:
        """Encode a frame; its pts is in the source's time base and larger than the one before.

        The frame is handed over: it must not be written to afterwards.
        """
        assert frame.pts is not None
        self._times.append(frame.pts)
        frame.pts = (frame.pts - self._times[0]) * self._ticks
        frame.time_base = Fraction(1, self._timescale)
        frame.pict_type = av.video.frame.PictureType.NONE
        with _mapped():
            self._mux(self._stream.encode(frame))

    def finish(self) -> Encoded:
        """Flush, close and give the segment, its times absolute; at least one frame must have been written."""
        if not self._times:
            raise JobError("there is no frame in this segment to encode")
        with _mapped():
            self._mux(self._stream.encode(None))
            while self._packets:
                self._mux_next(self._end)
            self._container.close()
        first = (self._times[0] - self._origin) * self._ticks
        data = shift_tfdt(self._buffer.getvalue(), first)
        init_bytes = init_length(data)
        return Encoded(data, init_bytes, codec_string(data[:init_bytes]), len(self._times))

    def _mux(self, packets: "Iterable[av.Packet[OutputStream]]") -> None:
        """Write the packets whose frame's duration is known: those of every frame but the newest."""
        self._packets.extend(packets)
        while self._packets and self._muxed + 1 < len(self._times):
            self._mux_next(self._times[self._muxed + 1])

    def _mux_next(self, until: int) -> None:
        packet = self._packets.popleft()
        packet.duration = max(1, until - self._times[self._muxed]) * self._ticks
        self._container.mux(packet)
        self._muxed += 1

    def _add_stream(self) -> OutputStream:
        spec = self._spec
        stream = self._container.add_stream(spec.profile.encoder, rate=spec.frame_rate)
        assert isinstance(stream, OutputStream)
        context = stream.codec_context
        context.width, context.height = spec.size
        context.pix_fmt = spec.pixel_format
        context.time_base = Fraction(1, self._timescale)
        context.sample_aspect_ratio = spec.sample_aspect_ratio
        context.color_primaries, context.color_trc = spec.colour.primaries, spec.colour.transfer
        context.colorspace, context.color_range = spec.colour.matrix, spec.colour.range
        context.thread_count = spec.threads
        context.options = {
            "preset": spec.profile.preset,
            "crf": str(spec.profile.crf),
            "bf": "0",
            "g": str(max(1, round(spec.frame_rate * KEYFRAME_EVERY_S))),
            "flags": "+cgop",
        }
        return stream
