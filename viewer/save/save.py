"""Save a painted job as one file: painted packets and the source's own sound joined by copying,
nothing re-encoded."""

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
from facepaint.jobs.status import find_job, idle_s
from facepaint.looks.look import Look
from facepaint.media.codec_params import CONTAINERS, can_hold, codec_name
from facepaint.media.encoders import kept_note
from facepaint.media.strip_metadata import private_extras, private_job
from facepaint.records import keys
from facepaint.records.job import AudioStream, Extras, ImageJob, Sealed, VideoJob
from facepaint.records.segment import Segment
from facepaint.store import Store
from viewer.follow import (
    DEFAULTS,
    FollowOptions,
    Gap,
    PaintedSegment,
    abandoned,
    follow,
    wait_until_sealed,
)
from viewer.save.mux import LATE_S, Muxer, Plan, Timed
from viewer.save.source_audio import SourceAudio, source_audio
from viewer.verify.report import counted
from viewer.verify.saved import Check, check_saved

PLAYED_IN_MP4 = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac"})
"""Audio that players expect in MP4. The muxer takes more, which few of them play."""

MOST_NOTES = 20
"""A file damaged all over says something of every segment."""

Progress = Callable[[int, int], None]
"""Is told how many segments are saved, of how many."""


@dataclass(frozen=True, slots=True)
class SaveReport:
    """What was saved. ``blank`` counts segments that are plain pictures; ``notes`` are sentences
    for the user."""

    path: Path
    container: str
    segments: int
    frames: int
    gaps: tuple[Gap, ...]
    blank: int
    notes: tuple[str, ...]
    check: Check


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """What a saved file may lack or replace.

    Args:
        allow_gaps: save although segments were given up.
        overwrite: replace a file that exists.
        following: how to wait for segments that are not painted yet.
    """

    allow_gaps: bool = False
    overwrite: bool = False
    following: FollowOptions = DEFAULTS


def save(
    store: Store,
    job_id: str,
    look_id: str,
    out: Path,
    options: SaveOptions = SaveOptions(),
    on_progress: Progress | None = None,
) -> SaveReport:
    """Join a job's painted segments and its audio in ``out``, waiting for what is still painted.

    The suffix of ``out`` chooses the container: .mp4, .m4v or .mkv; `choose_target` says when it
    becomes another. The file gets its name when it is complete.

    Raises:
        UnknownJob, InputError: there is no such job or look.
        UsageError: it cannot be written there, or the container cannot hold the sound.
        JobError: a segment was given up and gaps are not allowed; the segments do not fit each
            other; the upload was abandoned.
        StoreUnreachable: the storage was away for too long.
    """
    job = find_job(store, job_id)
    if isinstance(job, ImageJob):
        raise UsageError(f"job {job_id} is a list of pictures: save it into a folder")
    look = store.find_record(keys.look(job_id, look_id), Look)
    target, container, notes = choose_target(job.audio, out)
    _check_target(target, options.overwrite)
    _fail_fast(store, job_id, look_id, allow_gaps=options.allow_gaps)
    sealed = wait_until_sealed(store, job_id, options.following)
    assert sealed is not None
    plan = _plan(store, job, container, redacts=look is None or look.redacts)
    notes += _notes(plan, sealed)
    items = follow(store, job_id, look_id, options=options.following)
    try:
        with (
            atomic_write(target) as part,
            closing(items),
            closing(source_audio(store, job, sealed.segments, options.following)) as audio,
        ):
            allowed = items if options.allow_gaps else _without_gaps(job_id, items)
            joined = _join(
                plan, part, allowed, audio, lambda n: (on_progress or _ignore)(n, sealed.segments)
            )
            check = check_saved(store, job_id, look_id, part, shift_s=plan.shift_s)
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
    """The file to write, its container by the muxer's name, and what to tell the user about that
    choice.

    Where the container that ``out`` names cannot hold the sound, it is another. Without a suffix,
    or with
    ``any_container``, it is another than MP4 already where MP4 players do not expect the sound.

    Raises:
        UsageError: the suffix is of no container we write, or the tracks fit into none together.
    """
    if out.suffix and out.suffix.lower() not in CONTAINERS:
        raise UsageError(f"{out}: the name must end in {', '.join(CONTAINERS)}, or in nothing")
    suffix = out.suffix or ".mp4"
    container = CONTAINERS[suffix.lower()]
    tracks = {codec_name(track.codec_params): track.codec_params for track in audio}
    unfit = _unfit(container, tracks)
    rare = sorted(tracks.keys() - PLAYED_IN_MP4) if container == "mp4" else []
    if not unfit and (not rare or (out.suffix and not any_container)):
        notes = (
            [f"few players play {' and '.join(rare)} sound in MP4; a .mkv plays"] if rare else []
        )
        return out.with_name(f"{out.name.removesuffix(suffix)}{suffix}"), container, notes
    others = [other for other in (".mkv", ".mov") if not _unfit(CONTAINERS[other], tracks)]
    if not others:
        raise UsageError(
            f"no file can hold {' and '.join(sorted(tracks))} sound together: convert it first"
        )
    target = out.with_name(out.name.removesuffix(out.suffix) + others[0])
    kind = suffix[1:].upper()
    why = (
        f"{kind} cannot hold {' and '.join(unfit)}"
        if unfit
        else f"few {kind} players play {' and '.join(rare)}"
    )
    return target, CONTAINERS[others[0]], [f"saved as {target.name}: {why} sound"]


