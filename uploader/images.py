"""Upload still images: one job for the list, each file unchanged as a segment of one packet."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from facepaint.errors import InputError, UsageError
from facepaint.looks.look import Look
from facepaint.queue import Queue
from facepaint.records.job import (
    DetectorSpec,
    Extras,
    ImageJob,
    Job,
    OutputProfile,
    Sealed,
    SourceFile,
)
from facepaint.records.keys import new_job_id
from facepaint.records.segment import Packet, Segment, SegmentData
from facepaint.settings import Settings
from facepaint.store import Store
from facepaint.text import first_and_more, unique_names
from uploader.cutter import CutSegment
from uploader.detector import store_detector
from uploader.probe import name_of
from uploader.segment_writer import SegmentWriter
from uploader.stickers import store_stickers
from uploader.upload import OnProgress, UploadProgress, UploadResult

GIF = b"GIF8"
"""The first bytes of a GIF."""


def upload_images(
    paths: Sequence[Path],
    look: Look,
    store: Store,
    queue: Queue,
    settings: Settings,
    on_progress: OnProgress | None = None,
) -> UploadResult:
    """Upload still images as one job; `uploader.classify` has found them to be images.

    Raises:
        UsageError: there are none, or the look selects people.
        InputError: a sticker is no image, or an image has been removed since.
        StoreUnreachable: the storage refuses, or was unreachable for too long.
    """
    if not paths:
        raise UsageError("no image given")
    if look.people:
        raise UsageError("people in images have no numbers: --region selects a part of each image")
    store.make_bucket()
    look = store_stickers(look, store)
    total = sum(path.stat().st_size for path in paths)
    job = _new_job(paths, total, settings, store_detector(settings, store))
    show = on_progress or (lambda _: None)
    done = 0
    with closing(SegmentWriter(store, queue, job, settings.upload_parallel)) as writer:
        writer.on_wait = lambda why: show(UploadProgress(done, total, writer.stored, why))
        writer.store_job(look, start_pts=0)
        for index, path in enumerate(paths):
            data = _read(path)
            # One packet of one tick: an image is a run of its own.
            record = Segment(
                index=index,
                start=index,
                end=index + 1,
                packets=(Packet(len(data), index, index, 1, keyframe=True),),
                sha256=SegmentData(data).sha256,
                decode_from=index,
            )
            writer.add(CutSegment(record, data, b""))
            done += len(data)
            show(UploadProgress(done, total, writer.stored))
        writer.drain()
        # Tags of an image stay in its file, so there are no extras.
        unqueued = writer.seal(Extras(), Sealed(writer.stored))
    warning = (
        "the broker is unreachable: everything is stored; "
        f"`facepaint resume {job.id}` queues the work"
    )
    return UploadResult(job.id, writer.stored, warnings=(warning,) if unqueued else ())


def image_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The names of the painted images: those of the files, with a number where a name repeats.

    A GIF becomes a PNG, because its 256 colours leave no room for paint.
    """
    return tuple(
        unique_names(
            name_of(path.with_suffix(".png") if _read(path, len(GIF)) == GIF else path)
            for path in paths
        )
    )


def _read(path: Path, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as exc:
        raise InputError(
            f"{path} cannot be read any more: {exc.strerror}; upload the images again"
        ) from exc


def _new_job(paths: Sequence[Path], total: int, settings: Settings, detector: DetectorSpec) -> Job:
    now = datetime.now(UTC)
    # Of the names and not of the contents: jobs of images are not resumed.
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path.name))
    name = first_and_more([name_of(path) for path in paths])
    return ImageJob(
        id=new_job_id(now),
        source=SourceFile(name, total, digest.hexdigest()),
        created=now,
        detector=detector,
        output=OutputProfile("pillow", settings.crf, ""),
        images=image_names(paths),
    )
