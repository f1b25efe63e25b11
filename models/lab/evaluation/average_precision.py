"""Average precision of detections against labelled faces: the WIDER FACE protocol, or by face size.

The matching is that of the WIDER FACE tool (Yang et al., "WIDER FACE: A Face Detection Benchmark",
CVPR 2016), which every published easy, medium and hard figure comes from:

- In a picture, detections take their turn by falling score. Each looks only at the face it overlaps
  most, counted or ignored; below IoU 0.5 it is a false alarm.
- If that face is ignored in the set, the detection counts as nothing. If it is counted and free,
  the face is found. If it was found before, the detection is a false alarm.
- Precision is made falling from right to left (the largest at that recall or any higher), and the
  area under it is the average precision, as in PASCAL VOC since 2010.

Where ours is exact: the tool samples the curve at 1000 equal steps of the scores, stretched over
all pictures to 0-1, and adds one px to each side of a box; here every score is a step of its own
and boxes are continuous. Both agree to 0.005 on boxes of a usual size; a test holds that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

MATCH_IOU = 0.5

WIDER_SETS = ("easy", "medium", "hard")

SIZE_CLASSES = {
    "<16 px": (0.0, 16.0),
    "16-32 px": (16.0, 32.0),
    "32-96 px": (32.0, 96.0),
    ">=96 px": (96.0, np.inf),
}
"""Half-open ranges of a face's size: the square root of its box's area, in px of the labelled
picture."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One picture's detections beside its labelled faces.

    ``boxes`` n x 4 and ``faces`` m x 4 as x1, y1, x2, y2 in px; ``scores`` n; ``ignored`` m: faces
    that are in no set.
    ``sets`` tells by name which faces are in a set, m each; those of `WIDER_SETS` are missing where
    the labels don't say.
    """

    boxes: Floats
    scores: Floats
    faces: Floats
    ignored: Bools
    sets: dict[str, Bools] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall down to each distinct score, highest first; ``faces`` were to be
    found."""

    scores: Floats
    precision: Floats
    recall: Floats
    faces: int

    @property
    def average_precision(self) -> float:
        """The area under the falling precision, 0-1; NaN where no face was to be found."""
        if not self.faces:
            return float("nan")
        falling = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float(np.sum(np.diff(self.recall, prepend=0.0) * falling))


def curves(pictures: Sequence[Scored]) -> dict[str, Curve]:
    """By WIDER FACE's sets where the labels tell them for every face, else by face size."""
    told = [picture.sets.keys() >= set(WIDER_SETS) for picture in pictures]
    everywhere = all(
        known or picture.ignored.all() for known, picture in zip(told, pictures, strict=True)
    )
    return set_curves(pictures) if everywhere and any(told) else size_curves(pictures)


def set_curves(pictures: Sequence[Scored], names: Sequence[str] = WIDER_SETS) -> dict[str, Curve]:
    """A curve for each set; the faces outside it are ignored."""
    judged = [np.ones(len(picture.boxes), bool) for picture in pictures]
    found = {}
    for name in names:
        counted = [~picture.ignored & picture.sets.get(name, False) for picture in pictures]
        found[name] = _curve(pictures, counted, judged)
    return found


def size_curves(pictures: Sequence[Scored]) -> dict[str, Curve]:
    """A curve for all faces and one for each of `SIZE_CLASSES`.

    Faces of other sizes are ignored, and a detection of another size that matches no face is no
    false alarm.
    """
    found = {}
    for name, (low, high) in {"all": (0.0, np.inf), **SIZE_CLASSES}.items():
        counted = [_sized(picture.faces, low, high) & ~picture.ignored for picture in pictures]
        judged = [_sized(picture.boxes, low, high) for picture in pictures]
        found[name] = _curve(pictures, counted, judged)
    return found


def match(boxes: Floats, scores: Floats, faces: Floats) -> tuple[npt.NDArray[np.intp], Bools]:
    """Pair detections with faces.

    Args:
        boxes: n x 4 px.
        scores: n.
        faces: m x 4 px.

    Returns:
        For each detection the row of the face it overlaps most, -1 below `MATCH_IOU`; and whether
        it is the best of those that chose this face.
    """
    first = np.zeros(len(boxes), bool)
    if not len(faces):
        return np.full(len(boxes), -1), first
    overlaps = iou(boxes, faces)
    chosen = np.where(overlaps.max(axis=1) >= MATCH_IOU, overlaps.argmax(axis=1), -1)
    order = np.argsort(-scores, kind="stable")
    _, places = np.unique(chosen[order], return_index=True)
    first[order[places]] = True
    return chosen, first & (chosen >= 0)


def iou(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of every pair of n x 4 and m x 4 boxes: n x m, 0 where both are
    empty."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    union = _areas(boxes)[:, None] + _areas(others)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0))


def _curve(pictures: Sequence[Scored], counted: Sequence[Bools], judged: Sequence[Bools]) -> Curve:
    """``counted`` tells which faces must be found, ``judged`` which detections are false alarms if
    they match none."""
    scores: list[Floats] = [np.zeros(0)]
    hits: list[Bools] = [np.zeros(0, bool)]
    for picture, wanted, alarming in zip(pictures, counted, judged, strict=True):
        chosen, first = match(picture.boxes, picture.scores, picture.faces)
        on_wanted = np.append(wanted, False)[chosen]
        matters = np.where(chosen >= 0, on_wanted, alarming)
        scores.append(picture.scores[matters])
        hits.append((on_wanted & first)[matters])
    faces = sum(int(wanted.sum()) for wanted in counted)
    return precision_recall(np.concatenate(scores), np.concatenate(hits), faces)


def precision_recall(scores: Floats, hits: Bools, faces: int) -> Curve:
    """The curve of n detections, of which ``hits`` found one of ``faces`` faces. Equal scores are
    one step."""
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(hits[order])
    steps = (
        np.flatnonzero(np.append(scores[:-1] != scores[1:], True))
        if len(scores)
        else np.zeros(0, int)
    )
    return Curve(scores[steps], found[steps] / (steps + 1), found[steps] / max(faces, 1), faces)


def _sized(boxes: Floats, low: float, high: float) -> Bools:
    sizes = np.sqrt(_areas(boxes))
    return (low <= sizes) & (sizes < high)


def _areas(boxes: Floats) -> Floats:
    return np.asarray(np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1))
