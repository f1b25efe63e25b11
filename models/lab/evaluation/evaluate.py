"""Hold what a detector finds in labelled pictures against what is there."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facepaint.detectors.labels import LabelledImage
from facepaint.records.detector_card import DetectorCard
from models import DetectorModel
from models.lab.evaluation.average_precision import (
    WIDER_SETS,
    Bools,
    Curve,
    Scored,
    curves,
    iou,
    match,
    set_curves,
)
from models.lab.evaluation.detections import Found, Options, detect_all
from models.lab.evaluation.landmarks import POSES, landmark_errors, pose_sets

Floats = npt.NDArray[np.float64]

WORKING_POINTS = {"redaction": 0.3, "stickers": 0.68}
"""From which score on the product takes a detection for a face, unless the detector's card says
otherwise."""

ALARM_IOU = 0.1
"""A detection that overlaps no labelled face by more is a false alarm to the eye, not a loose
box."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the labels say of one picture.

    ``boxes`` m x 4 px, ``points`` m x 5 x 2 px, NaN where not known, ``ignored`` m, and ``sets`` by
    name, m each.
    """

    boxes: Floats
    points: Floats
    ignored: Bools
    sets: dict[str, Bools]


@dataclass(frozen=True, slots=True)
class AtScore:
    """What a detector does from a score on: the share of faces found (0-1), and false alarms a
    picture.

    A detection that overlaps no labelled face, ignored or not, by `ALARM_IOU` is a false alarm.
    """

    score: float
    recall: float
    false_alarms: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One detector over one set of pictures.

    Attributes:
        curves: precision and recall by set of faces.
        at_score: by the use made of it, as `WORKING_POINTS`.
        landmark_errors: one for each labelled face, picture by picture; see
            `models.lab.evaluation.landmarks.landmark_errors`.
    """

    curves: dict[str, Curve]
    at_score: dict[str, AtScore]
    landmark_errors: Floats


def split(
    pictures: Sequence[LabelledImage], share: float = 0.1
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Part pictures into those to train on and those to validate with, the same way on every
    machine and every day.

    The sha256 of its file name decides on a picture, so neither the others nor their order matter.
    """
    parts: tuple[list[LabelledImage], list[LabelledImage]] = ([], [])
    for picture in pictures:
        digest = hashlib.sha256(picture.image.encode()).digest()
        parts[int.from_bytes(digest[:8]) < share * 2**64].append(picture)
    return parts


def evaluate(
    model: DetectorModel, folder: Path, pictures: Sequence[LabelledImage], options: Options
) -> Evaluation:
    """Run one detector over pictures of a labelled folder; see `detect_all` for errors."""
    found = detect_all(model, folder, pictures, options)
    return judge(found, [truth_of(picture) for picture in pictures], working_points(model.card))


def working_points(card: DetectorCard) -> dict[str, float]:
    """From which score on the product takes a detection of this detector for a face, by the use
    made of it."""
    own = {"redaction": card.redaction, "stickers": card.stickers}
    return {use: scores.accept if scores else WORKING_POINTS[use] for use, scores in own.items()}


def judge(
    found: Sequence[Found], truths: Sequence[Truth], points: Mapping[str, float]
) -> Evaluation:
    """Hold detections against labels, picture by picture; ``points`` are the scores of
    `working_points`."""
    pairs = list(zip(found, truths, strict=True))
    scored = [
        Scored(one.boxes, one.scores, truth.boxes, truth.ignored, truth.sets)
        for one, truth in pairs
    ]
    drawn = curves(scored)
    if any(np.isfinite(truth.points).all(axis=(1, 2)).any() for truth in truths):
        drawn |= set_curves(scored, POSES)
    errors = [np.zeros(0)]
    for one, truth in pairs:
        sure = one.from_score(points["redaction"])
        errors.append(
            landmark_errors(sure.boxes, sure.scores, sure.points, truth.boxes, truth.points)
        )
    at_score = {use: _at_score(pairs, score) for use, score in points.items()}
    return Evaluation(drawn, at_score, np.concatenate(errors))


def truth_of(picture: LabelledImage) -> Truth:
    """A picture's labels as arrays."""
    unknown = (float("nan"),) * 10
    faces = picture.faces
    points = np.array([face.landmarks or unknown for face in faces], np.float64).reshape(-1, 5, 2)
    sets = pose_sets(points)
    for name in WIDER_SETS:
        known = [getattr(face, name) for face in faces]
        if faces and None not in known:
            sets[name] = np.array(known, bool)
    boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
    return Truth(boxes, points, np.array([face.ignore for face in faces], bool), sets)


def _at_score(pairs: Sequence[tuple[Found, Truth]], score: float) -> AtScore:
    found = faces = alarms = 0
    for every, truth in pairs:
        one = every.from_score(score)
        chosen, first = match(one.boxes, one.scores, truth.boxes)
        found += int((~truth.ignored[chosen[first]]).sum())
        faces += int((~truth.ignored).sum())
        nearest = iou(one.boxes, truth.boxes).max(axis=1, initial=0)
        alarms += int((nearest < ALARM_IOU).sum())
    return AtScore(score, found / faces if faces else float("nan"), alarms / max(len(pairs), 1))
