"""Paint a segment: decode, draw the look on each frame's faces, encode. The plain functions behind
the paint task."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from facepaint.looks.look import Look
from facepaint.records.colour import LightLevels
from facepaint.records.faces import Faces
from facepaint.records.job import Job, VideoJob
from facepaint.records.results import Painted
from facepaint.records.segment import Segment
from facepaint.records.tracks import Lookup
from filters.registry import Painter, make_painter
from tasks.detector_cache import card_of
from tasks.stopwatch import Stopwatch
from tasks.tracking.tracker import Tracks, working_point
from tasks.video.canvas import Canvas
from tasks.video.decode import Bins, DecodeReport, decode_window, window_times
from tasks.video.encode import Encoded, EncodeSpec, SegmentEncoder
from tasks.video.normalize import Upright
from tasks.video.painter import FramePainter, known_times, sound
from tasks.video.strip_side_data import strip_side_data


@dataclass(frozen=True, slots=True)
class Result:
    """A painted segment: its bytes and the record that goes with them."""

    data: bytes
    record: Painted


def paint_segment(
    job: VideoJob,
    look: Look,
    run: Sequence[Segment],
    bins: Bins,
    faces: Mapping[int, Faces],
    stickers: Mapping[str, bytes],
    threads: int = 1,
    worker: str = "",
    identity_of: Lookup | None = None,
) -> Result:
    """Paint the frames of a segment's window.

    Args:
        run: the records from the segment's ``decode_from`` to itself, ``bins`` their bytes in the
            same order.
        faces: what was found in the segments within reach, by index; one that was given up is
            absent.
        stickers: the bytes of each stored picture the look uses, by sha256.
        identity_of: who each of those found is; needed by a look that names people.

    Raises:
        UnreadableMedia: the segment cannot be decoded.
    """
    target = run[-1]
    clock, report = Stopwatch(), DecodeReport()
    painter = painter_for(look, stickers, job.video.upright_size, job.source.sha256_ends.encode())
    point = replace(working_point(look.redacts, card_of(job.detector)), hold_s=look.hold_s)
    upright = Upright(job.video, job.output)
    found = {index: sound(record) for index, record in faces.items()}
    with clock.stage("track"):
        tracks = Tracks(
            [found[index] for index in sorted(found)], job.video.time_base, point, identity_of
        )
    known = known_times(found.get(target.index))
    brush = FramePainter(Canvas(upright), painter, look.redacts, known, report.damaged)
    painted_faces = frames = 0
    with SegmentEncoder(encode_spec(job, upright, threads), job.start_pts, target.end) as encoder:
        decoded = upright.frames(decode_window(job.video, run, bins, threads, report))
        for frame in clock.each(
            "decode", map(strip_side_data, decoded) if look.redacts else decoded
        ):
            assert frame.pts is not None
            with clock.stage("track"):
                here = tracks.faces_at(frame.pts)
            with clock.stage("paint"):
                brush.paint(frame, here, float((frame.pts - job.start_pts) * job.video.time_base))
                painted_faces += len(here)
            with clock.stage("encode"):
                encoder.write(frame)
            frames += 1
        with clock.stage("encode"):
            encoded = encoder.finish() if frames else None
    notes = (
        *upright.notes,
        *report.notes(job.video, job.start_pts, window_times(run)),
        *brush.notes(),
    )
    if encoded is None:  # the rest of the video is played on behind it
        return blank_segment(job, run, threads, worker, notes)
    return _result(job, target, encoded, clock, worker, faces=painted_faces, notes=notes)


def blank_segment(
    job: VideoJob,
    run: Sequence[Segment],
    threads: int = 1,
    worker: str = "",
    notes: tuple[str, ...] = (),
) -> Result:
    """A plain frame for each frame of the window, nothing decoded.

    It stands for what a hiding look has given up, and for windows of which not one frame can be
    decoded.
    """
    target = run[-1]
    clock = Stopwatch()
    upright = Upright(job.video, job.output)
    canvas = Canvas(upright)
    times = window_times(run) or [target.start]
    with (
        clock.stage("encode"),
        SegmentEncoder(encode_spec(job, upright, threads), job.start_pts, target.end) as encoder,
    ):
        for pts in times:
            frame = canvas.blank()
            frame.pts = pts
            encoder.write(frame)
        encoded = encoder.finish()
    return _result(job, target, encoded, clock, worker, blank=True, notes=notes)


def encode_spec(job: VideoJob, upright: Upright, threads: int) -> EncodeSpec:
    """The encoding every segment of a job shares."""
    aspect = job.video.sample_aspect_ratio or Fraction(1)
    return EncodeSpec(
        size=upright.size,
        pixel_format=upright.format,
        time_base=job.video.time_base,
        frame_rate=job.video.frame_rate or Fraction(25),
        sample_aspect_ratio=1 / aspect if job.video.rotation % 180 else aspect,
        colour=upright.colour,
        profile=job.output,
        threads=threads,
        light=job.video.light if job.output.keep_format else LightLevels(),
    )


def painter_for(
    look: Look, stickers: Mapping[str, bytes], size: tuple[int, int], secret: bytes
) -> Painter:
    """The painter of a look on frames of that width and height; ``stickers`` has its pictures by
    sha256.

    ``secret`` is something that only the source's owner knows: see `filters.redaction.Redaction`.
    """
    return replace(_painter(look, tuple(sorted(stickers.items()))).keyed(secret), size=size)


@lru_cache(maxsize=4)
def _painter(look: Look, stickers: tuple[tuple[str, bytes], ...]) -> Painter:
    """The painter of a look, remembered: its artwork is rendered once a process."""
    return make_painter(look, dict(stickers))


def _result(
    job: Job,
    segment: Segment,
    encoded: Encoded,
    clock: Stopwatch,
    worker: str,
    *,
    blank: bool = False,
    faces: int = 0,
    notes: tuple[str, ...] = (),
) -> Result:
    sha256 = hashlib.sha256(encoded.data).hexdigest()
    record = Painted(
        index=segment.index,
        name=f"{segment.index:06d}-{sha256[:12]}.mp4",
        frames=encoded.frames,
        bytes=len(encoded.data),
        sha256=sha256,
        init_bytes=encoded.init_bytes,
        start=segment.start,
        end=segment.end,
        codec=encoded.codec,
        encoder=job.output.encoder,
        worker=worker,
        blank=blank,
        faces=faces,
        times_s=clock.times_s,
        notes=notes,
    )
    return Result(encoded.data, record)
