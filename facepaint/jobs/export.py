"""Export the faces of a job as CSV, JSON, or COCO with keypoints.

Frames are written while segments are read, so that memory does not grow with the video.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from facepaint.detectors.coco import (
    NOT_LABELLED,
    VISIBLE,
    face_category,
    keypoints_of,
    write_coco,
)
from facepaint.errors import InputError
from facepaint.files import atomic_write
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.detector_card import thresholds_for
from facepaint.records.faces import LANDMARKS, Box, Faces
from facepaint.records.job import ImageJob, Job, VideoJob
from facepaint.records.tracks import People, Person, TrackedFace, TrackedSegment
from facepaint.store import Store

BATCH = 8
"""Segments that are read in parallel and held in memory."""

POINTS = tuple(f"{name}_corner" if name.endswith("mouth") else name for name in LANDMARKS)
"""The names of the landmarks in exports, which other programs rely on."""


@dataclass(frozen=True, slots=True)
class ExportedFace:
    """A face of a frame. Its fields are the keys of the JSON export.

    Args:
        person: the person's number; None in still images.
        detected: whether it was detected in this frame, not interpolated or extrapolated.
        box, landmarks: in square px of the upright frame.
        yaw, pitch, roll: head pose in degrees.
    """

    person: int | None
    detected: bool
    score: float
    box: Box
    landmarks: tuple[float, ...]
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None


@dataclass(frozen=True, slots=True)
class ExportedFrame:
    """A frame and its faces. ``time_s`` counts from the start of the video; ``image`` is the file
    name of a still image."""

    segment: int
    pts: int
    time_s: float
    faces: tuple[ExportedFace, ...]
    image: str = ""


@dataclass(frozen=True, slots=True)
class Export:
    """The content of an export. ``frames`` reads the segments on demand."""

    job: Job
    people: tuple[Person, ...]
    frames: Iterator[ExportedFrame]


def exported_frames(
    store: Store, job: Job, people: People, *, low_confidence: bool
) -> Iterator[ExportedFrame]:
    """Yield every frame of a job with its faces, in order.

    Args:
        low_confidence: whether to include people of low confidence, and in images all candidates.
    """
    if isinstance(job, ImageJob):
        # Images have no people, so the threshold of stickers decides.
        threshold = 0.0 if low_confidence else thresholds_for(False, job.detector.card).for_still
        frames_of = partial(_frames_of_image, store, job, threshold)
    else:
        shown = {person.number for person in people.shown(low_confidence=low_confidence)}
        frames_of = partial(_frames_of_segment, store, job, shown)
    for first in range(0, people.segments, BATCH):
        indexes = range(first, min(first + BATCH, people.segments))
        for frames in in_parallel(frames_of, indexes):
            yield from frames


def _frames_of_segment(
    store: Store, job: VideoJob, shown: set[int], index: int
) -> list[ExportedFrame]:
    record = store.get_record(keys.tracked(job.id, index), TrackedSegment)
    frames = []
    for frame in record.frames:
        faces = tuple(_exported(face) for face in frame.faces if face.person in shown)
        time_s = float((frame.pts - job.start_pts) * job.video.time_base)
        frames.append(ExportedFrame(index, frame.pts, round(time_s, 6), faces))
    return frames


def _exported(face: TrackedFace) -> ExportedFace:
    return ExportedFace(
        person=face.person,
        detected=face.row is not None,
        score=face.score,
        box=face.box,
        landmarks=face.landmarks,
        yaw=face.yaw,
        pitch=face.pitch,
        roll=face.roll,
    )


def _frames_of_image(
    store: Store, job: ImageJob, threshold: float, index: int
) -> list[ExportedFrame]:
    record = store.find_record(keys.faces(job.id, index), Faces)
    # An image whose detection failed has no faces record.
    if record is None:
        return []
    frames = []
    for frame in record.frames:
        faces = tuple(
            ExportedFace(None, True, face.score, face.box, face.landmarks)
            for face in frame.faces
            if face.score >= threshold
        )
        frames.append(ExportedFrame(index, frame.pts, 0.0, faces, job.images[index]))
    return frames


def export(
    store: Store, job: Job, people: People, kind: str, out: Path | None, *, low_confidence: bool
) -> None:
    """Write the faces of a job to a file, or to standard output. ``kind`` is one of `WRITERS`.

    Raises:
        InputError: the file cannot be written.
    """
    shown = people.shown(low_confidence=low_confidence)
    frames = exported_frames(store, job, people, low_confidence=low_confidence)
    with _opened(out) as file:
        WRITERS[kind](file, Export(job, shown, frames))


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    """A file that is written atomically, or standard output."""
    if out is None:
        yield sys.stdout
        return
    try:
        with atomic_write(out) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as exc:
        raise InputError(f"{out} cannot be written: {exc.strerror}") from exc


def _write_csv(file: TextIO, exported: Export) -> None:
    writer = csv.writer(file, lineterminator="\n")
    still = isinstance(exported.job, ImageJob)
    coordinates = [f"{point}_{axis}" for point in POINTS for axis in "xy"]
    head = ["image"] if still else ["pts", "time_s"]
    head += ["segment", "person", "score", "detected", "x1", "y1", "x2", "y2"]
    writer.writerow([*head, *coordinates, "yaw", "pitch", "roll"])
    for frame in exported.frames:
        place = [frame.image] if still else [frame.pts, frame.time_s]
        for face in frame.faces:
            # Rows have the same columns whether the detector gives landmarks or not.
            landmarks = face.landmarks or ("",) * len(coordinates)
            row = [*place, frame.segment, face.person, face.score, int(face.detected)]
            writer.writerow([*row, *face.box, *landmarks, face.yaw, face.pitch, face.roll])


def _write_json(file: TextIO, exported: Export) -> None:
    people = [asdict(person) for person in exported.people]
    head = json.dumps({**_source(exported.job), "people": people})
    # The frames are written one by one into the open object: all of them would not fit in memory.
    file.write(f'{head[:-1]}, "frames": [')
    for number, frame in enumerate(exported.frames):
        file.write(f"{',' if number else ''}\n{json.dumps(asdict(frame))}")
    file.write("\n]}\n")


def _write_coco(file: TextIO, exported: Export) -> None:
    """Write COCO's keypoint format. A frame is an image named by its pts, a face an annotation."""
    job = exported.job
    info = {"description": f"faces found in {job.source.name} by {job.detector.label}"}
    frames = (
        (_coco_image(job, frame), map(_coco_annotation, frame.faces)) for frame in exported.frames
    )
    write_coco(file, {"info": info, "categories": [face_category(POINTS)]}, frames)