def _unfit(container: str, tracks: Mapping[str, bytes]) -> list[str]:
    """The codings that a container cannot hold, of those given with a template each."""
    return [
        codec for codec, codec_params in tracks.items() if not can_hold(container, codec_params)
    ]


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise UsageError(f"{target} cannot be written: there is no folder {target.parent}")
    if target.is_dir():
        raise UsageError(f"{target} is a folder: name a file")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} is already there: name another file, or use --overwrite")


def _fail_fast(store: Store, job_id: str, look_id: str, *, allow_gaps: bool) -> None:
    """Refuse at once what waiting cannot change."""
    rows = list(store.list(keys.prefix(job_id)))
    found = JobKeys.read(row.key for row in rows)
    if found.state(idle_s(job_id, rows, datetime.now(UTC))) == "abandoned":
        raise abandoned(job_id)
    missing = sorted(found.paint_failed.get(look_id, ()))
    if missing and not allow_gaps:
        raise _gap_error(job_id, missing)


def _gap_error(job_id: str, missing: Iterable[int]) -> JobError:
    names = [str(index) for index in missing]
    which = f"segment {names[0]} was" if len(names) == 1 else f"segments {', '.join(names)} were"
    return JobError(
        f"{which} given up: `facepaint resume {job_id}` tries again, `facepaint view "
        f"{job_id} --allow-gaps --save` "
        f"saves without"
    )


def _plan(store: Store, job: VideoJob, container: str, *, redacts: bool) -> Plan:
    """With a look that hides, nothing of the source but sound, subtitles, chapters and languages
    goes along."""
    extras = store.find_record(keys.extras(job.id), Extras) or Extras()
    if redacts:
        job, extras = private_job(job), private_extras(extras)
    first = store.get_record(keys.segment(job.id, 0), Segment)
    shift_s = shift_of(job, first)
    return Plan(container, job, extras, shift_s, _late_starts(job, first, shift_s))


def _late_starts(job: VideoJob, first: Segment, shift_s: Fraction) -> dict[int, float]:
    """How many seconds after 0 tracks begin that do, by their clocks' ticks a second; by the first
    segment's record."""
    starts = {job.video.time_base.denominator: float(job.start_pts * job.video.time_base + shift_s)}
    for number, track in enumerate(job.audio):
        times = [row.pts for row in first.audio if row.stream == number and row.pts is not None]
        start_s = float(times[0] * track.time_base + shift_s) if times else math.inf
        starts[track.sample_rate] = max(start_s, starts.get(track.sample_rate, start_s))
    return {clock: start_s for clock, start_s in starts.items() if start_s > 0}


