"""Upload a video: cut it while it is read, store its segments, and queue each one as soon as it is
stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from facepaint.errors import InputError, UsageError
from facepaint.jobs.readiness import list_looks
from facepaint.jobs.status import find_job
from facepaint.jobs.workers import alive_workers
from facepaint.looks.look import Look
from facepaint.media.encoders import ENCODERS, choose_encoder, kept_format_note
from facepaint.media.strip_metadata import strip_extras, strip_job
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import DetectorSpec, OutputProfile, Sealed, VideoJob
from facepaint.records.keys import new_job_id
from facepaint.settings import Settings
from facepaint.store import Store
from uploader.detector import store_detector
from uploader.probe import Probe, probe
from uploader.reader import Reader
from uploader.segment_writer import SegmentWriter
from uploader.stickers import store_stickers


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How far an upload is. ``waiting`` is the reason if it waits for a service."""

    bytes: int
    total_bytes: int
    segments: int
    waiting: str = ""


OnProgress = Callable[[UploadProgress], None]


@dataclass(frozen=True, slots=True)
class UploadResult:
    """A finished upload. ``truncated`` is the reason if the source ended early."""

    job_id: str
    segments: int
    truncated: str = ""
    warnings: tuple[str, ...] = ()


def upload(
    path: Path,
    look: Look,
    store: Store,
    queue: Queue,
    settings: Settings,
    on_progress: OnProgress | None = None,
    resume: str | None = None,
) -> UploadResult:
    """Upload a video as a job, or continue the unfinished job ``resume``.

    Segments are stored while the file is still being read; memory holds a few of them. An upload
    that is interrupted can be resumed at any point. The tags and titles of the source are not
    stored if the job starts with a redacting look.

    Raises:
        InputError: the file is no video that can be painted, a sticker is no image, a detector no
            network, or the file is not the one that the job was started with.
        UsageError: there is no detector of that name, or a region of the look is outside the frame.
        StoreUnreachable: the storage refuses, or was unreachable for too long.
        JobDeleted: the job was deleted during the upload.
    """
    probed = probe(path)
    store.make_bucket()
    if resume is None:
        # Everything that can be refused is checked before a record of the job is stored.
        look.require_regions_within(*probed.video.square_size)
        look = store_stickers(look, store)
        job, redacts = new_job(probed, settings, store_detector(settings, store)), look.redacts
    else:
        job, redacts = _job_of(store, resume, probed, path), _has_redacting_look(store, resume)
    if redacts:
        job = strip_job(job)
    show = on_progress or (lambda _: None)
    reader = Reader(path, probed, job.segment_s, ENCODERS[job.output.encoder].cost)
    total = probed.source.bytes
    with closing(SegmentWriter(store, queue, job, settings.upload_parallel)) as writer:
        writer.on_wait = lambda why: show(
            UploadProgress(min(reader.bytes, total), total, writer.stored, why)
        )
        if resume is not None:
            # The cut is deterministic, so the stored segments are those of this pass.
            writer.skip_stored()
        for cut in reader.segments():
            if cut.record.index == 0 and resume is None:
                # The job's record needs the first presentation time, so it waits for the first cut.
                writer.store_job(look, cut.record.start)
            writer.add(cut)
            show(UploadProgress(min(reader.bytes, total), total, writer.stored))
        writer.drain()
        if writer.stored == 0:
            raise InputError(f"{path} holds no frame to show; play it to see if it is complete")
        extras = strip_extras(reader.extras()) if redacts else reader.extras()
        unqueued = writer.seal(extras, Sealed(writer.stored, reader.truncated))
    show(UploadProgress(total, total, writer.stored))
    warnings = [
        *_warnings(job, probed, reader, unqueued),
        *_missing_encoder(store, job.output.encoder),
    ]
    return UploadResult(job.id, writer.stored, reader.truncated, tuple(warnings))


