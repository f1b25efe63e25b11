"""Jobs: the records stored for one. `facepaint.records.keys` says where, and what state follows
from that.

The storage is the only truth about a job. Everything here is pure: no I/O, no clock. Times are
presentation times (pts) in ticks of the source's time base unless a name says otherwise.
"""

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from facepaint.records.codec import Schema
from facepaint.records.colour import Colour, LightLevels
from facepaint.records.detector_card import DEFAULT_DETECTOR, DetectorCard


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The input as the uploader saw it; ``sha256_ends`` is over its first and last MiB, to know it
    again."""

    name: str
    bytes: int
    sha256_ends: str


@dataclass(frozen=True)
class VideoStream:
    """What a decoder needs besides the packets, and how its frames are to be shown.

    ``rotation`` is the clockwise turn in degrees (0, 90, 180, 270) that makes a decoded frame
    upright; ``mirrored`` says it must be flipped left to right before that turn. ``width`` and
    ``height`` are of the decoded frame;
    ``bits_per_coded_sample`` is needed by some older decoders alone. ``reorder_depth`` is by how
    many frames showing lags behind decoding: where a stream does not say so, a decoder that must
    find out loses frames at each beginning.
    ``language`` and ``title`` are the track's.
    """

    codec: str
    codec_tag: str
    extradata: bytes
    width: int
    height: int
    pixel_format: str
    time_base: Fraction
    frame_rate: Fraction | None = None
    rotation: int = 0
    mirrored: bool = False
    sample_aspect_ratio: Fraction = Fraction(1)
    colour: Colour = field(default_factory=Colour)
    light: LightLevels = field(default_factory=LightLevels)
    bits_per_coded_sample: int = 0
    reorder_depth: int = 0
    language: str = ""
    title: str = ""

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height in px once turned upright."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)


@dataclass(frozen=True)
class AudioStream:
    """One audio track. ``codec_params`` carries its codec parameters to a muxer: see
    `facepaint.media.codec_params`.

    ``skip_samples`` are those at its start that are decoded and not played (encoder delay, an edit
    list).
    ``disposition`` has FFmpeg's names for what the track is for: default, forced, comment ...
    """

    codec: str
    time_base: Fraction
    sample_rate: int
    channels: int
    codec_params: bytes
    language: str = ""
    title: str = ""
    skip_samples: int = 0
    disposition: tuple[str, ...] = ()

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """Which detector a job uses, and on what.

    ``min_face`` is the smallest face to find as a share of the picture's height. A detector that
    the workers do not bring along has a ``card``, and its weights are stored under the ``sha256``
    that the card tells.
    """

    name: str = DEFAULT_DETECTOR
    min_face: float = 0.06
    card: DetectorCard | None = None

    @property
    def label(self) -> str:
        """How reports name it."""
        return self.card.label if self.card else self.name


@dataclass(frozen=True, slots=True)
class OutputProfile:
    """How every painted segment of a job is encoded: one profile a job, so that its segments join.

    ``keep_format`` keeps the source's bit depth, chroma and HDR instead of making 8-bit 4:2:0 of
    it.
    """

    encoder: str = "libx264"
    crf: int = 20
    preset: str = "superfast"
    keep_format: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """``job.json``: what a `VideoJob` and an `ImageJob` have in common.

    The uploader writes it after the first segment is cut. The stored ``kind`` tells the two apart.
    """

    RECORD: ClassVar[Any]
    """What `facepaint.records.codec.decode` reads for this class."""

    id: str
    source: SourceFile
    created: datetime
    detector: DetectorSpec
    output: OutputProfile
    schema: Schema = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoJob(JobRecord):
    """A video. ``start_pts`` is its first shown time in the time base of ``video``.

    ``segment_s`` is the segment length that it was cut with: an interrupted upload continues with
    the same one.
    """

    kind: Literal["video"] = "video"
    video: VideoStream
    audio: tuple[AudioStream, ...] = ()
    start_pts: int = 0
    duration_s: float | None = None
    segment_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageJob(JobRecord):
    """A list of images. ``images`` holds their file names in order.

    Image n is segment n, with one packet that is the whole file.
    """

    kind: Literal["images"] = "images"
    images: tuple[str, ...]


Job = VideoJob | ImageJob

JobRecord.RECORD = Annotated[Job, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of the source, in seconds from its start."""

    start_s: Fraction
    end_s: Fraction
    title: str


@dataclass(frozen=True)
class Subtitles:
    """One subtitle track, small enough to travel whole.

    ``codec_params`` as in `AudioStream`, and empty for plain text (SubRip, WebVTT, MP4's own),
    which needs none; ``packets`` are (pts, duration, data), ``disposition`` as in `AudioStream`.
    """

    codec: str
    time_base: Fraction
    codec_params: bytes
    packets: tuple[tuple[int, int, bytes], ...]
    language: str = ""
    title: str = ""
    disposition: tuple[str, ...] = ()

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class Extras:
    """``extras.json``: what else is in the file."""

    tags: dict[str, str] = field(default_factory=dict)
    chapters: tuple[Chapter, ...] = ()
    subtitles: tuple[Subtitles, ...] = ()
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class Sealed:
    """``sealed.json``: every segment is stored. ``truncated`` says why the source ended early, if
    it did."""

    segments: int
    truncated: str = ""
    schema: Schema = 1
