"""How still a detector's landmarks stand while the picture moves a little, and how well they follow
a turn.

It needs no true landmarks: the same picture is moved by parts of a px, made a few percent larger or
smaller, spoilt with a little noise, and turned by known angles; what is found in each is taken back
to where it came from. In a video a sticker trembles by as much as the points differ there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.detectors.labels import LabelledImage, image_size
from models import DetectorModel
from models.detector import Detector, Pixels, Size
from models.lab.evaluation.average_precision import match
from models.lab.evaluation.detections import (
    Found,
    Options,
    detect,
    open_detector,
    read_picture,
    shrunk,
    size_within,
)
from models.lab.evaluation.landmarks import eye_distances, face_sizes, roll

Floats = npt.NDArray[np.float64]

SHIFTS = ((0.25, 0.5), (0.5, 0.25), (0.75, 0.75), (3.3, 2.6))
"""Px to the right and down, of the picture the detector is given: parts of a px, and of a cell of
its grid."""

SCALES = (0.94, 0.97, 1.03, 1.06)

NOISE = 3.0
"""Standard deviation in grey levels, 0-255."""

TURNS = (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0)
"""Degrees clockwise as seen."""

SMALLEST_PX = 24.0
"""Faces under this, by the square root of their area in the picture the detector is given, are left
out."""

FAR = 0.35
"""Beyond this distance of the centres, in sizes of the face, what is found is another face."""

SURE = 0.3
"""Lowest score of a face that is found: what the product hides."""

ENOUGH = 0.5
"""A face must be found in this share of the changes of a kind for its points to be judged."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to a picture: ``matrix`` (2 x 3) tells where its points go; ``turn`` in degrees
    clockwise."""

    matrix: Floats = field(default_factory=lambda: np.eye(2, 3))
    turn: float = 0.0
    noise_seed: int | None = None


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Of n faces, always in the same order for the same pictures; NaN where a face was found too
    seldom to tell.

    Attributes:
        trembling: root mean square distance of points from their mean over all that is no turn, in
            eye distances.
        found: share (0-1) of the changed pictures in which the face was found, 0 if it is not in
            the unchanged one.
        drift: mean distance of points from where they were, over the turns, in eye distances.
        followed: slope of the measured roll over the turn: 1 follows exactly, 0 stays upright.
    """

    trembling: Floats
    found: Floats
    drift: Floats
    followed: Floats


def steadiness(
    model: DetectorModel, folder: Path, pictures: Sequence[LabelledImage], options: Options
) -> Steadiness:
    """Measure a detector on the labelled faces of pictures; see
    `models.lab.evaluation.detections.detect_all` for errors."""
    rows: list[list[float]] = []
    sizes = {picture.image: image_size(folder, picture) for picture in pictures}
    in_order = sorted(pictures, key=lambda picture: (sizes[picture.image], picture.image))
    for shape, alike in groupby(in_order, key=lambda picture: sizes[picture.image]):
        size = size_within(model, *shape, options.side)
        detector = open_detector(model, size, options)
        for picture in alike:
            faces = large_faces(picture, size)
            if len(faces):
                still = shrunk(read_picture(folder, picture), size)
                rows += measure_faces(detector, still, faces)
    return Steadiness(*np.array(rows).reshape(-1, 4).T)


def large_faces(picture: LabelledImage, size: Size) -> Floats:
    """The boxes of a picture's faces that are large enough: m x 4, in px of what the detector is
    given."""
    boxes = np.array([face.box for face in picture.faces if not face.ignore], np.float64).reshape(
        -1, 4
    )
    boxes /= np.array([size.scale_x, size.scale_y] * 2)
    return boxes[face_sizes(boxes) >= SMALLEST_PX]


def changes(width: int, height: int) -> list[Change]:
    """Every change that a picture of this size goes through."""
    middle = np.array([width, height]) / 2
    return [
        *(Change(_about(middle, shift=shift)) for shift in SHIFTS),
        *(Change(_about(middle, scale=scale)) for scale in SCALES),
        *(Change(noise_seed=seed) for seed in (1, 2)),
        *(Change(_about(middle, turn), turn) for turn in TURNS),
    ]


