"""How stable a detector's landmarks are under small changes of the image, and how well they follow
a rotation.

It needs no true landmarks: the same image is shifted by parts of a px, scaled by a few percent,
given a little noise, and rotated by known angles. The detections in each are mapped back. In a
video a sticker jitters by as much as the landmarks differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.detectors.labels import LabelledImage
from models import DetectorModel
from models.detector import Detector, Pixels, Size
from models.lab.evaluation.average_precision import match
from models.lab.evaluation.detections import (
    Detections,
    Options,
    by_size,
    detect,
    open_detector,
    read_image,
    shrunk,
    size_within,
)
from models.lab.evaluation.landmarks import eye_distances, face_sizes, roll

Floats = npt.NDArray[np.float64]

SHIFTS = ((0.25, 0.5), (0.5, 0.25), (0.75, 0.75), (3.3, 2.6))
"""Px to the right and down in the detector's input: parts of a px, and of a cell of its grid."""

SCALES = (0.94, 0.97, 1.03, 1.06)

NOISE = 3.0
"""Standard deviation in grey levels, 0-255."""

TURNS = (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0)
"""Degrees clockwise as seen."""

SMALLEST_PX = 24.0
"""Faces under this, by the square root of their area in the detector's input, are left out."""

FAR = 0.35
"""A detection whose centre is farther away, in sizes of the face, is of another face."""

LOWEST_SCORE = 0.3
"""Of a face that counts as found: redaction's accept threshold."""

ENOUGH = 0.5
"""A face must be found in this share of the transforms of a kind for its points to be judged."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A change of an image: ``matrix`` (2 x 3) maps its points; ``turn`` in degrees clockwise."""

    matrix: Floats = field(default_factory=lambda: np.eye(2, 3))
    turn: float = 0.0
    noise_seed: int | None = None

    def map(self, points: Floats) -> Floats:
        """Where points (... x 2) of the image are in the transformed one."""
        return np.asarray(points @ self.matrix[:, :2].T + self.matrix[:, 2])

    def map_back(self, points: Floats) -> Floats:
        """Where points (... x 2) of the transformed image are in the original."""
        inverse = cv2.invertAffineTransform(self.matrix)
        return np.asarray(points @ inverse[:, :2].T + inverse[:, 2], np.float64)


@dataclass(frozen=True, slots=True)
class Stability:
    """Of n faces, in the same order for the same images; NaN if a face was found too seldom.

    Attributes:
        jitter: root mean square distance of the points from their mean over all transforms but
            rotations, in eye distances.
        found: share (0-1) of the transformed images in which the face was found, 0 if it is not
            found in the original.
        drift: mean distance of the points from their original place over the rotations, in eye
            distances.
        followed: slope of the measured roll over the rotation: 1 follows exactly, 0 stays upright.
    """

    jitter: Floats
    found: Floats
    drift: Floats
    followed: Floats


def stability(
    model: DetectorModel, folder: Path, images: Sequence[LabelledImage], options: Options
) -> Stability:
    """Measure a detector on the labelled faces of images; errors are those of `detect_all`."""
    rows: list[list[float]] = []
    for shape, group in by_size(folder, images):
        size = size_within(model, *shape, options.side)
        detector = open_detector(model, size, options)
        for image in group:
            faces = large_faces(image, size)
            if len(faces):
                pixels = shrunk(read_image(folder, image), size)
                rows += measure_faces(detector, pixels, faces)
    return Stability(*np.array(rows).reshape(-1, 4).T)


def large_faces(image: LabelledImage, size: Size) -> Floats:
    """The boxes of the faces that are large enough: m x 4, in px of the detector's input."""
    faces = [face.box for face in image.faces if not face.ignore]
    boxes = np.array(faces, np.float64).reshape(-1, 4)
    boxes /= np.array([size.scale_x, size.scale_y] * 2)
    return boxes[face_sizes(boxes) >= SMALLEST_PX]


def transforms(width: int, height: int) -> list[Transform]:
    """Every transform of an image of this size."""
    middle = np.array([width, height]) / 2
    return [
        *(Transform(_about(middle, shift=shift)) for shift in SHIFTS),
        *(Transform(_about(middle, scale=scale)) for scale in SCALES),
        *(Transform(noise_seed=seed) for seed in (1, 2)),
        *(Transform(_about(middle, turn), turn) for turn in TURNS),
    ]


