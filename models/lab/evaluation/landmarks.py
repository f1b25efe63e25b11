"""How far landmarks are from the true ones, and how a head is held, by its five points.

Points are m x 5 x 2 in px, in the order of `facepaint.detectors.labels.LANDMARKS`; NaN where they
are not known.
"""

import numpy as np
import numpy.typing as npt

from models.lab.evaluation.average_precision import Bools, match

Floats = npt.NDArray[np.float64]

ROLL_CLASSES = {"roll <10": (0.0, 10.0), "roll 10-30": (10.0, 30.0), "roll >=30": (30.0, 180.1)}
"""Half-open ranges of how far a head is tilted to a side, in degrees."""

TURNED = 0.25
"""From here on a head counts as turned aside; see `turn`. A nose half as far before the eyes as
they lie apart gets there at about 27 degrees."""

TILTED = 15.0
"""From here on a head counts as tilted, in degrees of roll."""

POSES = ("turned", "tilted")
"""The sets of faces by how the head is held; see `pose_sets`."""

NARROWEST_EYES = 0.15
"""Least distance of the eyes by which errors are divided, in sizes of the face: in profile they
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
        m numbers; NaN where the face was missed, or the points of one of both are not known.
    """
    errors = np.full(len(faces), np.nan)
    chosen, first = match(boxes, scores, faces)
    rows = chosen[first]
    distances = np.linalg.norm(points[first] - truth[rows], axis=2).mean(axis=1)
    errors[rows] = distances / eye_distances(truth[rows], faces[rows])
    return errors


def eye_distances(points: Floats, boxes: Floats) -> Floats:
    """Px between the eyes of m faces, and no less than `NARROWEST_EYES` of the face's size."""
    between = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    return np.asarray(np.maximum(np.maximum(between, NARROWEST_EYES * face_sizes(boxes)), 1e-9))


def face_sizes(boxes: Floats) -> Floats:
    """The square roots of the areas of m x 4 boxes, in px."""
    return np.asarray(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))


def roll(points: Floats) -> Floats:
    """Degrees, -180 to 180, by which m heads are tilted, clockwise as seen: 0 with the eyes
    level."""
    right, left = points[:, 0], points[:, 1]
    return np.asarray(np.degrees(np.arctan2(left[:, 1] - right[:, 1], left[:, 0] - right[:, 0])))


def turn(points: Floats) -> Floats:
    """How far m heads are turned aside: the nose's distance from the middle between the eyes, along
    the line of the eyes and in distances of the eyes. 0 from in front, towards infinity in profile,
    above 0 to the subject's left.
    """
    right, left, nose = points[:, 0], points[:, 1], points[:, 2]
    across = left - right
    squared = np.maximum(np.sum(across**2, axis=1), 1e-9)
    return np.asarray(np.sum((nose - (right + left) / 2) * across, axis=1) / squared)


def pose_sets(points: Floats) -> dict[str, Bools]:
    """Which of m faces are held so that detectors find it hard; none whose points are not known."""
    return {"turned": np.abs(turn(points)) >= TURNED, "tilted": np.abs(roll(points)) >= TILTED}
