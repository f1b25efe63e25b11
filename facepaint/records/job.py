"""The records of a job; `facepaint.records.keys` has their keys.

Everything about a job is in the storage, and its state follows from its keys. Times are
presentation times (pts) in ticks of the source's time base unless a name has a unit.
"""

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval
from pydantic import ConfigDict, Field

from facepaint.records.bounds import (
    MAX_SEGMENTS,
    Count,
    FrameRate,
    Rotation,
    Seconds,
    Side,
    Ticks,
    TimeBase,
)
from facepaint.records.codec import Schema
from facepaint.records.colour import Colour, LightLevels
from facepaint.records.detector_card import DEFAULT_DETECTOR, DetectorCard


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The input file. ``sha256_ends`` is the checksum of its first and last MiB; it identifies the
    file when an upload continues."""

    name: str
    bytes: Count
    sha256_ends: str


MAX_PIXEL_ASPECT = Fraction(4)
"""Pixels that are wider or higher count as this. Broadcasts reach 32:11; a forged aspect must not
make frames huge."""

NEARLY_SQUARE = Fraction(1, 50)
"""Pixels whose aspect differs less from 1 count as square: scaling to even sides leaves such
aspects, and they are invisible."""


@dataclass(frozen=True)
class VideoStream:
    """The codec parameters of the video, and how to display its frames.

    Args:
        width, height: size of a decoded frame in px, before rotation.
        rotation: clockwise rotation in degrees (0, 90, 180, 270) that makes a decoded frame
            upright.
        mirrored: whether a frame is flipped left to right before that rotation.
        bits_per_coded_sample: needed by some older decoders only.
        reorder_depth: frames by which display order lags behind decoding order. A decoder that
            has to find it out loses frames at the start of each segment.
        language, title: those of the track.
    """

    codec: str
    codec_tag: str
    extradata: bytes
    width: Side
    height: Side
    pixel_format: str
    time_base: TimeBase
    frame_rate: FrameRate | None = None
    rotation: Rotation = 0
    mirrored: bool = False
    sample_aspect_ratio: Fraction = Fraction(1)
    colour: Colour = field(default_factory=Colour)
    light: LightLevels = field(default_factory=LightLevels)
    bits_per_coded_sample: int = 0
    reorder_depth: Annotated[int, Interval(ge=0, le=64)] = 0
    language: str = ""
    title: str = ""

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height in px after the rotation."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a px over its height after the rotation."""
        aspect = self.sample_aspect_ratio if self.sample_aspect_ratio > 0 else Fraction(1)
        return 1 / aspect if self.rotation % 180 else aspect

    @property
    def stretch(self) -> tuple[Fraction, Fraction]:
        """The square px that a px of the upright frame is wide and high; one of them is 1.

        Frames are only enlarged, so that no detail is lost.
        """
        aspect = min(max(self.pixel_aspect, 1 / MAX_PIXEL_ASPECT), MAX_PIXEL_ASPECT)
        if abs(aspect - 1) < NEARLY_SQUARE:
            return Fraction(1), Fraction(1)
        return max(aspect, Fraction(1)), max(1 / aspect, Fraction(1))

    @property
    def square_size(self) -> tuple[int, int]:
        """Width and height of the upright frame in square px, the unit of boxes and landmarks."""
        (width, height), (x, y) = self.upright_size, self.stretch
        return round(width * x), round(height * y)


@dataclass(frozen=True)
class AudioStream:
    """One audio track.

    Args:
        codec_params: codec parameters as `facepaint.media.codec_params` writes them.
        skip_samples: samples at the start that are decoded and not played (encoder delay, edit
            list).
        disposition: FFmpeg's dispositions: default, forced, comment ...
    """

    codec: str
    time_base: TimeBase
    sample_rate: Count
    channels: Annotated[int, Interval(ge=0, le=1024)]
    codec_params: bytes
    language: str = ""
    title: str = ""
    skip_samples: Count = 0
    disposition: tuple[str, ...] = ()

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """The detector of a job.

    ``min_face`` is the height of the smallest face to find, as a share of the frame's height. Only
    detectors that do not ship have a ``card``; the key of their weights is the card's ``sha256``.
    """

    name: str = DEFAULT_DETECTOR
    min_face: Annotated[float, Interval(gt=0, le=1)] = 0.06
    card: DetectorCard | None = None

    @property
    def label(self) -> str:
        """The detector's name in reports."""
        return self.card.label if self.card else self.name


@dataclass(frozen=True, slots=True)
class OutputProfile:
    """How the segments of a job are encoded. Segments join only if all have the same profile.

    ``keep_format`` keeps the source's bit depth, chroma and HDR; the default is 8-bit 4:2:0 SDR.
    """

    encoder: str = "libx264"
    crf: Annotated[int, Interval(ge=0, le=63)] = 20
    preset: str = "superfast"
    keep_format: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """``job.json``: the common part of `VideoJob` and `ImageJob`, which ``kind`` discriminates.

    The uploader writes it after it has cut the first segment.
    """

    RECORD: ClassVar[Any]
    """The type that `facepaint.records.codec.decode` reads for this class."""

    id: str
    source: SourceFile
    created: datetime
    detector: DetectorSpec
    output: OutputProfile
    schema: Schema = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoJob(JobRecord):
    """A video.

    ``start_pts`` is the time of the first displayed frame, in the time base of ``video``.
    ``segment_s`` is the target length of segments; an interrupted upload continues with it.
    """

    kind: Literal["video"] = "video"
    video: VideoStream
    audio: tuple[AudioStream, ...] = ()
    start_pts: Ticks = 0
    duration_s: Seconds | None = None
    segment_s: Annotated[float, Interval(gt=0, le=3600)] = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageJob(JobRecord):
    """A list of images. ``images`` are their file names in order.

    Image n is segment n, whose only packet is the whole file.
    """

    kind: Literal["images"] = "images"
    images: tuple[str, ...]


Job = VideoJob | ImageJob

# Assigned here, because the union needs both classes.
JobRecord.RECORD = Annotated[Job, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter, in seconds from the start of the source."""

    start_s: Fraction
    end_s: Fraction
    title: str


@dataclass(frozen=True)
class Subtitles:
    """One subtitle track with all its packets, which are small.

    ``codec_params`` and ``disposition`` are as in `AudioStream`; plain text (SubRip, WebVTT, MP4
    text) has no parameters. ``packets`` are (pts, duration, data).
    """

    codec: str
    time_base: TimeBase
    codec_params: bytes
    packets: tuple[tuple[Ticks, Ticks, bytes], ...]
    language: str = ""
    title: str = ""
    disposition: tuple[str, ...] = ()

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class Extras:
    """``extras.json``: tags, chapters and subtitles of the source."""

    tags: dict[str, str] = field(default_factory=dict)
    chapters: tuple[Chapter, ...] = ()
    subtitles: tuple[Subtitles, ...] = ()
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class Sealed:
    """``sealed.json``: all segments are stored. ``truncated`` is the reason if the source ended
    early, else empty."""

    segments: Annotated[int, Interval(ge=1, le=MAX_SEGMENTS)]
    truncated: str = ""
    schema: Schema = 1