def _coco_image(job: Job, frame: ExportedFrame) -> dict[str, Any]:
    if isinstance(job, ImageJob):
        return {"file_name": frame.image}
    width, height = job.video.square_size
    return {
        "file_name": f"{Path(job.source.name).stem}-{frame.pts}.png",
        "width": width,
        "height": height,
        "pts": frame.pts,
        "time_s": frame.time_s,
    }


def _coco_annotation(face: ExportedFace) -> dict[str, Any]:
    x1, y1, x2, y2 = face.box
    points = keypoints_of(face.landmarks, [VISIBLE] * (len(face.landmarks) // 2))
    return {
        "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
        "area": round((x2 - x1) * (y2 - y1), 2),
        "iscrowd": 0,
        "keypoints": points or [NOT_LABELLED] * 3 * len(POINTS),
        "num_keypoints": len(points) // 3,
        "score": face.score,
        "track_id": face.person,
        "detected": face.detected,
        "yaw": face.yaw,
        "pitch": face.pitch,
        "roll": face.roll,
    }


def _source(job: Job) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "job": job.id,
        "input": job.source.name,
        "detector": job.detector.label,
    }
    if isinstance(job, VideoJob):
        width, height = job.video.square_size
        facts |= {
            "width": width,
            "height": height,
            "time_base": str(job.video.time_base),
            "start_pts": job.start_pts,
        }
    return facts


Writer = Callable[[TextIO, Export], None]

WRITERS: Mapping[str, Writer] = {"csv": _write_csv, "json": _write_json, "coco": _write_coco}
