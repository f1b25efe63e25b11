"""A face to paint: where it is in the picture and how sure that is."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from filters.pose import HeadPose, Point, head_poses, pose_of_box


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a frame, in px of the upright frame.

    ``box`` is x1, y1, x2, y2 and may leave the frame. ``landmarks`` are five x, y: the subject's
    right eye, left eye, nose, right mouth corner, left mouth corner; or none. ``identity`` counts
    the video's persons from 1; None is not known. ``opacity`` falls below 1 where a face is about
    to be lost: stickers fade with it. ``margin`` is by how many px the box may be off to each side:
    what hides grows by it. ``head`` is the pose as smoothed over time; None has it told from the
    landmarks, or the box, of this one face. ``light`` is the share of their own brightness that
    stickers have in the scene about it.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[float, ...]
    score: float
    identity: int | None = None
    opacity: float = 1.0
    margin: float = 0.0
    head: HeadPose | None = None
    light: float = 1.0

    @property
    def width(self) -> float:
        """Width of the box in px, never 0."""
        return max(1.0, self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Height of the box in px, never 0."""
        return max(1.0, self.box[3] - self.box[1])

    @property
    def centre(self) -> Point:
        """Centre of the box in px."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


def pose_of(face: Face) -> HeadPose:
    """How a face's head stands: as smoothed over time, else as its landmarks tell, else as its box
    does."""
    return face.head or _pose_alone(face.box, face.landmarks)


@lru_cache(maxsize=256)
def _pose_alone(box: tuple[float, float, float, float], landmarks: tuple[float, ...]) -> HeadPose:
    """The pose from one frame's box and landmarks; remembered, because several filters may ask."""
    if len(landmarks) != 10:
        return pose_of_box(box)
    return HeadPose(
        *head_poses(np.array([box], np.float64), np.array([landmarks], np.float64))[0].tolist()
    )
