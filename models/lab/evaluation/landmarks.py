"""Errors of landmarks, and the pose of a head by its five landmarks.

Points are m x 5 x 2 in px, in the order of `facepaint.records.faces.LANDMARKS`; NaN if unknown.
"""

import numpy as np
import numpy.typing as npt

from models.boxes import areas
from models.lab.evaluation.average_precision import Bools, match

Floats = npt.NDArray[np.float64]

ROLL_CLASSES = {"roll <10": (0.0, 10.0), "roll 10-30": (10.0, 30.0), "roll >=30": (30.0, 180.1)}
"""Half-open ranges of a head's roll, in degrees."""

TURNED = 0.25
"""From this `turn` on a head is turned aside: at about 27 degrees, if the nose is half the eyes'
distance in front of them."""

TILTED = 15.0
"""Degrees of roll from which on a head is tilted."""

POSES = ("turned", "tilted")
"""The sets of faces by head pose; see `pose_sets`."""

NARROWEST_EYES = 0.15
"""The smallest eye distance that errors are divided by, in sizes of the face: in profile the eyes
nearly meet."""


def landmark_errors(
    boxes: Floats, scores: Floats, points: Floats, faces: Floats, truth: Floats
) -> Floats:
    """Mean distance of a found face's five points from the true ones, in distances of the true
    eyes.

    The Normalised Mean Error of the field (Sagonas et al., "300 Faces in-the-Wild Challenge",
    2013), over five points.

    Args:
        boxes, scores, points: n detections: n x 4 px, n, n x 5 x 2 px.
        faces, truth: m labelled faces: m x 4 px, m x 5 x 2 px.

    Returns:
        m numbers; NaN if the face was missed, or its points or the true ones are unknown.
    """
    errors = np.full(len(faces), np.nan)
    chosen, best = match(boxes, scores, faces)
    rows = chosen[best]
    distances = np.linalg.norm(points[best] - truth[rows], axis=2).mean(axis=1)
    errors[rows] = distances / eye_distances(truth[rows], faces[rows])
    return errors


def eye_distances(points: Floats, boxes: Floats) -> Floats:
    """Px between the eyes of m faces, at least `NARROWEST_EYES` of the face's size."""
    between = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    return np.asarray(np.maximum(np.maximum(between, NARROWEST_EYES * face_sizes(boxes)), 1e-9))


def face_sizes(boxes: Floats) -> Floats:
    """The square roots of the areas of m x 4 boxes, in px."""
    return np.asarray(np.sqrt(areas(boxes)))


def roll(points: Floats) -> Floats:
    """The roll of m heads in degrees, -180 to 180, clockwise as seen: 0 with the eyes level."""
    right, left = points[:, 0], points[:, 1]
    return np.asarray(np.degrees(np.arctan2(left[:, 1] - right[:, 1], left[:, 0] - right[:, 0])))


def turn(points: Floats) -> Floats:
    """How far m heads are turned aside: the nose's distance from the middle between the eyes, along
    the line of the eyes, in eye distances. 0 in front, large in profile, positive to the subject's
    left.
    """
    right, left, nose = points[:, 0], points[:, 1], points[:, 2]
    across = left - right
    squared = np.maximum(np.sum(across**2, axis=1), 1e-9)
    return np.asarray(np.sum((nose - (right + left) / 2) * across, axis=1) / squared)


def pose_sets(points: Floats) -> dict[str, Bools]:
    """Which of m faces have a pose that is hard to detect; none whose points are unknown."""
    return {"turned": np.abs(turn(points)) >= TURNED, "tilted": np.abs(roll(points)) >= TILTED}
