"""Upload: cut a video while it is being read, store its segments, queue each as soon as its record stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av.error

from facepaint.errors import InputError, UsageError
from facepaint.jobs import (
    AudioPacket,
    DetectorSpec,
    Extras,
    Job,
    OutputProfile,
    Packet,
    Sealed,
    keys,
    new_job_id,
)
from facepaint.looks import Look
from facepaint.queue import Queue
from facepaint.settings import Settings
from facepaint.status import find_job
from facepaint.store import Store
from uploader.cut import CutSegment, Cutter, with_times
from uploader.media import open_media
from uploader.probe import Probe, probe, source_file
from uploader.stickers import store_stickers
from uploader.store_segments import SegmentStorer
from uploader.subtitles import SubtitleReader


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How far an upload is; ``waiting`` says what it waits for, if it does."""

    bytes: int
    total_bytes: int
    segments: int
    waiting: str = ""


OnProgress = Callable[[UploadProgress], None]


@dataclass(frozen=True, slots=True)
class UploadResult:
    """A finished upload. ``truncated`` says why the source ended early, if it did."""

    job_id: str
    segments: int
    truncated: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Reading:
    """What is learnt while a file is being read."""

    probed: Probe
    subtitles: SubtitleReader
    bytes: int = 0
    truncated: str = ""
    last_dts: int | None = field(default=None)


def upload(
    path: Path,
    look: Look,
    store: Store,
    queue: Queue,
    settings: Settings,
    on_progress: OnProgress | None = None,
    resume: str | None = None,
) -> UploadResult:
    """Upload a video as a job, or go on with the job ``resume`` that an earlier upload left unfinished.

    Segments go out while the file is still being read; memory holds a few of them. Interrupted at any point, the job
    can be resumed.

    Raises:
        InputError: the file is no video that can be painted, a sticker is no picture, or the file is not the one the
            job was begun with.
        StoreUnreachable: the storage refuses, or stays away for too long.
    """
    probed = probe(path)
    store.make_bucket()
    if resume is None:
        look = store_stickers(look, store)
        job = _new_job(probed, settings)
    else:
        job = _same_job(store, resume, path)
    show = on_progress or (lambda _: None)
    reading = _Reading(probed, SubtitleReader())
    total = probed.source.bytes
    with closing(SegmentStorer(store, queue, job, settings.upload_parallel)) as storer:
        storer.on_wait = lambda why: show(UploadProgress(reading.bytes, total, storer.stored, why))
        if resume is not None:
            storer.begin(None)
            storer.skip_stored()
        for cut in _cut(path, job, reading):
            if cut.record.index == 0 and resume is None:
                storer.begin(look, start_pts=cut.record.start)
            storer.add(cut)
            show(UploadProgress(min(reading.bytes, total), total, storer.stored))
        storer.drain()
        if storer.stored == 0:
            raise InputError(f"{path} holds no frame to show; play it to see if it is whole")
        extras = Extras(probed.tags, probed.chapters, reading.subtitles.tracks())
        store.put_record(keys.extras(job.id), extras)
        unqueued = storer.seal(Sealed(storer.stored, reading.truncated))
    show(UploadProgress(total, total, storer.stored))
    warnings = [f"the file ended early: {reading.truncated}"] if reading.truncated else []
    if unqueued:
        warnings.append(f"the broker is away: everything is stored; `facepaint resume {job.id}` queues the work")
    return UploadResult(job.id, storer.stored, reading.truncated, tuple(warnings))


def _cut(path: Path, job: Job, reading: _Reading) -> Iterator[CutSegment]:
    """Demux the file into segments. Data that ends early ends the job early, and is noted."""
    probed = reading.probed
    assert job.video is not None
    cutter = Cutter(job.video.time_base, job.video.width * job.video.height, job.segment_s)
    sounds = {index: track for track, index in enumerate(probed.audio_indexes)}
    with open_media(path) as container:
        texts = [stream for stream in container.streams.subtitles if reading.subtitles.takes(stream)]
        wanted = [container.streams[index] for index in (probed.video_index, *probed.audio_indexes)]
        try:
            for packet in container.demux([*wanted, *texts]):
                if not packet.size:
                    continue
                index = packet.stream.index
                reading.bytes += packet.size
                if index == probed.video_index:
                    yield from cutter.video(_described(packet, reading), bytes(packet))
                elif index in sounds:
                    track = sounds[index]
                    described = AudioPacket(track, packet.size, packet.pts, packet.dts, packet.duration or 0)
                    cutter.audio(described, bytes(packet), probed.audio[track].time_base)
                else:
                    reading.subtitles.add(packet)
        except av.error.FFmpegError as exc:
            reading.truncated = f"{exc.strerror or exc}".lower()
    yield from cutter.finish()


def _described(packet: av.Packet[Any], reading: _Reading) -> Packet:
    described = Packet(packet.size, packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, packet.is_discard)
    timed = with_times(described, reading.last_dts)
    if timed.pts is None:
        timed = with_times(Packet(packet.size, 0, 0, packet.duration or 0, packet.is_keyframe), None)
    reading.last_dts = timed.dts
    return timed


def _new_job(probed: Probe, settings: Settings) -> Job:
    now = datetime.now(UTC)
    return Job(
        id=new_job_id(now),
        kind="video",
        source=probed.source,
        created=now,
        detector=DetectorSpec(settings.detector, settings.min_face),
        output=OutputProfile("libx264", settings.crf, settings.preset),
        video=probed.video,
        audio=probed.audio,
        duration_s=probed.duration_s,
        segment_s=settings.segment_s,
    )


def _same_job(store: Store, job_id: str, path: Path) -> Job:
    """The job to go on with, if this is the file it was begun with."""
    job = find_job(store, job_id)
    if job.kind != "video":
        raise UsageError(f"job {job_id} is a list of pictures; upload them again, it takes no longer")
    if source_file(path).sha256_ends != job.source.sha256_ends or path.stat().st_size != job.source.bytes:
        raise InputError(f"{path} is not the file job {job_id} was begun with ({job.source.name}); name that one")
    return job
