"""A face to paint: its position, its pose and their uncertainty."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from filters.pose import HeadPose, Point, head_poses, pose_of_box


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a frame, in px of the upright frame.

    ``box`` is x1, y1, x2, y2 and may leave the frame. ``landmarks`` are five points x, y: the
    subject's right eye, left eye, nose, right mouth corner, left mouth corner; or empty. ``score``
    is the detector's confidence, 0-1. ``identity`` is the number of the person, from 1; None if
    unknown. ``opacity`` falls below 1 near the end of a track: stickers fade with it. ``margin`` is
    the error of the box to each side in px: redactions grow by it. ``head`` is the pose smoothed
    over time; None estimates it from this frame alone. ``light`` is the share of their brightness
    that stickers show in the scene around the face.
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
        """Width of the box in px, at least 1."""
        return max(1.0, self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Height of the box in px, at least 1."""
        return max(1.0, self.box[3] - self.box[1])

    @property
    def centre(self) -> Point:
        """Centre of the box in px."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


def pose_of(face: Face) -> HeadPose:
    """The head pose of a face: the smoothed one, else from its landmarks, else from its box."""
    return face.head or _pose_alone(face.box, face.landmarks)


@lru_cache(maxsize=256)
def _pose_alone(box: tuple[float, float, float, float], landmarks: tuple[float, ...]) -> HeadPose:
    """The pose from one frame's box and landmarks; cached, because each filter asks for it."""
    if len(landmarks) != 10:
        return pose_of_box(box)
    poses = head_poses(np.array([box], np.float64), np.array([landmarks], np.float64))
    return HeadPose(*poses[0].tolist())
