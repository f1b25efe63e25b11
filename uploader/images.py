"""Upload still pictures: one job for the list, each picture one segment of one packet, the file as
it is."""

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
from facepaint.text import unique_names
from uploader.cutter import CutSegment
from uploader.detector import store_detector
from uploader.probe import name_of
from uploader.segment_writer import SegmentWriter
from uploader.stickers import store_stickers
from uploader.upload import OnProgress, UploadProgress, UploadResult

GIF = b"GIF8"
"""How every GIF begins."""


def upload_images(
    paths: Sequence[Path],
    look: Look,
    store: Store,
    queue: Queue,
    settings: Settings,
    on_progress: OnProgress | None = None,
) -> UploadResult:
    """Upload pictures, already known to be some (see `uploader.classify`), as one job.

    Raises:
        UsageError: there are none, or the look names people.
        InputError: a sticker is no picture, or a picture has gone meanwhile.
        StoreUnreachable: the storage refuses, or stays away for too long.
    """
    if not paths:
        raise UsageError("no picture given")
    if look.numbers:
        raise UsageError(
            "people in pictures have no numbers: --region chooses a part of each picture"
        )
    store.make_bucket()
    look = store_stickers(look, store)
    total = sum(path.stat().st_size for path in paths)
    job = _new_job(paths, total, settings, store_detector(settings, store))
    show = on_progress or (lambda _: None)
    done = 0
    with closing(SegmentWriter(store, queue, job, settings.upload_parallel)) as storer:
        storer.on_wait = lambda why: show(UploadProgress(done, total, storer.stored, why))
        storer.begin(look, start_pts=0)
        for index, path in enumerate(paths):
            data = _read(path)
            record = Segment(
                index=index,
                start=index,
                end=index + 1,
                packets=(Packet(len(data), index, index, 1, keyframe=True),),
                sha256=SegmentData(data).sha256,
                decode_from=index,
            )
            storer.add(CutSegment(record, data, b""))
            done += len(data)
            show(UploadProgress(done, total, storer.stored))
        storer.drain()
        unqueued = storer.seal(Extras(), Sealed(storer.stored))
    warning = (
        f"the broker is away: everything is stored; `facepaint resume {job.id}` queues the work"
    )
    return UploadResult(job.id, storer.stored, warnings=(warning,) if unqueued else ())


def image_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The names of the painted pictures: the files' own, those that repeat told apart by a number.

    A GIF comes back as PNG, since its 256 colours have no room for paint.
    """
    return tuple(
        unique_names(
            name_of(path.with_suffix(".png") if _read(path, len(GIF)) == GIF else path)
            for path in paths
        )
    )


def _read(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as exc:
        raise InputError(
            f"{path} cannot be read any more: {exc.strerror}; upload the pictures again"
        ) from exc


def _new_job(paths: Sequence[Path], total: int, settings: Settings, detector: DetectorSpec) -> Job:
    now = datetime.now(UTC)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path.name))
    first = name_of(paths[0])
    name = first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"
    return ImageJob(
        id=new_job_id(now),
        source=SourceFile(name, total, digest.hexdigest()),
        created=now,
        detector=detector,
        output=OutputProfile("pillow", settings.crf, ""),
        images=image_names(paths),
    )
