"""Save a painted job as one file: painted packets and the source's audio are copied, not
re-encoded."""

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer

from facepaint.errors import JobError, UnreadableMedia, UsageError
from facepaint.files import atomic_write
from facepaint.jobs.state import JobKeys
from facepaint.jobs.status import find_job, seconds_idle, upload_abandoned
from facepaint.looks.look import Look
from facepaint.media.codec_params import CONTAINERS, can_hold, codec_name
from facepaint.media.encoders import kept_format_note
from facepaint.media.strip_metadata import strip_extras, strip_job
from facepaint.records import keys
from facepaint.records.job import AudioStream, Extras, ImageJob, Sealed, VideoJob
from facepaint.records.segment import Segment
from facepaint.store import Store
from facepaint.text import counted
from viewer.follow import (
    DEFAULTS,
    FollowOptions,
    Gap,
    PaintedSegment,
    follow,
    wait_until_sealed,
)
from viewer.save.mux import LATE_S, Muxer, OutputPacket, OutputSpec
from viewer.save.source_audio import SourceAudio, source_audio
from viewer.verify.report import VerifyReport
from viewer.verify.verify import verify_saved

PLAYED_IN_MP4 = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac"})
"""Audio codecs that players expect in MP4. The muxer accepts more, which few players play."""

OTHER_SUFFIXES = (".mkv", ".mov")
"""The containers that replace one that cannot hold the audio, the preferred one first."""

MAX_NOTES = 20
"""A file that is damaged throughout has a note for every segment."""

Progress = Callable[[int, int], None]
"""Called with the number of saved segments and of all segments."""


@dataclass(frozen=True, slots=True)
class SaveReport:
    """What was saved.

    ``blank`` counts the segments of plain frames, ``notes`` are sentences for the user, and
    ``check`` compares the file with the job's records.
    """

    path: Path
    container: str
    segments: int
    frames: int
    gaps: tuple[Gap, ...]
    blank: int
    notes: tuple[str, ...]
    check: VerifyReport


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """What a saved file may lack or replace.

    Args:
        allow_gaps: save although segments could not be painted.
        overwrite: replace a file that exists.
        following: how to wait for segments that are not painted yet.
    """

    allow_gaps: bool = False
    overwrite: bool = False
    following: FollowOptions = DEFAULTS


def save_video(
    store: Store,
    job_id: str,
    look_id: str,
    out: Path,
    options: SaveOptions = SaveOptions(),
    on_progress: Progress | None = None,
) -> SaveReport:
    """Join a job's painted segments and its audio in ``out``, waiting for what is still painted.

    The suffix of ``out`` selects the container; `choose_target` explains when another one is used.
    The file gets its name when it is complete.

    Raises:
        UnknownJob, InputError: there is no such job or look.
        UsageError: the file cannot be written there, or no container can hold the audio.
        JobError: a segment could not be painted and gaps are not allowed; the segments were
            encoded differently; the upload was abandoned.
        StoreUnreachable: the storage was unreachable for too long.
    """
    job = find_job(store, job_id)
    if isinstance(job, ImageJob):
        raise UsageError(f"job {job_id} is a list of images: save it into a folder")
    look = store.find_record(keys.look(job_id, look_id), Look)
    target, container, notes = choose_target(job.audio, out)
    _check_target(target, options.overwrite)
    _fail_fast(store, job_id, look_id, allow_gaps=options.allow_gaps)
    # The number of segments and the extras are known once the job is sealed.
    sealed = wait_until_sealed(store, job_id, options.following)
    assert sealed is not None
    # A look that cannot be read may be one that redacts.
    spec = _output_spec(store, job, container, redacts=look is None or look.redacts)
    notes += _notes(spec, sealed)
    # Yields segments as they are painted, which may take hours.
    items = follow(store, job_id, look_id, options=options.following)

    def show(saved: int) -> None:
        if on_progress is not None:
            on_progress(saved, sealed.segments)

    try:
        with (
            atomic_write(target) as part,
            closing(items),
            closing(source_audio(store, job, sealed.segments, options.following)) as audio,
        ):
            allowed = items if options.allow_gaps else _without_gaps(job_id, items)
            joined = _join(spec, part, allowed, audio, show)
            check = verify_saved(store, job, look_id, part, spec.shift_s)
    except OSError as exc:
        raise UsageError(f"{target} cannot be written: {exc.strerror or exc}") from exc
    except av.FFmpegError as exc:
        raise JobError(
            f"{target} cannot be written in that format: {exc.strerror}; try one that ends in .mkv"
        ) from exc
    return SaveReport(
        path=target,
        container=container,
        segments=sealed.segments - len(joined.gaps),
        frames=joined.frames,
        gaps=tuple(joined.gaps),
        blank=joined.blank,
        notes=(*notes, *joined.all_notes(), *check.notes),
        check=check,
    )