def transformed(image: Pixels, transform: Transform) -> Pixels:
    """The image after a transform, at the same size; the border is repeated outwards."""
    if transform.noise_seed is not None:
        rng = np.random.default_rng(transform.noise_seed)
        noisy = image + rng.normal(0, NOISE, image.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    # The matrix counts px from the outer corner of the first one, OpenCV from its centre.
    matrix = transform.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    extent = image.shape[1], image.shape[0]
    moved = cv2.warpAffine(
        image, matrix, extent, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.astype(np.uint8, copy=False)


def _about(
    middle: Floats, turn: float = 0.0, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)
) -> Floats:
    angle = np.radians(turn)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, middle - linear @ middle + shift])


def measure_faces(detector: Detector, image: Pixels, faces: Floats) -> list[list[float]]:
    """Jitter, share found, drift and rotation followed of m faces; see `Stability`."""
    size = detector.size
    every = transforms(size.width, size.height)
    scale = np.array([size.scale_x, size.scale_y])
    original, *others = (
        Detections(found.boxes / np.tile(scale, 2), found.scores, found.points / scale)
        for found in (
            found.from_score(LOWEST_SCORE)
            for found in detect(detector, [image, *(transformed(image, each) for each in every)])
        )
    )
    views = list(zip(every, others, strict=True))
    rows, best = match(original.boxes, original.scores, faces)
    measured = [[np.nan, 0.0, np.nan, np.nan] for _ in faces]
    for row in np.flatnonzero(best):
        box, points = original.boxes[row], original.points[row]
        measured[rows[row]] = _measure(box, points, views, (size.width, size.height))
    return measured


def _measure(
    box: Floats,
    points: Floats,
    views: Sequence[tuple[Transform, Detections]],
    extent: tuple[int, int],
) -> list[float]:
    """One face's jitter, share found, drift and rotation followed."""
    corners = box[[[0, 1], [2, 1], [2, 3], [0, 3]]]
    # A face that a transform moves over the border is no miss.
    inside = [view for view in views if _is_inside(view[0].map(corners), extent)]
    found = [(transform, _points_back(box, transform, view)) for transform, view in inside]
    unit = eye_distances(points[None], box[None])[0]
    steady = [points_back for transform, points_back in found if not transform.turn]
    turned = [(transform.turn, points_back) for transform, points_back in found if transform.turn]
    hits = sum(points_back is not None for _, points_back in found)
    return [
        _jitter(points, steady) / unit,
        hits / len(found) if found else np.nan,
        _drift(points, turned) / unit,
        _followed(points, turned),
    ]


def _is_inside(points: Floats, extent: tuple[int, int]) -> bool:
    return bool((points >= 0).all() and (points <= extent).all())


def _points_back(box: Floats, transform: Transform, found: Detections) -> Floats | None:
    """The face's points in a transformed image, mapped back; None if it was not found there."""
    if not len(found.boxes):
        return None
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    expected = transform.map(box.reshape(2, 2).mean(axis=0))
    distances = np.linalg.norm(centres - expected, axis=1)
    nearest = int(distances.argmin())
    if distances[nearest] > FAR * face_sizes(box[None])[0]:
        return None
    return transform.map_back(found.points[nearest])


def _jitter(points: Floats, others: Sequence[Floats | None]) -> float:
    found = [other for other in others if other is not None]
    if len(found) < max(1, ENOUGH * len(others)):
        return float("nan")
    every = np.stack([points, *found])
    return float(np.sqrt(np.mean(np.sum((every - every.mean(axis=0)) ** 2, axis=2))))


def _drift(points: Floats, turned: Sequence[tuple[float, Floats | None]]) -> float:
    found = [other for _, other in turned if other is not None]
    if len(found) < max(1, ENOUGH * len(turned)):
        return float("nan")
    return float(np.mean(np.linalg.norm(np.stack(found) - points, axis=2)))


def _followed(points: Floats, turned: Sequence[tuple[float, Floats | None]]) -> float:
    """Points that followed have their original roll once mapped back; the rest was not followed."""
    found = [(turn, other) for turn, other in turned if other is not None]
    if len(found) < max(2, ENOUGH * len(turned)):
        return float("nan")
    turns = np.array([turn for turn, _ in found])
    missed = roll(np.stack([other for _, other in found])) - roll(points[None])
    missed = (missed + 180) % 360 - 180
    return float(1 + np.sum(turns * missed) / np.sum(turns**2))
