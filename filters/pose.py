"""Head poses, and head space, in which stickers are placed.

Head space has its origin between the eyes and the distance of the eyes as its unit. Its axes point
``right`` (in the image of a frontal face, so to the subject's left), ``down`` to the chin, and
``out`` of the face. It is projected by scaled orthography: all of a head counts as equally far from
the camera. So a plane of head space maps to the frame by an affine transform.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]
Floats = npt.NDArray[np.float64]

MEAN_FACE: Floats = np.array(
    [(-0.5, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.56, 0.47), (-0.42, 1.035, 0.0), (0.42, 1.035, 0.0)]
)
"""Right eye, left eye, nose, right and left mouth corner (5 x 3) in head space.

Measured: the shape and the poses that together best fit the landmarks of our own detector, on 764
faces of 14 tracks that turn by up to 70 degrees (alternating least squares; the residual is 2.6 %
of the eye distance). The zero of pitch is a convention: there, the corners of the mouth are
straight below the eyes.
"""

BOX_SIDE = 2.46
"""The square root of the box's area, in eye distances; measured on the same faces."""

EYES_IN_BOX = (0.5, 0.385)
"""The middle between the eyes of a frontal face, as shares of the box's width and height."""

POINT_NOISE = 0.05
"""Standard deviation of a landmark, in eye distances: the priors below are weighed against it."""

SIZE_SPREAD = 0.15
"""Standard deviation of the logarithm of the ratio of two sizes: from landmarks and from the
box."""

YAW_SPREAD, PITCH_SPREAD = math.radians(46), math.radians(14)
"""Standard deviations of the angles of heads in videos, in radians.

That of pitch is small because five points determine it badly.
"""

STEPS = 6
"""Gauss-Newton steps: more change no angle by over 0.02 degrees, on all tracks of the clips but
one (1.3 degrees)."""


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Position, size and rotation of a head.

    ``x`` and ``y`` are the middle between the eyes in px of the upright frame; ``size`` is the
    distance of the eyes in px, as it would be from the front. Angles are in degrees: ``yaw`` is
    positive when the nose points to the right of the image, ``pitch`` when it points down, ``roll``
    when the head leans clockwise. Yaw is applied first, about the head's own vertical axis, then
    pitch, then roll. So roll is the lean of the head's vertical axis, in profile too.
    """

    x: float
    y: float
    size: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @property
    def axes(self) -> tuple[Point, Point, Point]:
        """The projections of one eye distance to the right, down and out of the face, in px."""
        yaw, pitch, roll = math.radians(self.yaw), math.radians(self.pitch), math.radians(self.roll)
        sin_yaw, cos_yaw = math.sin(yaw), math.cos(yaw)
        sin_pitch, cos_pitch = math.sin(pitch), math.cos(pitch)
        across = self.size * math.cos(roll), self.size * math.sin(roll)

        def turned(x: float, y: float) -> Point:
            return x * across[0] - y * across[1], x * across[1] + y * across[0]

        return (
            turned(cos_yaw, -sin_yaw * sin_pitch),
            turned(0.0, cos_pitch),
            turned(sin_yaw, cos_yaw * sin_pitch),
        )

    def at(self, right: float, down: float, out: float = 0.0) -> Point:
        """Project a point of head space, in eye distances, to px of the frame."""
        to_right, to_down, to_out = self.axes
        return (
            self.x + right * to_right[0] + down * to_down[0] + out * to_out[0],
            self.y + right * to_right[1] + down * to_down[1] + out * to_out[1],
        )


def head_poses(boxes: Floats, landmarks: Floats) -> Floats:
    """Estimate the poses of heads, each independently of the others.

    Fits the mean face under scaled orthography to the landmarks by Gauss-Newton, with priors on
    yaw, pitch and the size of the box, so that noise does not flip a face. On the faces that
    `MEAN_FACE` was measured on, OpenCV's SQPNP agrees within 3 degrees and is as noisy; it cannot
    use the box, and needs a call for each face.

    Args:
        boxes: (n, 4) float64, px: x1, y1, x2, y2.
        landmarks: (n, 10) float64, px; implausible rows are replaced by an estimate from the box.

    Returns:
        (n, 6) float64: the fields of `HeadPose` in their order.
    """
    plausible = _plausible(boxes, landmarks)
    landmarks = np.where(plausible[:, None], landmarks, _landmarks_of_boxes(boxes))
    points = landmarks.reshape(-1, 5, 2)
    unit = _sides(boxes) / BOX_SIDE
    prior_mean = np.zeros((len(unit), 6))
    prior_mean[:, 2] = np.log(unit)
    # No prior on position and roll: a head may be anywhere, and upside down.
    prior = np.array([0.0, 0.0, SIZE_SPREAD**-2, YAW_SPREAD**-2, PITCH_SPREAD**-2, 0.0])
    precision = (POINT_NOISE * unit[:, None, None]) ** -2
    parameters = _first_guess(points, unit)
    for _ in range(STEPS):
        projected, jacobian = _projected(parameters)
        weighted = (jacobian * precision[..., None]).reshape(-1, 10, 6).transpose(0, 2, 1)
        hessian = weighted @ jacobian.reshape(-1, 10, 6) + np.diag(prior)
        residual = (points - projected).reshape(-1, 10, 1)
        gradient = weighted @ residual - (prior * (parameters - prior_mean))[..., None]
        step = np.linalg.solve(hessian, gradient)[..., 0]
        # Angles and the logarithm of the size: a full step may turn a face over.
        step[:, 2:] = np.clip(step[:, 2:], -0.5, 0.5)
        parameters = parameters + step
    parameters[:, 2] = np.exp(parameters[:, 2])
    parameters[:, 3:] = np.degrees(parameters[:, 3:])
    return parameters


def pose_of_box(box: tuple[float, float, float, float]) -> HeadPose:
    """The pose of a face without landmarks, from its box in px: upright and frontal."""
    x1, y1, x2, y2 = box
    width, height = max(1.0, x2 - x1), max(1.0, y2 - y1)
    return HeadPose(
        x1 + EYES_IN_BOX[0] * width,
        y1 + EYES_IN_BOX[1] * height,
        math.sqrt(width * height) / BOX_SIDE,
    )


def roll_of(landmarks: Sequence[float]) -> float:
    """How far a face leans clockwise, in degrees from -180 to 180, by the line from the middle of
    its eyes to that of its mouth; 0 without landmarks."""
    if len(landmarks) != 10:
        return 0.0
    right_x, right_y, left_x, left_y, _, _, *mouth = landmarks
    along_x = (mouth[0] + mouth[2] - right_x - left_x) / 2
    along_y = (mouth[1] + mouth[3] - right_y - left_y) / 2
    return math.degrees(math.atan2(-along_x, along_y))


def _projected(parameters: Floats) -> tuple[Floats, Floats]:
    """Project the mean face: points (n, 5, 2), and their Jacobian (n, 5, 2, 6).

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

    jacobian = np.zeros((len(parameters), 5, 2, 6))
    jacobian[..., 0, 0] = jacobian[..., 1, 1] = 1.0
    # The derivative by the logarithm of the size is the offset itself.
    offset = jacobian[..., 2] = turned(across, along)
    jacobian[..., 3] = turned(towards, -sin_pitch * across)
    jacobian[..., 4] = turned(0.0, cos_pitch * towards - sin_pitch * down)
    jacobian[..., 5] = turned(-along, across)
    return offset + np.stack([x, y], axis=-1), jacobian