def choose_target(
    audio: Iterable[AudioStream], out: Path, *, any_container: bool = False
) -> tuple[Path, str, list[str]]:
    """The file to write, its container by the muxer's name, and notes about that choice.

    If the container that ``out`` names cannot hold the audio, another one is used. Without a
    suffix, or with ``any_container``, MP4 is also replaced if MP4 players do not expect the audio.

    Raises:
        UsageError: facepaint writes no container of that suffix, or none can hold all tracks.
    """
    if out.suffix and out.suffix.lower() not in CONTAINERS:
        raise UsageError(f"{out}: the name must end in {', '.join(CONTAINERS)}, or in nothing")
    suffix = out.suffix or ".mp4"
    kind, container = suffix[1:].upper(), CONTAINERS[suffix.lower()]
    tracks = {codec_name(track.codec_params): track.codec_params for track in audio}
    unfit = _unfit(container, tracks)
    if unfit:
        return _other_target(out, tracks, f"{kind} cannot hold {' and '.join(unfit)} audio")
    rare = " and ".join(sorted(tracks.keys() - PLAYED_IN_MP4)) if container == "mp4" else ""
    is_free_to_choose = any_container or not out.suffix
    if rare and is_free_to_choose:
        return _other_target(out, tracks, f"few {kind} players play {rare} audio")
    target = out.with_name(f"{out.name.removesuffix(suffix)}{suffix}")
    notes = [f"few players play {rare} audio in MP4; more play it in .mkv"] if rare else []
    return target, container, notes


def _other_target(
    out: Path, tracks: Mapping[str, bytes], reason: str
) -> tuple[Path, str, list[str]]:
    """The target in a container that can hold the audio, with a note of the reason."""
    fitting = (suffix for suffix in OTHER_SUFFIXES if not _unfit(CONTAINERS[suffix], tracks))
    suffix = next(fitting, None)
    if suffix is None:
        codecs = " and ".join(sorted(tracks))
        raise UsageError(f"no container can hold {codecs} audio together: convert it first")
    target = out.with_name(out.name.removesuffix(out.suffix) + suffix)
    return target, CONTAINERS[suffix], [f"saved as {target.name}: {reason}"]


def _unfit(container: str, tracks: Mapping[str, bytes]) -> list[str]:
    """The codecs that a container cannot hold; ``tracks`` are codec parameters by codec name."""
    return [
        codec for codec, codec_params in tracks.items() if not can_hold(container, codec_params)
    ]


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise UsageError(f"{target} cannot be written: there is no folder {target.parent}")
    if target.is_dir():
        raise UsageError(f"{target} is a folder: name a file")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} already exists: name another file, or use --overwrite")


def _fail_fast(store: Store, job_id: str, look_id: str, *, allow_gaps: bool) -> None:
    """Raise at once what waiting cannot change: an abandoned upload, segments that failed."""
    rows = list(store.list(keys.prefix(job_id)))
    # One listing instead of a request for each segment.
    found = JobKeys.read(row.key for row in rows)
    if found.state(seconds_idle(job_id, rows, datetime.now(UTC))) == "abandoned":
        raise upload_abandoned(job_id)
    missing = sorted(found.paint_failed.get(look_id, ()))
    if missing and not allow_gaps:
        raise _gap_error(job_id, missing)