def changed(still: Pixels, change: Change) -> Pixels:
    """A picture after a change, of the same size; what comes in from outside repeats the border."""
    if change.noise_seed is not None:
        spoilt = still + np.random.default_rng(change.noise_seed).normal(0, NOISE, still.shape)
        return np.clip(np.rint(spoilt), 0, 255).astype(np.uint8)
    # The matrix is of px counted from the outer corner of the first; OpenCV counts from that
    # pixel's middle.
    matrix = change.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    extent = still.shape[1], still.shape[0]
    moved = cv2.warpAffine(
        still, matrix, extent, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.astype(np.uint8, copy=False)


def moved(points: Floats, matrix: Floats) -> Floats:
    """Where points (... x 2) go."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def _about(
    middle: Floats, turn: float = 0.0, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)
) -> Floats:
    angle = np.radians(turn)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, middle - linear @ middle + shift])


def measure_faces(detector: Detector, still: Pixels, faces: Floats) -> list[list[float]]:
    size = detector.size
    done = changes(size.width, size.height)
    views = detect(detector, [still, *(changed(still, change) for change in done)])
    scale = np.array([size.scale_x, size.scale_y])
    first, *others = (
        Found(view.boxes / np.tile(scale, 2), view.scores, view.points / scale)
        for view in (view.from_score(SURE) for view in views)
    )
    chosen, best = match(first.boxes, first.scores, faces)
    measured = [[np.nan, 0.0, np.nan, np.nan] for _ in faces]
    for row in np.flatnonzero(best):
        measured[chosen[row]] = _measure(
            first.boxes[row],
            first.points[row],
            list(zip(done, others, strict=True)),
            (size.width, size.height),
        )
    return measured


def _measure(
    box: Floats, points: Floats, views: Sequence[tuple[Change, Found]], extent: tuple[int, int]
) -> list[float]:
    """One face's trembling, share found, drift and roll followed; see `Steadiness`."""
    corners = box[[[0, 1], [2, 1], [2, 3], [0, 3]]]
    seen = [
        (change, view) for change, view in views if _inside(moved(corners, change.matrix), extent)
    ]
    back = [(change, _points_back(box, change, view)) for change, view in seen]
    unit = eye_distances(points[None], box[None])[0]
    still = [found for change, found in back if not change.turn]
    turned = [(change.turn, found) for change, found in back if change.turn]
    share = sum(found is not None for _, found in back) / len(back) if back else np.nan
    return [
        _trembling(points, still) / unit,
        share,
        _drift(points, turned) / unit,
        _followed(points, turned),
    ]


def _inside(points: Floats, extent: tuple[int, int]) -> bool:
    return bool((points >= 0).all() and (points <= extent).all())


def _points_back(box: Floats, change: Change, view: Found) -> Floats | None:
    """The face's points as found in a changed picture, taken back; None if it was not found
    there."""
    if not len(view.boxes):
        return None
    centres = (view.boxes[:, :2] + view.boxes[:, 2:]) / 2
    place = moved(box.reshape(2, 2).mean(axis=0), change.matrix)
    distances = np.linalg.norm(centres - place, axis=1)
    nearest = int(distances.argmin())
    if distances[nearest] > FAR * face_sizes(box[None])[0]:
        return None
    return moved(
        view.points[nearest], np.asarray(cv2.invertAffineTransform(change.matrix), np.float64)
    )


def _trembling(points: Floats, others: Sequence[Floats | None]) -> float:
    found = [one for one in others if one is not None]
    if len(found) < max(1, ENOUGH * len(others)):
        return float("nan")
    every = np.stack([points, *found])
    return float(np.sqrt(np.mean(np.sum((every - every.mean(axis=0)) ** 2, axis=2))))


def _drift(points: Floats, turned: Sequence[tuple[float, Floats | None]]) -> float:
    found = [one for _, one in turned if one is not None]
    if len(found) < max(1, ENOUGH * len(turned)):
        return float("nan")
    return float(np.mean(np.linalg.norm(np.stack(found) - points, axis=2)))


def _followed(points: Floats, turned: Sequence[tuple[float, Floats | None]]) -> float:
    """Taken back, points that followed have the roll they had; what is missing is what they did not
    follow."""
    found = [(turn, one) for turn, one in turned if one is not None]
    if len(found) < max(2, ENOUGH * len(turned)):
        return float("nan")
    turns = np.array([turn for turn, _ in found])
    lacking = roll(np.stack([one for _, one in found])) - roll(points[None])
    lacking = (lacking + 180) % 360 - 180
    return float(1 + np.sum(turns * lacking) / np.sum(turns**2))
