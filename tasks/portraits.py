"""The portraits task: cut each person's face out of the frame that shows it best."""

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.records import keys
from facepaint.records.faces import Box
from facepaint.records.job import VideoJob
from facepaint.records.tracks import People, Person
from tasks.claims import hold_claim
from tasks.context import WorkerContext, remove_if_deleted, run_or_give_up
from tasks.video.decode import RunSource, decode_window
from tasks.video.deinterlace import deinterlaced
from tasks.video.normalize import Normalizer

SIDE = 160
"""Px of a portrait, which is square."""

AROUND = 1.5
"""A portrait shows this many times the longer side of the face's box."""

QUALITY = 85

Pixels = npt.NDArray[np.uint8]


def run_portraits(
    context: WorkerContext, job_id: str, index: int, redelivered: bool = False
) -> int:
    """Store portraits of the people whose best frame is in one segment; returns how many."""
    known = context.job(job_id)
    store = context.store
    people = store.find_record(keys.tracks(job_id), People)
    if known is None or people is None:
        return 0
    job, segments = known
    if not isinstance(job, VideoJob):
        return 0
    here = [person for person in people.portrayed if person.best_segment == index]
    wanted = [person for person in here if not store.exists(keys.portrait(job_id, person.number))]
    if not wanted:
        return 0

    def make() -> dict[int, bytes]:
        return portraits_of(job, context.source(job_id, segments.run(index)), wanted)

    def plain() -> dict[int, bytes]:
        return {person.number: plain_portrait() for person in wanted}

    with hold_claim(context, job_id, "portraits", index, None, redelivered) as claim:
        if claim is None:
            return 0
        failed = keys.portraits_failed(job_id, index), index
        made = run_or_give_up(context, claim, failed, make, plain) or {}
        for number, data in made.items():
            store.put(keys.portrait(job_id, number), data, "image/jpeg")
    remove_if_deleted(context, job_id, [keys.portrait(job_id, number) for number in made])
    return len(made)


def portraits_of(job: VideoJob, source: RunSource, people: Sequence[Person]) -> dict[int, bytes]:
    """A JPEG of each person's face, by number. The best frame of all is in the last segment.

    A person whose frame cannot be decoded gets a plain picture.

    Raises:
        UnreadableMedia: the segment cannot be decoded.
    """
    normalizer = Normalizer(job.video)
    aspect = job.video.sample_aspect_ratio or Fraction(1)
    shape = float(1 / aspect if job.video.rotation % 180 else aspect)
    times = {person.best_pts for person in people}
    made = {}
    for frame in deinterlaced(decode_window(job.video, source)):
        if frame.pts not in times:
            continue
        picture = np.asarray(normalizer(frame).to_ndarray(format="bgr24"), np.uint8)
        for person in people:
            if person.best_pts == frame.pts:
                made[person.number] = _portrait(picture, person.best_box, shape)
    return {person.number: made.get(person.number) or plain_portrait() for person in people}


def plain_portrait() -> bytes:
    """What stands for a portrait that cannot be made."""
    return _jpeg(np.full((SIDE, SIDE, 3), 128, np.uint8))


def _portrait(picture: Pixels, box: Box, aspect: float) -> bytes:
    """The square around a box, as far as it lies in the picture, whose px are ``aspect`` times as
    wide as high."""
    height, width = picture.shape[:2]
    side = AROUND * max((box[2] - box[0]) * aspect, box[3] - box[1])
    side = max(2.0, min(side, width * aspect, height))
    x1, x2 = _inside((box[0] + box[2]) / 2, side / aspect, width)
    y1, y2 = _inside((box[1] + box[3]) / 2, side, height)
    return _jpeg(picture[y1:y2, x1:x2])


def _inside(middle: float, length: float, limit: int) -> tuple[int, int]:
    """The stretch of a length around a middle, moved to where it lies within 0 and the limit."""
    first = min(max(0, round(middle - length / 2)), max(0, limit - 1))
    last = min(limit, max(first + 1, round(first + length)))
    return max(0, min(first, last - round(length))), last


def _jpeg(picture: Pixels) -> bytes:
    way = cv2.INTER_AREA if picture.shape[0] > SIDE else cv2.INTER_CUBIC
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=way)
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return bytes(data)
