"""How a head stands in the picture, and the space of its own in which stickers have their places.

Head space has its origin between the eyes and the distance of the eyes as its unit. Its axes point
``right`` (to the picture's right on a face that looks at the camera, so to the subject's left),
``down`` to the chin, and ``out`` of the face. It is seen by scaled orthography: all of a head is
taken to be equally far away, so planes become affine maps.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]
Floats = npt.NDArray[np.float64]

MEAN_FACE: Floats = np.array(
    [(-0.5, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.56, 0.47), (-0.42, 1.035, 0.0), (0.42, 1.035, 0.0)]
)
"""Right eye, left eye, nose, right and left mouth corner (5 x 3) in head space.

Measured: the shape and the poses that together fit the landmarks of our own detector best, on 764
faces of 14 tracks who turn by up to 70 degrees (alternating least squares; 2.6 % of the eye
distance remain). Which tilt counts as none is a convention: here the corners of the mouth are
straight below the eyes.
"""

BOX_SIDE = 2.46
"""The side of a square of the box's area, in eye distances; measured on the same faces."""

EYES_IN_BOX = (0.5, 0.385)
"""Where in the box the middle between the eyes is, as shares of its width and height, on a face
seen from the front."""

POINT_NOISE = 0.05
"""By how much a landmark is off, in eye distances: what the three below are weighed against."""

SIZE_SPREAD = 0.15
"""Standard deviation of the logarithm of the size that the landmarks tell over the size that the
box tells."""

YAW_SPREAD, PITCH_SPREAD = math.radians(46), math.radians(14)
"""Standard deviations of the angles of heads in videos, in radians. Five points tell pitch
badly."""

