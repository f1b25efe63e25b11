"""The portraits task: cut each person's face out of the frame that shows it best."""

from collections.abc import Sequence
from functools import partial

import av
import cv2
import numpy as np
import numpy.typing as npt

from facepaint.jobs.readiness import SegmentIndex
from facepaint.records import keys
from facepaint.records.faces import Box
from facepaint.records.job import VideoJob, VideoStream
from facepaint.records.results import Claim
from facepaint.records.tracks import People, Person
from tasks.claims import hold_claim
from tasks.context import WorkerContext, remove_if_deleted, run_or_give_up
from tasks.video.decode import RunSource, decode_window
from tasks.video.deinterlace import deinterlaced
from tasks.video.normalize import Normalizer

SIDE = 160
"""Px of a portrait, which is square."""

AROUND = 1.5
"""Side of the cut-out over the longer side of the face's box."""

QUALITY = 85
"""JPEG quality on the scale of libjpeg."""

Pixels = npt.NDArray[np.uint8]


def run_portraits(
    context: WorkerContext, job_id: str, index: int, redelivered: bool = False
) -> int:
    """Store portraits of the people whose best frame is in one segment; returns how many."""
    loaded = context.job(job_id)
    people = context.store.find_record(keys.tracks(job_id), People)
    if loaded is None or people is None:
        return 0
    job, segments = loaded
    if not isinstance(job, VideoJob):
        return 0
    missing = _missing(context, job_id, people, index)
    if not missing:
        return 0
    with hold_claim(context, job_id, "portraits", index, None, redelivered) as claim:
        if claim is None:
            return 0
        portraits = _make(context, claim, job, segments, index, missing)
        for number, data in portraits.items():
            context.store.put(keys.portrait(job_id, number), data, "image/jpeg")
    remove_if_deleted(context, job_id, [keys.portrait(job_id, number) for number in portraits])
    return len(portraits)


def _missing(context: WorkerContext, job_id: str, people: People, index: int) -> list[Person]:
    """The people whose best frame is in a segment and whose portrait is not stored."""
    return [
        person
        for person in people.portrayed
        if person.best_segment == index
        and not context.store.exists(keys.portrait(job_id, person.number))
    ]


def _make(
    context: WorkerContext,
    claim: Claim,
    job: VideoJob,
    segments: SegmentIndex,
    index: int,
    people: Sequence[Person],
) -> dict[int, bytes]:
    """The portraits by number; plain ones if the segment has to be given up."""

    def cut_out() -> dict[int, bytes]:
        source = context.source(job.id, segments.run(index))
        return portraits_of(job, source, people)

    failed = keys.portraits_failed(job.id, index), index
    # Without a portrait of everybody, those who wait for them would ask again and again.
    return run_or_give_up(context, claim, failed, cut_out, partial(_plain_portraits, people)) or {}


def _plain_portraits(people: Sequence[Person]) -> dict[int, bytes]:
    return {person.number: plain_portrait() for person in people}


def portraits_of(job: VideoJob, source: RunSource, people: Sequence[Person]) -> dict[int, bytes]:
    """A JPEG of each person's face, by number.

    A person whose best frame cannot be decoded gets a plain portrait.

    Args:
        source: its last segment holds the best frame of each of the people.

    Raises:
        UnreadableMedia: the segment cannot be decoded.
    """
    normalizer = Normalizer(job.video)
    shown_at: dict[int, list[Person]] = {}
    for person in people:
        shown_at.setdefault(person.best_pts, []).append(person)
    portraits = _plain_portraits(people)
    for frame in deinterlaced(decode_window(job.video, source)):
        shown = shown_at.get(frame.pts, []) if frame.pts is not None else []
        if not shown:
            continue
        image = _with_square_px(normalizer(frame), job.video)
        for person in shown:
            portraits[person.number] = _portrait(image, person.best_box)
    return portraits


def plain_portrait() -> bytes:
    """A grey image in place of a portrait that cannot be made."""
    return _jpeg(np.full((SIDE, SIDE, 3), 128, np.uint8))


def _with_square_px(frame: av.VideoFrame, video: VideoStream) -> Pixels:
    """A normalized frame as BGR in square px."""
    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    x, y = video.stretch
    size = round(frame.width * x), round(frame.height * y)
    if size == (frame.width, frame.height):
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _portrait(image: Pixels, box: Box) -> bytes:
    """The square around a box, as far as it lies in the image."""
    height, width = image.shape[:2]
    side = AROUND * max(box[2] - box[0], box[3] - box[1])
    side = max(2.0, min(side, width, height))
    x1, x2 = _interval((box[0] + box[2]) / 2, side, width)
    y1, y2 = _interval((box[1] + box[3]) / 2, side, height)
    return _jpeg(image[y1:y2, x1:x2])


def _interval(middle: float, length: float, limit: int) -> tuple[int, int]:
    """The interval of a length around a middle, moved into 0 to the limit."""
    first = min(max(0, round(middle - length / 2)), max(0, limit - 1))
    last = min(limit, max(first + 1, round(first + length)))
    return max(0, min(first, last - round(length))), last


def _jpeg(image: Pixels) -> bytes:
    interpolation = cv2.INTER_AREA if image.shape[0] > SIDE else cv2.INTER_CUBIC
    small = cv2.resize(image, (SIDE, SIDE), interpolation=interpolation)
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return bytes(data)
