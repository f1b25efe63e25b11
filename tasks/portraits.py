"""Portraits: a small picture of each person's face, cut out of the frame in which it is seen
best."""

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.records.faces import Box
from facepaint.records.job import VideoJob
from facepaint.records.segment import Segment
from facepaint.records.tracks import Person
from tasks.video.decode import Bins, decode_window
from tasks.video.deinterlace import deinterlaced
from tasks.video.normalize import Upright

SIDE = 160
"""Px of a portrait, which is square."""

AROUND = 1.5
"""A portrait shows this many times the longer side of the face's box."""

QUALITY = 85

Pixels = npt.NDArray[np.uint8]


def portraits_of(
    job: VideoJob, run: Sequence[Segment], bins: Bins, people: Sequence[Person], threads: int = 1
) -> dict[int, bytes]:
    """A JPEG of each of these people's faces by number, all seen best in the last segment of a run.

    Whose frame cannot be decoded gets a plain picture.

    Args:
        run: the records from the segment's ``decode_from`` to itself, ``bins`` their bytes in the
            same order.

    Raises:
        UnreadableMedia: the segment cannot be decoded.
    """
    upright = Upright(job.video)
    aspect = job.video.sample_aspect_ratio or Fraction(1)
    shape = float(1 / aspect if job.video.rotation % 180 else aspect)
    times = {person.best_pts for person in people}
    made = {}
    for frame in deinterlaced(decode_window(job.video, run, bins, threads)):
        if frame.pts not in times:
            continue
        picture = np.asarray(upright(frame).to_ndarray(format="bgr24"), np.uint8)
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