def shift_of(job: VideoJob, first: Segment) -> Fraction:
    """How many seconds later everything is to be in the file than in the source, by the first
    segment's record.

    No container shows a picture before 0. What starts later than `LATE_S`, as broadcasts do after
    hours, would be a file that shows nothing until then: there the earliest packet of picture and
    sound comes at 0.
    """
    tick = job.video.time_base
    start_s = job.start_pts * tick
    if start_s < 0:
        return -start_s
    sounds_s = (
        row.pts * job.audio[row.stream].time_base for row in first.audio if row.pts is not None
    )
    earliest_s = min([start_s, *sounds_s])
    # By whole ticks: the picture's times stay exact.
    return -(earliest_s // tick * tick) if earliest_s > LATE_S else Fraction(0)


def _notes(plan: Plan, sealed: Sealed) -> Iterator[str]:
    if sealed.truncated:
        yield f"the source ends early: {sealed.truncated}"
    if plan.shift_s > 0:
        yield (
            f"everything starts {float(plan.shift_s):.3f} s later: the source starts below 0, "
            "which no file can"
        )
    elif plan.shift_s < 0:
        yield (
            f"everything starts {-float(plan.shift_s):.3f} s earlier: the source's clock ran so "
            "long before its start"
        )
    if plan.container == "matroska":
        yield "times are rounded to the 1 ms that Matroska counts in"
    kept = kept_note(plan.job.output, plan.job.video.pixel_format)
    if kept:
        yield kept


def _without_gaps(job_id: str, items: Iterable[PaintedSegment | Gap]) -> Iterator[PaintedSegment]:
    for item in items:
        if isinstance(item, Gap):
            raise _gap_error(job_id, [item.index])
        yield item


def _ignore(saved: int, total: int) -> None:
    """Takes progress nobody asked for."""


@dataclass(slots=True)
class _Joined:
    """What one run through the segments came to; ``parameters`` are those every segment has."""

    parameters: tuple[int, int, bytes | None] | None = None
    frames: int = 0
    blank: int = 0
    gaps: list[Gap] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    more_notes: int = 0

    def note(self, texts: Iterable[str]) -> None:
        """Keep what is new, as many as anybody reads."""
        for text in texts:
            if text not in self.notes and len(self.notes) == MOST_NOTES:
                self.more_notes += 1
            else:
                self.notes[text] = None

    def all_notes(self) -> Iterator[str]:
        """What segments say of themselves, and which of them are not as they should be."""
        yield from self.notes
        if self.more_notes:
            yield f"and {self.more_notes} more of the kind"
        if self.blank:
            yield (
                f"{counted(self.blank, 'segment')} of plain pictures, which stand for what could "
                "not be painted"
            )
        if self.gaps:
            indexes = ", ".join(str(gap.index) for gap in self.gaps)
            yield f"{counted(len(self.gaps), 'segment')} missing, since given up: {indexes}"


def _join(
    plan: Plan,
    part: Path,
    items: Iterable[PaintedSegment | Gap],
    sounds: Iterable[list[SourceAudio]],
    on_progress: Callable[[int], None],
) -> _Joined:
    """Write segment after segment. The output is opened by the first that is painted."""
    joined = _Joined()
    stretches = zip(items, sounds, strict=True)
    begin = []
    for item, heard in stretches:
        begin.append((item, heard))
        if isinstance(item, PaintedSegment):
            break
    else:
        raise _gap_error(plan.job.id, [gap.index for gap, _ in begin])
    with Muxer(part, plan, item.data) as muxer:
        joined.note(muxer.notes)
        for item, heard in chain(begin, stretches):
            muxer.write([*_heard(muxer, heard), *_seen(plan.job, muxer, item, joined)])
            on_progress(item.index + 1)
    return joined


def _heard(muxer: Muxer, heard: Iterable[SourceAudio]) -> Iterator[Timed]:
    for sound in heard:
        yield Timed(muxer.audio[sound.stream], sound.data, sound.start_s, sound.duration_s)


def _seen(
    job: VideoJob, muxer: Muxer, item: PaintedSegment | Gap, joined: _Joined
) -> Iterator[Timed]:
    """A painted segment's packets; its own times count from the job's first picture."""
    if isinstance(item, Gap):
        joined.gaps.append(item)
        return
    parameters = _parameters(item)
    if joined.parameters not in {None, parameters}:
        raise JobError(
            f"segment {item.index} of job {job.id} was encoded differently from those before it "
            "and cannot be joined "
            f"with them: paint the job again with one encoder"
        )
    joined.parameters = parameters
    joined.blank += item.record.blank
    joined.note(item.record.notes)
    origin_s = job.start_pts * job.video.time_base
    with _open(item) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size and packet.pts is not None:
                joined.frames += 1
                start_s, duration_s = (
                    packet.pts * packet.time_base,
                    (packet.duration or 0) * packet.time_base,
                )
                yield Timed(
                    muxer.video, bytes(packet), origin_s + start_s, duration_s, packet.is_keyframe
                )


def _parameters(segment: PaintedSegment) -> tuple[int, int, bytes | None]:
    """Size and parameter sets, which all segments of one track must share."""
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
