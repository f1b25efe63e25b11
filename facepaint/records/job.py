"""Jobs: the records stored for one. `facepaint.records.keys` says where, and what state follows from that.

The storage is the only truth about a job. Everything here is pure: no I/O, no clock. Times are presentation times (pts)
in ticks of the source's time base unless a name says otherwise.
"""

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from facepaint.errors import RecordInvalid
from facepaint.records.detector_card import DEFAULT_DETECTOR, DetectorCard

REACH_S = 1.0
"""How far linking, filling and smoothing of faces look to each side; readiness and results depend on no more."""

Schema = Literal[1]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The input as the uploader saw it; ``sha256_ends`` is over its first and last MiB, to know it again."""

    name: str
    bytes: int
    sha256_ends: str


@dataclass(frozen=True, slots=True)
class Colour:
    """Colour description by the code points of ITU-T H.273; ``range`` is 1 limited, 2 full, 0 unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True, slots=True)
class LightLevels:
    """How bright an HDR video was mastered: SMPTE ST 2086 and CTA-861.3; 0 or empty is unknown.

    ``primaries`` are the CIE 1931 x, y of red, green, blue and white; luminances are in cd/m2. ``max_content`` and
    ``max_average`` are MaxCLL and MaxFALL, the brightest pixel and the brightest picture's mean.
    """

    primaries: tuple[float, ...] = ()
    min_luminance: float = 0.0
    max_luminance: float = 0.0
    max_content: int = 0
    max_average: int = 0


@dataclass(frozen=True)
class VideoStream:
    """What a decoder needs besides the packets, and how its frames are to be shown.

    ``rotation`` is the clockwise turn in degrees (0, 90, 180, 270) that makes a decoded frame upright; ``mirrored``
    says it must be flipped left to right before that turn. ``width`` and ``height`` are of the decoded frame;
    ``bits_per_coded_sample`` is needed by some older decoders alone. ``reorder_depth`` is by how many frames showing
    lags behind decoding: where a stream does not say so, a decoder that must find out loses frames at each beginning.
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
    colour: Colour = Colour()
    light: LightLevels = LightLevels()
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
    """One audio track. ``template`` carries its codec parameters to a muxer: see `facepaint.media.codec_params`.

    ``skip_samples`` are those at its start that are decoded and not played (encoder delay, an edit list).
    ``disposition`` has FFmpeg's names for what the track is for: default, forced, comment ...
    """

    codec: str
    time_base: Fraction
    sample_rate: int
    channels: int
    template: bytes
    language: str = ""
    title: str = ""
    skip_samples: int = 0
    disposition: tuple[str, ...] = ()

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """Which detector a job uses, and on what.

    ``min_face`` is the smallest face to find as a share of the picture's height. A detector that the workers do not
    bring along has a ``card``, and its weights are stored under the ``sha256`` that the card tells.
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

    ``keep_format`` keeps the source's bit depth, chroma and HDR instead of making 8-bit 4:2:0 of it.
    """

    encoder: str = "libx264"
    crf: int = 20
    preset: str = "superfast"
    keep_format: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """``job.json``: written by the uploader after the first segment is cut.

    A video has ``video`` and maybe ``audio``; ``start_pts`` is its first shown time; ``segment_s`` is what it was cut
    with, so that an interrupted upload is cut the same way again. A list of pictures has
    ``pictures``, the file names in order: picture n is segment n, one packet holding the whole file.
    """

    id: str
    kind: Literal["video", "pictures"]
    source: SourceFile
    created: datetime
    detector: DetectorSpec
    output: OutputProfile
    video: VideoStream | None = None
    audio: tuple[AudioStream, ...] = ()
    start_pts: int = 0
    duration_s: float | None = None
    segment_s: float = 2.0
    pictures: tuple[str, ...] = ()
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed packet of a segment. ``discard`` packets are decoded and not shown (edit lists, hidden frames).

    ``side_data`` is what a decoder needs besides: FFmpeg's name and the size of each piece. In the ``.bin`` the pieces
    lie behind the packet's ``size`` bytes.
    """

    size: int
    pts: int | None
    dts: int | None
    duration: int = 0
    keyframe: bool = False
    discard: bool = False
    side_data: tuple[tuple[str, int], ...] = ()

    @property
    def stored_bytes(self) -> int:
        """What it takes of the ``.bin``."""
        return self.size + sum(size for _, size in self.side_data)


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One audio packet; ``stream`` counts the job's audio tracks from 0, times are in that track's time base."""

    stream: int
    size: int
    pts: int | None
    dts: int | None
    duration: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """``source/<n>.json``: the record that makes a segment exist.

    The segment shows the frames of its window ``start <= pts < end``. Its ``.bin`` holds ``packets`` one after
    another; the last ``overlap`` of them belong to the next segment too and are fed only when this segment is the last
    one fed: with an open GOP the next keyframe and the packets with an earlier pts, within a run without keyframes
    those that push the window's last frames out of the decoder. To decode, the bins from ``decode_from`` on are fed to
    one decoder, each without its overlap but the last.
    """

    index: int
    start: int
    end: int
    packets: tuple[Packet, ...]
    sha256: str
    overlap: int = 0
    decode_from: int = 0
    audio: tuple[AudioPacket, ...] = ()
    audio_sha256: str = ""
    schema: Schema = 1

    BULKY: ClassVar = True

    @property
    def bytes(self) -> int:
        """Size of the ``.bin``."""
        return sum(packet.stored_bytes for packet in self.packets)

    @property
    def own_packets(self) -> tuple[Packet, ...]:
        """The packets without the overlap."""
        return self.packets[: len(self.packets) - self.overlap]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of the source, in seconds from its start."""

    start_s: Fraction
    end_s: Fraction
    title: str


