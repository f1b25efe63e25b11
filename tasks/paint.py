"""The paint task: decode a segment, draw a look on the faces of each frame, encode."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial

from facepaint.errors import JobError
from facepaint.jobs.people import unknown_people
from facepaint.jobs.readiness import SegmentIndex, enqueue_tracking, is_ready, tracking_ended
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.colour import LightLevels
from facepaint.records.faces import Faces
from facepaint.records.job import ImageJob, Job, VideoJob
from facepaint.records.results import Failed, Painted
from facepaint.records.segment import Segment
from facepaint.records.tracks import People, PersonLookup, TrackedSegment, person_lookup
from facepaint.store import Store
from tasks.claims import hold_claim
from tasks.context import (
    WorkerContext,
    failing_on_damaged_records,
    remove_if_deleted,
    run_or_give_up,
)
from tasks.detector_cache import card_of
from tasks.images import paint_image
from tasks.stopwatch import Stopwatch
from tasks.tracking.tracker import Tracks, tracking_options
from tasks.video.canvas import Canvas
from tasks.video.decode import DecodeReport, RunSource, decode_window, window_times
from tasks.video.encode import Encoded, EncodeSpec, SegmentEncoder
from tasks.video.encoder_options import require_encoder
from tasks.video.normalize import Normalizer
from tasks.video.painter import FramePainter, Result, detected_times, painter_for, valid_faces
from tasks.video.strip_side_data import strip_side_data


@dataclass(frozen=True, slots=True)
class Inputs:
    """What painting a segment needs besides the segment.

    Args:
        faces: the detections of the segments within reach, by index. A segment whose detection
            failed is absent.
        stickers: the bytes of each stored image that the look uses, by sha256.
        without_faces: the segments within reach whose detection failed.
        person_of: the person of each detection; needed by a look that selects people.
        notes: notes about these inputs for the record.
    """

    faces: Mapping[int, Faces]
    stickers: Mapping[str, bytes] = field(default_factory=dict)
    without_faces: tuple[int, ...] = ()
    person_of: PersonLookup | None = None
    notes: tuple[str, ...] = ()


def run_paint(
    context: WorkerContext, job_id: str, index: int, look_id: str, redelivered: bool = False
) -> Painted | None:
    """Paint one segment with one look, unless it is painted, given up or not ready.

    Returns:
        The record, if this call made one.
    """
    loaded = context.job(job_id)
    if loaded is None:
        return None
    job, segments = loaded
    store = context.store
    done_key = keys.painted(job_id, look_id, index)
    failed_key = keys.painted_failed(job_id, look_id, index)
    if store.exists(done_key) or store.exists(failed_key):
        return None
    look = None
    with failing_on_damaged_records(store, (failed_key, index)):
        look = _ready_look(context, segments, job_id, index, look_id)
    if look is None:
        return None
    with hold_claim(context, job_id, "paint", index, look_id, redelivered) as claim:
        if claim is None:
            return None
        work = partial(_paint, context, job, segments, look, index)
        fallback = _fallback(context, job, segments, look, index)
        result = run_or_give_up(context, claim, (failed_key, index), work, fallback)
        # Within the claim: a crash while storing counts as one of painting.
        if result is not None:
            _store_painted(store, job_id, look_id, index, result)
    if result is None:
        remove_if_deleted(context, job_id, [done_key, failed_key])
        return None
    data_key = keys.painted_data(job_id, look_id, result.record.name)
    remove_if_deleted(context, job_id, [done_key, failed_key, data_key])
    return result.record


def _ready_look(
    context: WorkerContext, segments: SegmentIndex, job_id: str, index: int, look_id: str
) -> Look | None:
    """The look, or None while a segment cannot be painted with it.

    A look that names people waits for person tracking, which is queued here: the message that asked
    for it may be lost.
    """
    if not is_ready(context.store, segments, job_id, index):
        return None
    look = context.store.find_record(keys.look(job_id, look_id), Look)
    if look is None:
        return None
    if look.people and not tracking_ended(context.store, job_id):
        enqueue_tracking(context.queue, job_id, segments)
        return None
    return look


def _fallback(
    context: WorkerContext, job: Job, segments: SegmentIndex, look: Look, index: int
) -> Callable[[], Result] | None:
    """What stands in for a segment whose painting is given up.

    The blank frames of a redacting look let players pass; the source must not show. Without a
    redaction, players show the gap.
    """
    if not look.redacts or not isinstance(job, VideoJob):
        return None
    return partial(_blank, context, job, segments, index)


def _store_painted(store: Store, job_id: str, look_id: str, index: int, result: Result) -> None:
    """Store a result and its record.

    The last record wins. A writer whose record was replaced removes its own data.
    """
    data_key = keys.painted_data(job_id, look_id, result.record.name)
    content_type = "video/mp4" if data_key.endswith(".mp4") else "application/octet-stream"
    store.put(data_key, result.data, content_type)
    store.put_record(keys.painted(job_id, look_id, index), result.record)
    stored = store.get_record(keys.painted(job_id, look_id, index), type(result.record))
    if stored.name != result.record.name:
        store.delete(data_key)


def _paint(
    context: WorkerContext, job: Job, segments: SegmentIndex, look: Look, index: int
) -> Result:
    worker = context.settings.worker_name
    if isinstance(job, VideoJob):
        require_encoder(job.output.encoder)
    source = context.source(job.id, segments.run(index))
    inputs = _inputs(context.store, job, segments, look, index)
    if isinstance(job, ImageJob):
        faces, card = inputs.faces.get(index), card_of(job.detector)
        result = paint_image(look, index, source.data[0], faces, inputs.stickers, worker, card)
    else:
        result = paint_segment(job, look, source, inputs, worker)
    return replace(result, record=replace(result.record, without_faces=inputs.without_faces))


def _inputs(store: Store, job: Job, segments: SegmentIndex, look: Look, index: int) -> Inputs:
    """Read the detections within reach, the stickers and the people of a segment."""
    found = {
        segment.index: store.find_stored(keys.faces(job.id, segment.index), Faces)
        for segment in segments.reach(index) or []
    }
    stored = {number: one for number, one in found.items() if one is not None}
    inputs = Inputs(
        faces={number: one.record for number, one in stored.items()},
        stickers={
            sha256: store.get_verified(keys.sticker(sha256), sha256) for sha256 in look.stickers
        },
        without_faces=tuple(sorted(found.keys() - stored.keys())),
    )
    if not look.people or isinstance(job, ImageJob):
        return inputs
    digests = {number: one.sha256 for number, one in stored.items()}
    person_of, notes = people_for_look(store, job.id, look, digests)
    return replace(inputs, person_of=person_of, notes=notes)


def people_for_look(
    store: Store, job_id: str, look: Look, digests: Mapping[int, str]
) -> tuple[PersonLookup, tuple[str, ...]]:
    """The people of the detections of some segments, and notes for the record.

    Detections without a person are redacted by a redacting look.

    Args:
        digests: the sha256 of each segment's stored `Faces`.

    Raises:
        JobError: person tracking failed, and the look does not redact.
    """
    people = store.find_record(keys.tracks(job_id), People)
    if people is None:
        failed = store.get_record(keys.tracks_failed(job_id), Failed)
        if not look.redacts:
            raise JobError(
                f"person tracking failed for job {job_id}: {failed.reason}; "
                f"`facepaint resume {job_id}` retries it"
            )
        return person_lookup([]), (
            f"every face is redacted: person tracking failed ({failed.reason})",
        )
    # A look can be requested before people have numbers, and an unknown number may mean anybody.
    if missing := unknown_people(look.redacted_people, people):
        return person_lookup([]), (f"every face is redacted: this video has no person {missing}",)
    tracked = [
        store.find_record(keys.tracked(job_id, number), TrackedSegment) for number in digests
    ]
    # Rows refer to the detections that were tracked. Detected again, these may be in another order.
    current = [
        segment
        for segment in tracked
        if segment is not None and segment.faces == digests[segment.index]
    ]
    notes = []
    if missing := unknown_people(look.people, people):
        notes.append(f"this video has no person {missing}")
    if len(current) < len(digests):
        notes.append("some faces were detected again after tracking: their person is unknown")
    return person_lookup(current), tuple(notes)


def _blank(context: WorkerContext, job: VideoJob, segments: SegmentIndex, index: int) -> Result:
    source = context.source(job.id, segments.run(index))
    return blank_segment(job, source, context.settings.worker_name)


def paint_segment(
    job: VideoJob, look: Look, source: RunSource, inputs: Inputs, worker: str = ""
) -> Result:
    """Paint the frames of a segment's window.

    Raises:
        UnreadableMedia: the segment cannot be decoded.
    """
    target = source.target
    clock, report = Stopwatch(), DecodeReport()
    normalizer = Normalizer(job.video, job.output)
    painter = _frame_painter(job, look, inputs, target.index, normalizer, report)
    with clock.stage("track"):
        tracks = _tracks(job, look, inputs)
    start_s = job.start_pts * job.video.time_base
    painted_faces = frames = 0
    with SegmentEncoder(
        encode_spec(job, normalizer, source.threads), job.start_pts, target.end
    ) as encoder:
        decoded = normalizer.frames(decode_window(job.video, source, report))
        # Side data such as captions may describe what a redacting look removes.
        shown = map(strip_side_data, decoded) if look.redacts else decoded
        for frame in clock.each("decode", shown):
            assert frame.pts is not None
            with clock.stage("track"):
                faces = tracks.faces_at(frame.pts)
            with clock.stage("paint"):
                painter.paint(frame, faces, float(frame.pts * job.video.time_base - start_s))
            with clock.stage("encode"):
                encoder.write(frame)
            painted_faces += len(faces)
            frames += 1
        with clock.stage("encode"):
            encoded = encoder.finish() if frames else None
    notes = (
        *normalizer.notes,
        *report.notes(job.video, job.start_pts, window_times(source.segments)),
        *painter.notes(),
        *inputs.notes,
    )
    if encoded is None:
        # Not one frame could be decoded. Players need frames to get past the window.
        return blank_segment(job, source, worker, notes)
    record = _record(job, target, encoded, clock)
    record = replace(record, worker=worker, faces=painted_faces, notes=notes)
    return Result(encoded.data, record)


def _frame_painter(
    job: VideoJob,
    look: Look,
    inputs: Inputs,
    index: int,
    normalizer: Normalizer,
    report: DecodeReport,
) -> FramePainter:
    secret = job.source.sha256_ends.encode()
    painter = painter_for(look, inputs.stickers, job.video.square_size, secret)
    own = inputs.faces.get(index)
    detected = detected_times(valid_faces(own) if own else None)
    return FramePainter(Canvas(normalizer), painter, look.redacts, detected, report.damaged)


def _tracks(job: VideoJob, look: Look, inputs: Inputs) -> Tracks:
    options = replace(tracking_options(look.redacts, card_of(job.detector)), hold_s=look.hold_s)
    faces = [valid_faces(inputs.faces[index]) for index in sorted(inputs.faces)]
    return Tracks(faces, job.video.time_base, options, inputs.person_of)


def blank_segment(
    job: VideoJob, source: RunSource, worker: str = "", notes: tuple[str, ...] = ()
) -> Result:
    """A blank segment: a plain frame for each frame of the window. Nothing is decoded.

    It stands in for a segment whose painting with a redacting look failed, and for a window of
    which no frame can be decoded.
    """
    target = source.target
    clock = Stopwatch()
    normalizer = Normalizer(job.video, job.output)
    canvas = Canvas(normalizer)
    spec = encode_spec(job, normalizer, source.threads)
    with clock.stage("encode"), SegmentEncoder(spec, job.start_pts, target.end) as encoder:
        for pts in window_times(source.segments) or [target.start]:
            frame = canvas.blank()
            frame.pts = pts
            encoder.write(frame)
        encoded = encoder.finish()
    record = _record(job, target, encoded, clock)
    return Result(encoded.data, replace(record, worker=worker, blank=True, notes=notes))


def encode_spec(job: VideoJob, normalizer: Normalizer, threads: int) -> EncodeSpec:
    """The encoding that every segment of a job shares."""
    return EncodeSpec(
        size=normalizer.size,
        pixel_format=normalizer.format,
        time_base=job.video.time_base,
        frame_rate=job.video.frame_rate or Fraction(25),
        sample_aspect_ratio=job.video.pixel_aspect,
        colour=normalizer.colour,
        profile=job.output,
        threads=threads,
        light=job.video.light if job.output.keep_format else LightLevels(),
    )


def _record(job: Job, segment: Segment, encoded: Encoded, clock: Stopwatch) -> Painted:
    sha256 = hashlib.sha256(encoded.data).hexdigest()
    return Painted(
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
        times_s=clock.times_s,
    )
