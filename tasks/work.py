"""What a worker does with a message about a segment: read the store, call a plain function, write
the store, wake.

Every task is idempotent by key: a result that stands is success, and doing the work twice stores
the same thing twice.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from facepaint.errors import JobError, ObjectMissing
from facepaint.jobs.people import unknown_people
from facepaint.jobs.readiness import (
    SegmentIndex,
    enqueue_ready,
    enqueue_tracking,
    is_ready,
    tracking_ended,
)
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.codec import decode
from facepaint.records.faces import Faces
from facepaint.records.job import ImageJob, Job, VideoJob
from facepaint.records.results import Failed, Painted
from facepaint.records.segment import Segment
from facepaint.records.tracks import Lookup, People, TrackedSegment, lookup_of
from facepaint.store import Store
from models.providers import Runtime
from tasks.context import StoredBins, WorkerContext, attempt, claimed, removed_if_deleted
from tasks.detect import detect_segment
from tasks.detector_cache import card_of, model_of
from tasks.images import detect_image, paint_image
from tasks.paint import Result, blank_segment, paint_segment
from tasks.video.encoder_options import require_encoder


def run_detect(
    context: WorkerContext, job_id: str, index: int, redelivered: bool = False
) -> Faces | None:
    """The detect task: faces of one segment, then wake. Whatever happens to the segment, the waking
    is not skipped.

    Returns the record if one was made.
    """
    known = context.job(job_id)
    if known is None:
        return None
    faces = None
    job, timeline = known
    store = context.store
    done, failed = keys.faces(job_id, index), keys.faces_failed(job_id, index)
    if not store.exists(done) and not store.exists(failed):
        run = _stored_run(timeline, index)
        if run is None:
            return None
        with claimed(context, job_id, "detect", index, None, redelivered) as claim:
            if claim is None:
                return None
            faces = attempt(context, claim, failed, index, lambda: _detect(context, job, run))
            if faces is not None:
                store.put_record(done, faces)
    if not removed_if_deleted(context, job_id, [done, failed]):
        enqueue_ready(store, context.queue, job, [index], timeline=timeline)
    return faces


def run_paint(
    context: WorkerContext, job_id: str, index: int, look_id: str, redelivered: bool = False
) -> Painted | None:
    """The paint task: one segment with one look, unless it is painted, given up, or not ready (then
    it is woken).

    Returns the record if one was made.
    """
    known = context.job(job_id)
    if known is None:
        return None
    job, timeline = known
    store = context.store
    done, failed = keys.painted(job_id, look_id, index), keys.painted_failed(job_id, look_id, index)
    if store.exists(done) or store.exists(failed) or not is_ready(store, timeline, job_id, index):
        return None
    look = store.find_record(keys.look(job_id, look_id), Look)
    if look is None:
        return None
    if look.numbers and not tracking_ended(store, job_id):
        enqueue_tracking(context.queue, job_id, timeline)
        return None
    with claimed(context, job_id, "paint", index, look_id, redelivered) as claim:
        if claim is None:
            return None
        # Giving up on a hiding look must still show something for these times, and never the
        # source.
        give_up = (
            partial(_blank, context, job, timeline, index)
            if look.redacts and isinstance(job, VideoJob)
            else None
        )
        result = attempt(
            context,
            claim,
            failed,
            index,
            lambda: _paint(context, job, timeline, look, index),
            give_up,
        )
        if result is not None:
            _store_painted(store, job_id, look_id, index, result)
    if result is None:
        removed_if_deleted(context, job_id, [done, failed])
        return None
    removed_if_deleted(
        context, job_id, [done, failed, keys.painted_data(job_id, look_id, result.record.name)]
    )
    return result.record


def _store_painted(store: Store, job_id: str, look_id: str, index: int, result: Result) -> None:
    """Store a result and its record. The last record wins; whose record was replaced removes its
    own data."""
    data_key = keys.painted_data(job_id, look_id, result.record.name)
    kind = "video/mp4" if data_key.endswith(".mp4") else "application/octet-stream"
    store.put(data_key, result.data, kind)
    store.put_record(keys.painted(job_id, look_id, index), result.record)
    stands = store.get_record(keys.painted(job_id, look_id, index), type(result.record))
    if stands.name != result.record.name:
        store.delete(data_key)


def _stored_run(timeline: SegmentIndex, index: int) -> list[Segment] | None:
    """What a segment is decoded from, or None while a part is not stored: the uploader queues it
    when that is."""
    try:
        return timeline.run(index)
    except ObjectMissing:
        return None


def _detect(context: WorkerContext, job: Job, run: Sequence[Segment]) -> Faces:
    index, settings = run[-1].index, context.settings
    bins = StoredBins(context.store, job.id, run)
    model = model_of(job.detector, context.store)
    runtime = Runtime(settings.device, settings.threads, settings.detect_batch, settings.float16)
    if isinstance(job, ImageJob):
        return detect_image(job, index, bins[0], runtime, settings.worker_name, model)
    return detect_segment(job, run, bins, runtime, settings.worker_name, model)


def _paint(
    context: WorkerContext, job: Job, timeline: SegmentIndex, look: Look, index: int
) -> Result:
    store, settings = context.store, context.settings
    if isinstance(job, VideoJob):
        require_encoder(job.output.encoder)
    run = timeline.run(index)
    found = {
        segment.index: store.find(keys.faces(job.id, segment.index))
        for segment in timeline.reach(index) or []
    }
    stored = {number: data for number, data in found.items() if data is not None}
    faces = {
        number: decode(Faces, data, keys.faces(job.id, number)) for number, data in stored.items()
    }
    stickers = {sha256: store.get(keys.sticker(sha256)) for sha256 in look.stickers}
    bins = StoredBins(store, job.id, run)
    if isinstance(job, ImageJob):
        card = card_of(job.detector)
        return paint_image(
            look, index, bins[0], faces.get(index), stickers, settings.worker_name, card
        )
    who, notes = _who(store, job.id, look, stored) if look.numbers else (None, ())
    result = paint_segment(
        job, look, run, bins, faces, stickers, settings.threads, settings.worker_name, who
    )
    return replace(result, record=replace(result.record, notes=(*result.record.notes, *notes)))


def _who(
    store: Store, job_id: str, look: Look, stored: Mapping[int, bytes]
) -> tuple[Lookup, tuple[str, ...]]:
    """Who the candidates of some segments are, by the bytes of their `Faces`, and what is to be
    said of it.

    Of what cannot be told, nobody is known: a look that hides then hides it.

    Raises:
        JobError: nobody is known, and the look does not hide.
    """
    people = store.find_record(keys.tracks(job_id), People)
    if people is None:
        failed = store.get_record(keys.tracks_failed(job_id), Failed)
        if not look.redacts:
            raise JobError(f"who is where in the video is not known: {failed.reason}")
        return lookup_of([]), (
            f"every face is hidden: who is where is not known ({failed.reason})",
        )
    # Looks can be asked for before there are numbers. Who was meant by one that is nobody's may be
    # anybody.
    if missed := unknown_people(look.hidden_numbers, people):
        return lookup_of([]), (
            f"every face is hidden: there is nobody with the number {missed} in this video",
        )
    tracked = [store.find_record(keys.tracked(job_id, number), TrackedSegment) for number in stored]
    # Rows count in the faces that were linked. Found again by another machine, they may stand in
    # another order.
    known = [
        segment
        for segment in tracked
        if segment is not None
        and segment.faces == hashlib.sha256(stored[segment.index]).hexdigest()
    ]
    notes = []
    if missed := unknown_people(look.numbers, people):
        notes.append(f"there is nobody with the number {missed} in this video")
    if len(known) < len(stored):
        notes.append(
            "some faces were found again since people were numbered: nobody is known by them"
        )
    return lookup_of(known), tuple(notes)


def _blank(context: WorkerContext, job: VideoJob, timeline: SegmentIndex, index: int) -> Result:
    return blank_segment(
        job, timeline.run(index), context.settings.threads, context.settings.worker_name
    )
