"""Compares a detector's faces with labels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facepaint.detectors.labels import LabelledImage
from facepaint.records.detector_card import DetectorCard
from models import DetectorModel
from models.boxes import iou
from models.lab.evaluation.average_precision import (
    WIDER_SETS,
    Bools,
    Curve,
    Scored,
    curves,
    matched,
    set_curves,
)
from models.lab.evaluation.detections import Detections, Options, detect_all
from models.lab.evaluation.landmarks import POSES, landmark_errors, pose_sets

Floats = npt.NDArray[np.float64]

THRESHOLDS = {"redaction": 0.3, "stickers": 0.68}
"""The accept thresholds by use, unless the detector's card has its own."""

FALSE_POSITIVE_IOU = 0.1
"""A detection that overlaps no labelled face by more is a false positive to the eye, not a loose
box."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of one image.

    ``boxes`` m x 4 px, ``points`` m x 5 x 2 px, NaN if unknown, ``ignored`` m, and ``sets`` by
    name, m each.
    """

    boxes: Floats
    points: Floats
    ignored: Bools
    sets: dict[str, Bools]


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """A detector at an accept threshold: recall (0-1), and false positives per image.

    A detection that overlaps no labelled face, ignored or not, by `FALSE_POSITIVE_IOU` is a false
    positive.
    """

    threshold: float
    recall: float
    false_positives: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One detector over one set of images.

    Attributes:
        curves: precision and recall by set of faces.
        at_threshold: by use, as `THRESHOLDS`.
        landmark_errors: for each labelled face, image by image; see
            `models.lab.evaluation.landmarks.landmark_errors`.
    """

    curves: dict[str, Curve]
    at_threshold: dict[str, AtThreshold]
    landmark_errors: Floats


def split(
    images: Sequence[LabelledImage], share: float = 0.1
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Split images into those to train on and those to validate with.

    The sha256 of its file name decides on an image, so the parts are the same on every machine and
    do not change when images are added.
    """
    parts: tuple[list[LabelledImage], list[LabelledImage]] = ([], [])
    for image in images:
        # Not a random choice: it must never change, even if images are added.
        digest = hashlib.sha256(image.image.encode()).digest()
        parts[int.from_bytes(digest[:8]) < share * 2**64].append(image)
    return parts


def evaluate(
    model: DetectorModel, folder: Path, images: Sequence[LabelledImage], options: Options
) -> Evaluation:
    """Run one detector over images of a labelled folder; errors are those of `detect_all`."""
    found = detect_all(model, folder, images, options)
    return judge(found, [truth_of(image) for image in images], thresholds_of(model.card))


def thresholds_of(card: DetectorCard) -> dict[str, float]:
    """The accept thresholds of a detector by use."""
    own = {"redaction": card.redaction, "stickers": card.stickers}
    return {
        use: thresholds.accept if thresholds else THRESHOLDS[use] for use, thresholds in own.items()
    }


def judge(
    found: Sequence[Detections], truths: Sequence[Truth], thresholds: Mapping[str, float]
) -> Evaluation:
    """Compare detections with labels, image by image; ``thresholds`` as of `thresholds_of`."""
    pairs = list(zip(found, truths, strict=True))
    scored = [
        Scored(detections.boxes, detections.scores, truth.boxes, truth.ignored, truth.sets)
        for detections, truth in pairs
    ]
    by_set = curves(scored)
    if any(np.isfinite(truth.points).all(axis=(1, 2)).any() for truth in truths):
        by_set |= set_curves(scored, POSES)
    errors = [np.zeros(0)]
    for detections, truth in pairs:
        # Landmarks matter only for faces that the product accepts.
        shown = detections.from_score(thresholds["redaction"])
        errors.append(
            landmark_errors(shown.boxes, shown.scores, shown.points, truth.boxes, truth.points)
        )
    at_threshold = {use: _at_threshold(pairs, value) for use, value in thresholds.items()}
    return Evaluation(by_set, at_threshold, np.concatenate(errors))


def truth_of(image: LabelledImage) -> Truth:
    """An image's labels as arrays."""
    unknown = (float("nan"),) * 10
    faces = image.faces
    points = np.array([face.landmarks or unknown for face in faces], np.float64).reshape(-1, 5, 2)
    sets = pose_sets(points)
    for name in WIDER_SETS:
        membership = [getattr(face, name) for face in faces]
        if faces and None not in membership:
            sets[name] = np.array(membership, bool)
    boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
    return Truth(boxes, points, np.array([face.ignore for face in faces], bool), sets)


def false_positives(found: Detections, truth: Truth) -> Bools:
    """Which of n detections overlap no labelled face."""
    best = iou(found.boxes, truth.boxes).max(axis=1, initial=0)
    return np.asarray(best < FALSE_POSITIVE_IOU)


def _at_threshold(pairs: Sequence[tuple[Detections, Truth]], threshold: float) -> AtThreshold:
    hits = faces = wrong = 0
    for detections, truth in pairs:
        accepted = detections.from_score(threshold)
        found = matched(accepted.boxes, accepted.scores, truth.boxes)
        hits += int((found & ~truth.ignored).sum())
        faces += int((~truth.ignored).sum())
        wrong += int(false_positives(accepted, truth).sum())
    recall = hits / faces if faces else float("nan")
    return AtThreshold(threshold, recall, wrong / max(len(pairs), 1))
