"""Encode the frames of a segment into a fragmented MP4 that joins with its neighbours without a
seam."""

import io
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType

import av
import av.error
from av.video.frame import PictureType
from av.video.stream import VideoStream as OutputStream

from facepaint.errors import JobError
from facepaint.media.encoders import ENCODERS
from facepaint.media.mp4 import add_light_levels, codec_string, init_length, shift_tfdt
from facepaint.records.colour import Colour, LightLevels
from facepaint.records.job import OutputProfile
from tasks.video.encoder_options import (
    UNKNOWN,
    Wish,
    encoder_options,
    frames_as,
    plausible_rate,
    require_encoder,
)
from tasks.video.scheduling import schedule_as_usual

KEYFRAME_EVERY_S = 2
"""About how far keyframes lie apart, which a player can seek to: a window is parted into even
stretches."""


@dataclass(frozen=True, slots=True)
class EncodeSpec:
    """What is the same for every segment of a job, so that all have one init part.

    ``pixel_format`` is that of the frames: 8-bit 4:2:0, or one of
    `facepaint.media.encoders.kept_format`. ``light`` is told to players of HDR.
    """

    size: tuple[int, int]
    pixel_format: str
    time_base: Fraction
    frame_rate: Fraction
    sample_aspect_ratio: Fraction
    colour: Colour
    profile: OutputProfile
    threads: int = 1
    light: LightLevels = UNKNOWN

    @property
    def full_range(self) -> bool:
        """Whether the frames use all code values, as JPEG does."""
        return self.colour.is_full_range or self.pixel_format.startswith("yuvj")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished segment: the file, the length of its init part, its RFC 6381 codec string, its
    number of frames."""

    data: bytes
    init_bytes: int
    codec: str
    frames: int


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, ValueError) as exc:
        raise JobError(f"the segment cannot be encoded: {exc}") from exc


class SegmentEncoder:
    """Takes frames in order, gives one fragmented MP4. What the encoder refuses is a `JobError`.

    There are no B-frames, so dts equals pts. ``origin`` is the job's start_pts; the file's ``tfdt``
    counts from it.
    ``end`` is the window's end and gives the last frame its duration.

    Raises:
        EncoderMissing: the encoder is not on this machine.
    """

    def __init__(self, spec: EncodeSpec, origin: int, end: int) -> None:
        require_encoder(spec.profile.encoder)
        self._spec, self._origin, self._end = spec, origin, end
        self._encoder = ENCODERS[spec.profile.encoder]
        self._format = frames_as(self._encoder, spec.pixel_format)
        self._times: list[int] = []
        self._keyframes: Iterator[Fraction] = iter(())
        self._next_keyframe: Fraction | None = None
        self._packets: deque[av.Packet[OutputStream]] = deque()
        self._muxed = 0
        self._buffer = io.BytesIO()
        # MP4 counts in whole ticks a second; a time base like 1001/30000 becomes 1/30000 with times
        # x 1001.
        self._ticks = spec.time_base.numerator
        self._timescale = spec.time_base.denominator
        self._container = av.open(
            self._buffer,
            "w",
            format="mp4",
            options={
                "movflags": "cmaf+frag_keyframe",
                "video_track_timescale": str(self._timescale),
            },
        )
        try:
            with _mapped():
                self._stream = self._add_stream()
                self._container.start_encoding()
                schedule_as_usual()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "SegmentEncoder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()

    def write(self, frame: av.VideoFrame) -> None:
        """Encode a frame; its pts is in the source's time base and larger than the one before.

        The frame is handed over: it must not be written to afterwards.
        """
        assert frame.pts is not None
        pts = frame.pts
        self._times.append(pts)
        with _mapped():
            if frame.format.name != self._format:
                frame = frame.reformat(
                    format=self._format, src_color_range=self._range, dst_color_range=self._range
                )
            frame.pts = (pts - self._times[0]) * self._ticks
            frame.time_base = Fraction(1, self._timescale)
            frame.pict_type = PictureType.I if self._is_keyframe(pts) else PictureType.NONE
            self._mux(self._stream.encode(frame))

    def finish(self) -> Encoded:
        """Flush, close and give the segment, its times absolute; at least one frame must have been
        written."""
        if not self._times:
            raise JobError("there is no frame in this segment to encode")
        with _mapped():
            self._mux(self._stream.encode(None))
            while self._packets:
                self._mux_next(self._end)
            self._container.close()
        if self._muxed != len(self._times):
            raise JobError(
                f"{self._encoder.name} made {self._muxed} pictures of {len(self._times)} frames"
            )
        first = (self._times[0] - self._origin) * self._ticks
        data = add_light_levels(shift_tfdt(self._buffer.getvalue(), first), self._spec.light)
        init_bytes = init_length(data)
        return Encoded(data, init_bytes, codec_string(data[:init_bytes]), len(self._times))

    @property
    def _range(self) -> str:
        return "JPEG" if self._spec.full_range else "MPEG"

    def _is_keyframe(self, pts: int) -> bool:
        """Whether a frame is to be a keyframe: the first, and those that part the window into even
        stretches."""
        if len(self._times) == 1:
            ticks = self._end - pts
            stretches = max(1, round(ticks * self._spec.time_base / KEYFRAME_EVERY_S))
            self._keyframes = (pts + Fraction(ticks * n, stretches) for n in range(1, stretches))
            self._next_keyframe = next(self._keyframes, None)
            return True
        if self._next_keyframe is None or pts < self._next_keyframe:
            return False
        while self._next_keyframe is not None and self._next_keyframe <= pts:
            self._next_keyframe = next(self._keyframes, None)
        return True

    def _mux(self, packets: "Iterable[av.Packet[OutputStream]]") -> None:
        """Write the packets whose frame's duration is known: those of every frame but the
        newest."""
        self._packets.extend(packets)
        while self._packets and self._muxed + 1 < len(self._times):
            self._mux_next(self._times[self._muxed + 1])

    def _mux_next(self, until: int) -> None:
        packet = self._packets.popleft()
        if (
            self._muxed == len(self._times)
            or packet.pts != (self._times[self._muxed] - self._times[0]) * self._ticks
        ):
            raise JobError(
                f"{self._encoder.name} gives pictures out of order: paint the job again with "
                "another encoder"
            )
        packet.dts = packet.pts
        packet.duration = max(1, until - self._times[self._muxed]) * self._ticks
        self._container.mux(packet)
        self._muxed += 1

    def _add_stream(self) -> OutputStream:
        spec, encoder = self._spec, self._encoder
        stream = self._container.add_stream(encoder.name, rate=plausible_rate(spec.frame_rate))
        assert isinstance(stream, OutputStream)
        # HEVC would be tagged hev1, which Apple's players refuse.
        stream.codec_tag = encoder.tag
        context = stream.codec_context
        context.width, context.height = spec.size
        context.pix_fmt = self._format
        context.time_base = Fraction(1, self._timescale)
        context.sample_aspect_ratio = spec.sample_aspect_ratio
        context.color_primaries, context.color_trc = spec.colour.primaries, spec.colour.transfer
        context.colorspace, context.color_range = spec.colour.matrix, spec.colour.range
        context.thread_count = spec.threads
        context.options = encoder_options(
            Wish(spec.profile, spec.threads, spec.full_range, spec.light)
        )
        return stream