STEPS = 6
"""Gauss-Newton steps: more moved no angle by over 0.02 degrees, on all tracks of the clips but one
(1.3 degrees)."""


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Where a head is and how it is turned.

    ``x`` and ``y`` are where the middle between the eyes lies, in px of the upright frame; ``size``
    is the distance in px that the eyes have, or would have from the front. Angles are in degrees.
    ``yaw`` is positive where the nose turns to the picture's right, ``pitch`` where it turns down,
    ``roll`` where the head leans clockwise as seen. The head is turned by yaw about its own
    vertical axis first, then by pitch, then by roll: so roll is the lean of the head's own vertical
    axis, in profile too.
    """

    x: float
    y: float
    size: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @property
    def axes(self) -> tuple[Point, Point, Point]:
        """Where steps of one eye distance to the right, down and out of the face lead in the
        picture, in px."""
        yaw, pitch, roll = math.radians(self.yaw), math.radians(self.pitch), math.radians(self.roll)
        sin_yaw, cos_yaw, sin_pitch, cos_pitch = (
            math.sin(yaw),
            math.cos(yaw),
            math.sin(pitch),
            math.cos(pitch),
        )
        across = self.size * math.cos(roll), self.size * math.sin(roll)

        def turned(x: float, y: float) -> Point:
            return x * across[0] - y * across[1], x * across[1] + y * across[0]

        return (
            turned(cos_yaw, -sin_yaw * sin_pitch),
            turned(0.0, cos_pitch),
            turned(sin_yaw, cos_yaw * sin_pitch),
        )

    def at(self, right: float, down: float, out: float = 0.0) -> Point:
        """Where a point of head space is seen, in px; its coordinates are in eye distances."""
        to_right, to_down, to_out = self.axes
        return (
            self.x + right * to_right[0] + down * to_down[0] + out * to_out[0],
            self.y + right * to_right[1] + down * to_down[1] + out * to_out[1],
        )


def head_poses(boxes: Floats, landmarks: Floats) -> Floats:
    """How the heads of faces stand, each for itself.

    The mean face under scaled orthography is fitted to the landmarks by Gauss-Newton, held back by
    how heads usually stand and by the size of the box, so that noise does not turn a face over. On
    the faces `MEAN_FACE` was measured on OpenCV's SQPNP agrees within 3 degrees and trembles as
    much; it knows no box, and takes a call for each face.

    Args:
        boxes: (n, 4) float64, px: x1, y1, x2, y2.
        landmarks: (n, 10) float64, px; rows that make no sense are replaced by what the box tells.

    Returns:
        (n, 6) float64: the fields of `HeadPose` in their order.
    """
    landmarks = np.where(_sane(boxes, landmarks)[:, None], landmarks, _landmarks_of_boxes(boxes))
    points = landmarks.reshape(-1, 5, 2)
    unit = _sides(boxes) / BOX_SIDE
    usual = np.zeros((len(unit), 6))
    usual[:, 2] = np.log(unit)
    held = np.array([0.0, 0.0, SIZE_SPREAD**-2, YAW_SPREAD**-2, PITCH_SPREAD**-2, 0.0])
    sure = (POINT_NOISE * unit[:, None, None]) ** -2
    parameters = _first_guess(points, unit)
    for _ in range(STEPS):
        seen, change = _projected(parameters)
        weighed = (change * sure[..., None]).reshape(-1, 10, 6).transpose(0, 2, 1)
        hessian = weighed @ change.reshape(-1, 10, 6) + np.diag(held)
        gradient = (
            weighed @ (points - seen).reshape(-1, 10, 1) - (held * (parameters - usual))[..., None]
        )
        step = np.linalg.solve(hessian, gradient)[..., 0]
        step[:, 2:] = np.clip(step[:, 2:], -0.5, 0.5)
        parameters = parameters + step
    parameters[:, 2] = np.exp(parameters[:, 2])
    parameters[:, 3:] = np.degrees(parameters[:, 3:])
    return parameters


def pose_of_box(box: tuple[float, float, float, float]) -> HeadPose:
    """The pose of a face of which only the box (px) is known: upright and seen from the front."""
    x1, y1, x2, y2 = box
    width, height = max(1.0, x2 - x1), max(1.0, y2 - y1)
    return HeadPose(
        x1 + EYES_IN_BOX[0] * width,
        y1 + EYES_IN_BOX[1] * height,
        math.sqrt(width * height) / BOX_SIDE,
    )


def _projected(parameters: Floats) -> tuple[Floats, Floats]:
    """Where the points of the mean face are seen (n, 5, 2), and how that changes with each
    parameter (n, 5, 2, 6).

    The parameters are x, y, the logarithm of the size, and yaw, pitch, roll in radians.
    """
    x, y, size, yaw, pitch, roll = parameters.T[:, :, None]
    right, down, out = MEAN_FACE.T
    sin_pitch, cos_pitch = np.sin(pitch), np.cos(pitch)
    across = np.cos(yaw) * right + np.sin(yaw) * out
    towards = np.cos(yaw) * out - np.sin(yaw) * right
    along = cos_pitch * down + sin_pitch * towards
    cos, sin = np.exp(size) * np.cos(roll), np.exp(size) * np.sin(roll)

    def turned(a: Floats | float, b: Floats) -> Floats:
        return np.stack([cos * a - sin * b, sin * a + cos * b], axis=-1)

    change = np.zeros((len(parameters), 5, 2, 6))
    change[..., 0, 0] = change[..., 1, 1] = 1.0
    place = change[..., 2] = turned(across, along)
    change[..., 3] = turned(towards, -sin_pitch * across)
    change[..., 4] = turned(0.0, cos_pitch * towards - sin_pitch * down)
    change[..., 5] = turned(-along, across)
    return place + np.stack([x, y], axis=-1), change


def _first_guess(points: Floats, unit: Floats) -> Floats:
    """Parameters to start from: the lean of eyes and mouth, and the nose's way off their middle."""
    eyes, mouth = points[:, :2].mean(axis=1), points[:, 3:].mean(axis=1)
    across = (points[:, 1] - points[:, 0] + points[:, 4] - points[:, 3]) / 2
    along = mouth - eyes
    # Each line counts by its length: in profile those across shrink and swing about, and the one
    # along leads.
    roll = np.arctan2(across[:, 1] - along[:, 0], across[:, 0] + along[:, 1])
    beside = points[:, 2] - (eyes + mouth) / 2
    aside = (beside[:, 0] * np.cos(roll) + beside[:, 1] * np.sin(roll)) / unit
    yaw = np.arcsin(np.clip(2 * aside, -0.8, 0.8))
    return np.column_stack([eyes, np.log(unit), yaw, np.zeros_like(yaw), roll])


def _sane(boxes: Floats, landmarks: Floats) -> npt.NDArray[np.bool_]:
    """Whether landmarks are spread like a face's and lie about the box."""
    points = landmarks.reshape(-1, 5, 2)
    side = _sides(boxes)
    with np.errstate(invalid="ignore"):
        length = np.linalg.norm(points[:, :2].mean(axis=1) - points[:, 3:].mean(axis=1), axis=1)
        off = np.linalg.norm(points.mean(axis=1) - (boxes[:, :2] + boxes[:, 2:]) / 2, axis=1)
        # Comparisons with NaN are false.
        return np.asarray((length > 0.15 * side) & (length < 1.2 * side) & (off < 0.6 * side))


def _landmarks_of_boxes(boxes: Floats) -> Floats:
    eyes = boxes[:, :2] + EYES_IN_BOX * np.maximum(1.0, boxes[:, 2:] - boxes[:, :2])
    points = eyes[:, None] + MEAN_FACE[:, :2] * (_sides(boxes) / BOX_SIDE)[:, None, None]
    return np.asarray(points.reshape(-1, 10))


def _sides(boxes: Floats) -> Floats:
    """The sides of squares of the boxes' areas, px, none under 1."""
    return np.asarray(np.sqrt(np.maximum(1.0, boxes[:, 2:] - boxes[:, :2]).prod(axis=1)))