def _gap_error(job_id: str, missing: Iterable[int]) -> JobError:
    numbers = [str(index) for index in missing]
    segments = f"segment{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
    return JobError(
        f"{segments} could not be painted: `facepaint resume {job_id}` retries, "
        f"`facepaint view {job_id} --allow-gaps --save` saves the others"
    )


def _output_spec(store: Store, job: VideoJob, container: str, *, redacts: bool) -> OutputSpec:
    """What the file is to contain.

    With a redacting look it gets nothing of the source but audio, subtitles, chapters and
    languages.
    """
    extras = store.find_record(keys.extras(job.id), Extras) or Extras()
    if redacts:
        job, extras = strip_job(job), strip_extras(extras)
    # The first segment has the earliest packet of every track that starts with the video.
    first = store.get_record(keys.segment(job.id, 0), Segment)
    shift_s = shift_of(job, first)
    return OutputSpec(container, job, extras, shift_s, _late_starts(job, first, shift_s))


def _late_starts(job: VideoJob, first: Segment, shift_s: Fraction) -> dict[int, float]:
    """The start in seconds of the tracks that start after 0, by the ticks per second of their
    clocks.

    A track without a packet in the first segment starts at infinity.
    """
    starts = {job.video.time_base.denominator: float(job.start_pts * job.video.time_base + shift_s)}
    for number, track in enumerate(job.audio):
        times = [row.pts for row in first.audio if row.stream == number and row.pts is not None]
        start_s = float(times[0] * track.time_base + shift_s) if times else math.inf
        starts[track.sample_rate] = max(start_s, starts.get(track.sample_rate, start_s))
    return {clock: start_s for clock, start_s in starts.items() if start_s > 0}