def _warnings(job: VideoJob, probed: Probe, reader: Reader, unqueued: bool) -> Iterator[str]:
    """What the user should know about a finished upload."""
    yield from _left_out(probed, reader)
    for count in Counter(probed.audio_indexes).values():
        if count > 1:
            yield f"an audio track changes its coding: it becomes {count} tracks"
    kept = kept_format_note(job.output, probed.video.pixel_format)
    if kept:
        yield kept
    if job.output.keep_format and probed.dynamic_hdr:
        yield f"{' and '.join(probed.dynamic_hdr)} is not kept: players show the base layer"
    for projection in probed.projections:
        yield f"the result is not marked as {projection}: players show it flat"
    if probed.is_animation:
        yield "the animation becomes a video, in MP4 unless you name the result otherwise"
    if unqueued:
        yield (
            "the broker is unreachable: everything is stored; "
            f"`facepaint resume {job.id}` queues the work"
        )


def _left_out(probed: Probe, reader: Reader) -> Iterator[str]:
    """What of the file the job does not contain, and why."""
    if reader.truncated:
        yield f"the file ended early: {reader.truncated}"
    if reader.before_keyframe:
        yield (
            f"{reader.before_keyframe} frames before the first keyframe are left out: "
            "they cannot be decoded"
        )
    if reader.late:
        yield f"{reader.late} frames are left out: they are stored too late for their times"
    if reader.without_time:
        yield (
            f"{reader.without_time} frames are left out: they have no time, and none can be derived"
        )
    if reader.recordings > 1:
        yield (
            f"the file holds {reader.recordings} recordings, each with its own times: "
            "they are joined into one"
        )
    elif reader.dropped_audio:
        yield f"{reader.dropped_audio} audio packets are left out: their times jump back"
    if reader.dropped_subtitles:
        yield f"{reader.dropped_subtitles} subtitles are left out: there are too many"
    if probed.ignored:
        yield f"left out: {', '.join(probed.ignored)}"


def _missing_encoder(store: Store, encoder: str) -> Iterator[str]:
    """A warning if no running worker has the encoder."""
    # All workers have the software encoders.
    if not ENCODERS[encoder].hardware:
        return
    if not any(encoder in worker.encoders for worker in alive_workers(store)):
        yield (
            f"no running worker can encode with {encoder}: start one that can, "
            "or its segments will fail"
        )


def new_job(probed: Probe, settings: Settings, detector: DetectorSpec) -> VideoJob:
    """The record of a new job, without ``start_pts``: it is known once the first segment is cut.

    Raises:
        UsageError: the chosen encoder cannot keep the source's format.
    """
    now = datetime.now(UTC)
    encoder = choose_encoder(
        probed.video.pixel_format, settings.encoder, keep_format=settings.keep_format
    )
    return VideoJob(
        id=new_job_id(now),
        source=probed.source,
        created=now,
        detector=detector,
        output=OutputProfile(encoder, settings.crf, settings.preset, settings.keep_format),
        video=probed.video,
        audio=probed.audio,
        duration_s=probed.duration_s,
        segment_s=settings.segment_s,
    )


def _has_redacting_look(store: Store, job_id: str) -> bool:
    """Whether any look of a job redacts; an unreadable one counts as redacting."""
    looks = (store.find_record(keys.look(job_id, look), Look) for look in list_looks(store, job_id))
    return any(look is None or look.redacts for look in looks)


def _job_of(store: Store, job_id: str, probed: Probe, path: Path) -> VideoJob:
    """The job to continue.

    Raises:
        UsageError: it is a job of images.
        InputError: the file is not the one that the job was started with.
    """
    job = find_job(store, job_id)
    if not isinstance(job, VideoJob):
        raise UsageError(f"job {job_id} is a list of images; upload them again, it takes no longer")
    source = probed.source
    # The name may have changed.
    if (source.bytes, source.sha256_ends) != (job.source.bytes, job.source.sha256_ends):
        raise InputError(
            f"{path} is not the file that job {job_id} was started with ({job.source.name}); "
            "name that one"
        )
    return job