def _first_guess(points: Floats, unit: Floats) -> Floats:
    """Initial parameters: roll from eyes and mouth, yaw from the offset of the nose."""
    eyes, mouth = points[:, :2].mean(axis=1), points[:, 3:].mean(axis=1)
    across = (points[:, 1] - points[:, 0] + points[:, 4] - points[:, 3]) / 2
    along = mouth - eyes
    # Each line weighs by its length: in profile the lines across are short and noisy, and the one
    # from the eyes to the mouth determines the roll.
    roll = np.arctan2(across[:, 1] - along[:, 0], across[:, 0] + along[:, 1])
    nose = points[:, 2] - (eyes + mouth) / 2
    aside = (nose[:, 0] * np.cos(roll) + nose[:, 1] * np.sin(roll)) / unit
    # The nose protrudes by about half an eye distance.
    yaw = np.arcsin(np.clip(2 * aside, -0.8, 0.8))
    return np.column_stack([eyes, np.log(unit), yaw, np.zeros_like(yaw), roll])


def _plausible(boxes: Floats, landmarks: Floats) -> npt.NDArray[np.bool_]:
    """Whether landmarks have a face's proportions and lie near the centre of the box."""
    points = landmarks.reshape(-1, 5, 2)
    side = _sides(boxes)
    with np.errstate(invalid="ignore"):
        eyes, mouth = points[:, :2].mean(axis=1), points[:, 3:].mean(axis=1)
        length = np.linalg.norm(eyes - mouth, axis=1)
        off = np.linalg.norm(points.mean(axis=1) - (boxes[:, :2] + boxes[:, 2:]) / 2, axis=1)
        # Written so that NaN is implausible: comparisons with it are false.
        return np.asarray((length > 0.15 * side) & (length < 1.2 * side) & (off < 0.6 * side))


def _landmarks_of_boxes(boxes: Floats) -> Floats:
    eyes = boxes[:, :2] + EYES_IN_BOX * np.maximum(1.0, boxes[:, 2:] - boxes[:, :2])
    points = eyes[:, None] + MEAN_FACE[:, :2] * (_sides(boxes) / BOX_SIDE)[:, None, None]
    return np.asarray(points.reshape(-1, 10))


def _sides(boxes: Floats) -> Floats:
    """The square roots of the boxes' areas in px, at least 1."""
    return np.asarray(np.sqrt(np.maximum(1.0, boxes[:, 2:] - boxes[:, :2]).prod(axis=1)))