def shift_of(job: VideoJob, first: Segment) -> Fraction:
    """How many seconds later everything is in the file than in the source.

    No container shows a frame before 0, so a negative start becomes 0. A source that starts later
    than `LATE_S`, such as a recorded broadcast, would show nothing until then: its earliest packet
    moves to 0.

    Args:
        job: the job.
        first: the record of its first segment.
    """
    tick = job.video.time_base
    start_s = job.start_pts * tick
    if start_s < 0:
        return -start_s
    audio_s = (
        row.pts * job.audio[row.stream].time_base for row in first.audio if row.pts is not None
    )
    earliest_s = min([start_s, *audio_s])
    # By whole ticks, so that the times of the frames stay exact.
    return -(earliest_s // tick * tick) if earliest_s > LATE_S else Fraction(0)


def _notes(spec: OutputSpec, sealed: Sealed) -> Iterator[str]:
    """What the user should know of the file before it is written."""
    if sealed.truncated:
        yield f"the source ends early: {sealed.truncated}"
    if spec.shift_s > 0:
        yield (
            f"everything starts {float(spec.shift_s):.3f} s later: the source starts before 0, "
            "which no file can"
        )
    elif spec.shift_s < 0:
        yield (
            f"everything starts {-float(spec.shift_s):.3f} s earlier: the source's clock starts "
            "long after 0"
        )
    if spec.container == "matroska":
        yield "times are rounded to 1 ms, the resolution of Matroska"
    kept = kept_format_note(spec.job.output, spec.job.video.pixel_format)
    if kept:
        yield kept


def _without_gaps(job_id: str, items: Iterable[PaintedSegment | Gap]) -> Iterator[PaintedSegment]:
    for item in items:
        if isinstance(item, Gap):
            raise _gap_error(job_id, [item.index])
        yield item


@dataclass(slots=True)
class _Joined:
    """What was joined so far; every segment has the same ``parameters``."""

    parameters: tuple[int, int, bytes | None] | None = None
    frames: int = 0
    blank: int = 0
    gaps: list[Gap] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    more_notes: int = 0

    def note(self, texts: Iterable[str]) -> None:
        """Keep new notes, up to a limit; the others are counted."""
        for text in texts:
            if text not in self.notes and len(self.notes) == MAX_NOTES:
                self.more_notes += 1
            else:
                self.notes[text] = None

    def all_notes(self) -> Iterator[str]:
        """The notes of the segments, and which segments are blank or missing."""
        yield from self.notes
        if self.more_notes:
            yield f"and {self.more_notes} more notes"
        if self.blank:
            yield f"{counted(self.blank, 'segment')} of plain frames: painting failed"
        if self.gaps:
            indexes = ", ".join(str(gap.index) for gap in self.gaps)
            yield f"{counted(len(self.gaps), 'segment')} missing: painting failed: {indexes}"


def _join(
    spec: OutputSpec,
    part: Path,
    items: Iterable[PaintedSegment | Gap],
    audio: Iterable[list[SourceAudio]],
    on_progress: Callable[[int], None],
) -> _Joined:
    """Write segment after segment into a new file."""
    joined = _Joined()
    segments = zip(items, audio, strict=True)
    # The first painted segment has the codec parameters that the output is opened with.
    start: list[tuple[PaintedSegment | Gap, list[SourceAudio]]] = []
    for item, packets in segments:
        start.append((item, packets))
        if isinstance(item, PaintedSegment):
            break
    else:
        raise _gap_error(spec.job.id, [gap.index for gap, _ in start])
    with Muxer(part, spec, item.data) as muxer:
        joined.note(muxer.notes)
        for item, packets in chain(start, segments):
            video = _video_packets(spec.job, muxer, item, joined)
            muxer.write([*_audio_packets(muxer, packets), *video])
            on_progress(item.index + 1)
    return joined


def _audio_packets(muxer: Muxer, packets: Iterable[SourceAudio]) -> Iterator[OutputPacket]:
    for packet in packets:
        track = muxer.audio[packet.stream]
        yield OutputPacket(track, packet.data, packet.start_s, packet.duration_s)


def _video_packets(
    job: VideoJob, muxer: Muxer, item: PaintedSegment | Gap, joined: _Joined
) -> Iterator[OutputPacket]:
    """A painted segment's packets, timed on the source's clock; none for a gap."""
    if isinstance(item, Gap):
        joined.gaps.append(item)
        return
    parameters = _parameters(item)
    # One track has one set of codec parameters; players would decode the others wrongly.
    if joined.parameters not in {None, parameters}:
        raise JobError(
            f"segment {item.index} of job {job.id} was encoded differently from those before it "
            "and cannot be joined with them: paint the job again with one encoder"
        )
    joined.parameters = parameters
    joined.blank += item.record.blank
    joined.note(item.record.notes)
    # The segment's own times start at the job's first frame.
    origin_s = job.start_pts * job.video.time_base
    with _open(item) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size and packet.pts is not None:
                joined.frames += 1
                start_s = origin_s + packet.pts * packet.time_base
                duration_s = (packet.duration or 0) * packet.time_base
                yield OutputPacket(
                    muxer.video, bytes(packet), start_s, duration_s, packet.is_keyframe
                )


def _parameters(segment: PaintedSegment) -> tuple[int, int, bytes | None]:
    """Size and parameter sets, which all segments of one track share."""
    with _open(segment) as container:
        context = container.streams.video[0].codec_context
        return context.width, context.height, context.extradata


@contextmanager
def _open(segment: PaintedSegment) -> Iterator[InputContainer]:
    try:
        with av.open(io.BytesIO(segment.data), "r", format="mp4") as container:
            yield container
    except av.FFmpegError as exc:
        raise UnreadableMedia(
            f"painted segment {segment.index} ({segment.record.name}) is no MP4: {exc}"
        ) from exc
