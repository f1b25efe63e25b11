"""Jobs: the values stored for one, the keys they are stored under, and the state that follows from the keys.

The storage is the only truth about a job. Everything here is pure: no I/O, no clock but the times passed in.
Times are presentation times (pts) in ticks of the source's time base unless a name says otherwise.
"""

import base64
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from facepaint.errors import RecordInvalid, UsageError

ABANDONED_AFTER_S = 600.0
"""An unsealed job whose storage saw no new record for this long is called abandoned."""

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
    """One audio track. ``template`` carries its codec parameters to a muxer: see `facepaint.templates`.

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

    ``min_face`` is the smallest face to find as a share of the picture's height. ``every`` n-th frame is detected and
    the faces of those between are interpolated; a job begun with a hiding look has 1.
    """

    name: str = "facepaint-0"
    min_face: float = 0.06
    every: int = 1


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

    @property
    def bytes(self) -> int:
        """Size of the ``.bin``."""
        return sum(packet.stored_bytes for packet in self.packets)

    @property
    def audio_bytes(self) -> int:
        """Size of the audio ``.bin``; 0 means there is none."""
        return sum(packet.size for packet in self.audio)

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
    """

    score: float
    box: Box
    landmarks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """The candidates of one frame. ``cut`` (0-1) tells how different the frame is from the one before it."""

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
    bulky = isinstance(record, Segment | Faces)
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


JOB_ID = re.compile(r"\d{8}T\d{6}-[a-z2-7]{8}")
LOOK_ID = re.compile(r"[0-9a-f]{12}")

Task = Literal["detect", "paint", "link"]


def new_job_id(now: datetime) -> str:
    """``YYYYMMDDThhmmss-`` in UTC and 8 random base32 characters: sorts by time."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{base64.b32encode(secrets.token_bytes(5)).decode().lower()}"


def check_job_id(text: str) -> str:
    """Return ``text`` if it is a job id, else raise `UsageError`: ids become keys, so nothing else may pass."""
    if not JOB_ID.fullmatch(text):
        raise UsageError(f"'{text}' is no job id; `facepaint jobs` lists them")
    return text


class keys:  # noqa: N801 - read as keys.job(id)
    """The keys of the bucket: `docs/architecture.md` has the table."""

    JOBS = "jobs/"
    WORKERS = "workers/"

    @staticmethod
    def prefix(job: str) -> str:
        return f"jobs/{job}/"

    @staticmethod
    def job(job: str) -> str:
        return f"jobs/{job}/job.json"

    @staticmethod
    def looks(job: str) -> str:
        return f"jobs/{job}/looks/"

    @staticmethod
    def look(job: str, look: str) -> str:
        return f"jobs/{job}/looks/{look}.json"

    @staticmethod
    def source(job: str, index: int) -> str:
        return f"jobs/{job}/source/{index:06d}.bin"

    @staticmethod
    def audio(job: str, index: int) -> str:
        return f"jobs/{job}/audio/{index:06d}.bin"

    @staticmethod
    def segment(job: str, index: int) -> str:
        return f"jobs/{job}/source/{index:06d}.json"

    @staticmethod
    def extras(job: str) -> str:
        return f"jobs/{job}/extras.json"

    @staticmethod
    def sealed(job: str) -> str:
        return f"jobs/{job}/sealed.json"

    @staticmethod
    def faces(job: str, index: int) -> str:
        return f"jobs/{job}/faces/{index:06d}.json"

    @staticmethod
    def faces_failed(job: str, index: int) -> str:
        return f"jobs/{job}/faces/{index:06d}.failed.json"

    @staticmethod
    def tracks(job: str) -> str:
        return f"jobs/{job}/tracks.json"

    @staticmethod
    def painted(job: str, look: str, index: int) -> str:
        return f"jobs/{job}/painted/{look}/{index:06d}.json"

    @staticmethod
    def painted_failed(job: str, look: str, index: int) -> str:
        return f"jobs/{job}/painted/{look}/{index:06d}.failed.json"

    @staticmethod
    def painted_data(job: str, look: str, name: str) -> str:
        return f"jobs/{job}/painted/{look}/{name}"

    @staticmethod
    def claim(job: str, task: Task, index: int, look: str | None = None) -> str:
        return f"jobs/{job}/claims/{task}{f'-{look}' if look else ''}-{index:06d}.json"

    @staticmethod
    def sticker(sha256: str) -> str:
        return f"stickers/{sha256}"

    @staticmethod
    def worker(name: str) -> str:
        return f"workers/{name}.json"

    @staticmethod
    def deleted(job: str) -> str:
        return f"deleted/{job}"


State = Literal["uploading", "working", "complete", "incomplete", "abandoned"]

_SEGMENT_KEY = re.compile(
    r"(?P<kind>source|faces|painted/(?P<look>[0-9a-f]{12}))/(?P<index>\d{6})(?P<failed>\.failed)?\.json"
)


@dataclass(frozen=True, slots=True)
class JobKeys:
    """What a listing of a job's keys says: which segments are stored, have faces, are painted, or were given up."""

    stored: frozenset[int] = frozenset()
    detected: frozenset[int] = frozenset()
    undetected: frozenset[int] = frozenset()
    painted: dict[str, frozenset[int]] = field(default_factory=dict)
    unpainted: dict[str, frozenset[int]] = field(default_factory=dict)
    looks: tuple[str, ...] = ()
    has_job: bool = False
    sealed: bool = False

    @classmethod
    def read(cls, names: Iterable[str]) -> "JobKeys":
        """Sort the keys of one job (relative to its prefix, or whole) into what they mean."""
        found: dict[tuple[str, bool], set[int]] = {}
        looks = []
        top = set()
        for name in names:
            relative = name.split("/", 2)[2] if name.startswith(keys.JOBS) else name
            match = _SEGMENT_KEY.fullmatch(relative)
            if match:
                kind = match["look"] or match["kind"]
                found.setdefault((kind, bool(match["failed"])), set()).add(int(match["index"]))
            elif relative.startswith("looks/"):
                looks.append(relative.removeprefix("looks/").removesuffix(".json"))
            else:
                top.add(relative)

        def of(kind: str, failed: bool = False) -> frozenset[int]:
            return frozenset(found.get((kind, failed), ()))

        return cls(
            stored=of("source"),
            detected=of("faces"),
            undetected=of("faces", failed=True) - of("faces"),
            painted={look: of(look) for look in looks},
            unpainted={look: of(look, failed=True) - of(look) for look in looks},
            looks=tuple(sorted(looks)),
            has_job="job.json" in top,
            sealed="sealed.json" in top,
        )

    def state(self, since_last_record_s: float, look: str | None = None) -> State:
        """The state of the job, or of one of its looks. Once sealed, every segment is stored by definition."""
        if not self.sealed:
            return "abandoned" if since_last_record_s > ABANDONED_AFTER_S else "uploading"
        wanted = self.looks if look is None else (look,)
        done = [self.painted.get(name, frozenset()) for name in wanted]
        failed = [self.unpainted.get(name, frozenset()) for name in wanted]
        if any(self.stored - d - f for d, f in zip(done, failed, strict=True)):
            return "working"
        return "incomplete" if any(failed) else "complete"