@dataclass(frozen=True)
class Subtitles:
    """One subtitle track, small enough to travel whole.

    ``template`` as in `AudioStream`, and empty for plain text (SubRip, WebVTT, MP4's own), which
    needs none; ``packets`` are (pts, duration, data), ``disposition`` as in `AudioStream`.
    """

    codec: str
    time_base: Fraction
    template: bytes
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
    """``sealed.json``: every segment is stored. ``truncated`` says why the source ended early, if it did."""

    segments: int
    truncated: str = ""
    schema: Schema = 1


Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in px of the upright frame."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face as detected: score 0-1, box, and five landmarks x1, y1, ... x5, y5 in px of the upright frame.

    Landmarks in the field's order: the subject's right eye, left eye, nose, right mouth corner, left mouth corner.
    A detector that gives none leaves them out.
    """

    score: float
    box: Box
    landmarks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """The candidates of one frame. ``cut`` (0-1) tells how different the frame is from the one before it.

    Every frame is detected, whatever the look: another may hide what the first did not look for. In records of older
    jobs some frames are skipped: their faces are not known.
    """

    pts: int
    status: Literal["detected", "skipped", "failed"] = "detected"
    cut: float = 0.0
    faces: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Faces:
    """``faces/<n>.json``. ``times_s`` maps a stage (load, decode, scale, detect) to seconds.

    A signature is a 16 x 9 grid of the frame's mean luma, 0-255, row by row; those of the first and last frame tell
    whether a scene ends at the segment's border.
    """

    index: int
    frames: tuple[FrameFaces, ...]
    detector: str
    device: str
    first_signature: tuple[int, ...] = ()
    last_signature: tuple[int, ...] = ()
    worker: str = ""
    times_s: dict[str, float] = field(default_factory=dict)
    schema: Schema = 1

    BULKY: ClassVar = True


@dataclass(frozen=True, slots=True)
class Painted:
    """``painted/<look>/<n>.json``: names the result and tells what a player must know of it.

    ``name`` is the object's last path part; ``init_bytes`` the length of the part before the first ``moof`` (0 for a
    picture). ``blank``: given up on a hiding look, one plain picture for each pts. ``codec`` is the RFC 6381 string.
    """

    index: int
    name: str
    frames: int
    bytes: int
    sha256: str
    init_bytes: int
    start: int
    end: int
    codec: str
    encoder: str
    device: str = "cpu"
    worker: str = ""
    blank: bool = False
    faces: int = 0
    times_s: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class Failed:
    """``<n>.failed.json``: the task gave up. A result beside it beats it."""

    index: int
    reason: str
    tries: int
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """``claims/...json``: a task is at work; one found later than it should be means a crash."""

    worker: str
    tries: int
    at: datetime
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """``workers/<name>.json``: a worker's heartbeat. ``frames_per_s`` is measured on its last segments, by task."""

    name: str
    at: datetime
    host: str
    device: str
    encoders: tuple[str, ...]
    queues: tuple[str, ...]
    frames_per_s: dict[str, float] = field(default_factory=dict)
    schema: Schema = 1


T = TypeVar("T")


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def encode(record: Any) -> bytes:
    """A record as JSON. The bulky ones, a row a packet or a face, leave out what stands at its default."""
    bulky: bool = getattr(record, "BULKY", False)
    body: bytes = _adapter(type(record)).dump_json(record, exclude_defaults=bulky)  # type: ignore[arg-type]
    return b'{"schema":1,' + body[1:] if bulky else body


def decode(cls: type[T], data: bytes, key: str) -> T:
    """Read a record back.

    Raises:
        RecordInvalid: the bytes are no JSON, or not of that class; the message names ``key`` and the first fault.
    """
    try:
        record: T = _adapter(cls).validate_json(data)  # type: ignore[arg-type]
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the record"
        raise RecordInvalid(f"{key} is not a {cls.__name__} record: {where}: {fault['msg']}") from exc
    return record
