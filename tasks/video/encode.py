"""Encode the frames of a segment as a fragmented MP4 that joins with its neighbours seamlessly."""

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
    EncoderRequest,
    accepted_format,
    encoder_options,
    plausible_rate,
    require_encoder,
)
from tasks.video.scheduling import drop_realtime_scheduling

KEYFRAME_EVERY_S = 2
"""Approximate distance of keyframes, to which players seek: a window is split evenly."""


@dataclass(frozen=True, slots=True)
class EncodeSpec:
    """What every segment of a job shares, so that all have the same init part.

    Args:
        size: width and height in px.
        pixel_format: of the frames: 8-bit 4:2:0, or one of `facepaint.media.encoders.kept_format`.
        light: HDR levels that are written for players.
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
    """A finished segment: the file, the size of its init part, its RFC 6381 codec string, and the
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
    """Encodes frames in order to one fragmented MP4.

    There are no B-frames, so dts equals pts.

    Args:
        origin: the job's start_pts, from which the ``tfdt`` of the file counts.
        end: the end of the window, which gives the last frame its duration.

    Raises:
        EncoderMissing: the encoder is not on this machine.
        JobError: the encoder refuses its parameters or a frame.
    """

    def __init__(self, spec: EncodeSpec, origin: int, end: int) -> None:
        require_encoder(spec.profile.encoder)
        self._spec, self._origin, self._end = spec, origin, end
        self._encoder = ENCODERS[spec.profile.encoder]
        self._format = accepted_format(self._encoder, spec.pixel_format)
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
                drop_realtime_scheduling()
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
        """Encode a frame, whose pts is in the source's time base and larger than the last one.

        The frame must not be written to afterwards: the encoder may still read it.
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
        """Flush, close and return the segment, with absolute times. It needs at least one frame."""
        if not self._times:
            raise JobError("there is no frame in this segment to encode")
        with _mapped():
            self._mux(self._stream.encode(None))
            while self._packets:
                self._mux_next(self._end)
            self._container.close()
        if self._muxed != len(self._times):
            raise JobError(
                f"{self._encoder.name} made {self._muxed} packets of {len(self._times)} frames"
            )
        first = (self._times[0] - self._origin) * self._ticks
        data = add_light_levels(shift_tfdt(self._buffer.getvalue(), first), self._spec.light)
        init_bytes = init_length(data)
        return Encoded(data, init_bytes, codec_string(data[:init_bytes]), len(self._times))

    @property
    def _range(self) -> str:
        return "JPEG" if self._spec.full_range else "MPEG"

    def _is_keyframe(self, pts: int) -> bool:
        """Whether a frame becomes a keyframe: the first, and those that split the window evenly."""
        if len(self._times) == 1:
            ticks = self._end - pts
            parts = max(1, round(ticks * self._spec.time_base / KEYFRAME_EVERY_S))
            self._keyframes = (pts + Fraction(ticks * n, parts) for n in range(1, parts))
            self._next_keyframe = next(self._keyframes, None)
            return True
        if self._next_keyframe is None or pts < self._next_keyframe:
            return False
        # At a low frame rate one frame may pass several of the times.
        while self._next_keyframe is not None and self._next_keyframe <= pts:
            self._next_keyframe = next(self._keyframes, None)
        return True

    def _mux(self, packets: "Iterable[av.Packet[OutputStream]]") -> None:
        """Write the packets whose duration is known: those of every frame but the newest."""
        self._packets.extend(packets)
        while self._packets and self._muxed + 1 < len(self._times):
            self._mux_next(self._times[self._muxed + 1])

    def _mux_next(self, until: int) -> None:
        packet = self._packets.popleft()
        in_order = self._muxed < len(self._times) and packet.pts == (
            (self._times[self._muxed] - self._times[0]) * self._ticks
        )
        if not in_order:
            raise JobError(
                f"{self._encoder.name} returns frames out of order: paint the job again with "
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
        # By default HEVC is tagged hev1, which Apple's players refuse.
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
            EncoderRequest(spec.profile, spec.threads, spec.full_range, spec.light)
        )
        return stream
