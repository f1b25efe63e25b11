"""Average precision of detections against labelled faces: the WIDER FACE protocol, or by face size.

The matching is that of the WIDER FACE tool (Yang et al., "WIDER FACE: A Face Detection Benchmark",
CVPR 2016), which every published easy, medium and hard figure comes from:

- In an image, detections are matched in the order of falling score. Each is matched with the face
  that it overlaps most, counted or ignored; below IoU 0.5 it is a false positive.
- If that face is ignored in the set, the detection is not counted. If it is counted and free, it is
  found. If it was found before, the detection is a false positive.
- Precision is made monotonic (the highest at that recall or any higher), and the area under it is
  the average precision, as in PASCAL VOC since 2010.

Where this is exact, the tool is not: it samples the curve at 1000 equal steps of the scores,
stretched over all images to 0-1, and adds one px to each side of a box. Here every score is a step
and boxes are continuous. Both agree to 0.005 on boxes of a usual size; a test checks that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.boxes import Floats, areas, iou

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
image."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One image's detections and labelled faces.

    Attributes:
        boxes, scores: n detections: n x 4 px and n.
        faces, ignored: m labelled faces: m x 4 px, and m, true for faces that are in no set.
        sets: by name, which of the m faces are in a set. Those of `WIDER_SETS` are absent if the
            labels lack them.
    """

    boxes: Floats
    scores: Floats
    faces: Floats
    ignored: Bools
    sets: dict[str, Bools] = field(default_factory=dict)

    @property
    def is_in_sets(self) -> bool:
        """Whether the labels have WIDER FACE's sets."""
        return self.sets.keys() >= set(WIDER_SETS)


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall down to each distinct score, highest first, of ``faces`` faces."""

    scores: Floats
    precision: Floats
    recall: Floats
    faces: int

    @property
    def average_precision(self) -> float:
        """The area under the monotonic precision, 0-1; NaN without faces."""
        if not self.faces:
            return float("nan")
        falling = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float(np.sum(np.diff(self.recall, prepend=0.0) * falling))


def curves(images: Sequence[Scored]) -> dict[str, Curve]:
    """By WIDER FACE's sets if the labels have them for every face, else by face size."""
    counted = [image for image in images if not image.ignored.all()]
    everywhere = all(image.is_in_sets for image in counted)
    anywhere = any(image.is_in_sets for image in images)
    return set_curves(images) if everywhere and anywhere else size_curves(images)


def set_curves(images: Sequence[Scored], names: Sequence[str] = WIDER_SETS) -> dict[str, Curve]:
    """A curve for each set; the faces outside it are ignored."""
    judged = [np.ones(len(image.boxes), bool) for image in images]
    by_set = {}
    for name in names:
        counted = [~image.ignored & image.sets.get(name, False) for image in images]
        by_set[name] = _curve(images, counted, judged)
    return by_set


def size_curves(images: Sequence[Scored]) -> dict[str, Curve]:
    """A curve for all faces and one for each of `SIZE_CLASSES`.

    Faces of other sizes are ignored, and a detection of another size that matches no face is no
    false positive.
    """
    by_size = {}
    for name, (low, high) in {"all": (0.0, np.inf), **SIZE_CLASSES}.items():
        counted = [_sized(image.faces, low, high) & ~image.ignored for image in images]
        judged = [_sized(image.boxes, low, high) for image in images]
        by_size[name] = _curve(images, counted, judged)
    return by_size


def match(boxes: Floats, scores: Floats, faces: Floats) -> tuple[npt.NDArray[np.intp], Bools]:
    """Pair detections with faces.

    Args:
        boxes: n x 4 px.
        scores: n.
        faces: m x 4 px.

    Returns:
        For each detection the row of the face that it overlaps most, -1 below `MATCH_IOU`; and
        whether it is the best one of that face.
    """
    best = np.zeros(len(boxes), bool)
    if not len(faces):
        return np.full(len(boxes), -1), best
    overlaps = iou(boxes, faces)
    rows = np.where(overlaps.max(axis=1) >= MATCH_IOU, overlaps.argmax(axis=1), -1)
    order = np.argsort(-scores, kind="stable")
    # The first of each row in the order of scores is the best.
    _, places = np.unique(rows[order], return_index=True)
    best[order[places]] = True
    return rows, best & (rows >= 0)


def matched(boxes: Floats, scores: Floats, faces: Floats) -> Bools:
    """Which of m faces have a detection; arguments as those of `match`."""
    rows, best = match(boxes, scores, faces)
    is_matched = np.zeros(len(faces), bool)
    is_matched[rows[best]] = True
    return is_matched


def _curve(images: Sequence[Scored], counted: Sequence[Bools], judged: Sequence[Bools]) -> Curve:
    """Of the faces ``counted``; ``judged`` are the detections that are false positives if they
    match no face."""
    parts = list(_scored_hits(images, counted, judged))
    scores = np.concatenate([np.zeros(0), *(scores for scores, _ in parts)])
    hits = np.concatenate([np.zeros(0, bool), *(hits for _, hits in parts)])
    return precision_recall(scores, hits, sum(int(faces.sum()) for faces in counted))


def _scored_hits(
    images: Sequence[Scored], counted: Sequence[Bools], judged: Sequence[Bools]
) -> Iterator[tuple[Floats, Bools]]:
    """For each image the scores of the detections that matter, and which of them found a face."""
    for image, wanted, is_judged in zip(images, counted, judged, strict=True):
        rows, best = match(image.boxes, image.scores, image.faces)
        # Row -1, no face, is the appended False.
        on_wanted = np.append(wanted, False)[rows]
        matters = np.where(rows >= 0, on_wanted, is_judged)
        yield image.scores[matters], (on_wanted & best)[matters]


def precision_recall(scores: Floats, hits: Bools, faces: int) -> Curve:
    """The curve of n detections, of which ``hits`` found one of ``faces`` faces. Equal scores are
    one step."""
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(hits[order])
    # Equal scores are one step, at the last of them.
    steps = np.flatnonzero(np.append(scores[:-1] != scores[1:], True)[: len(scores)])
    return Curve(scores[steps], found[steps] / (steps + 1), found[steps] / max(faces, 1), faces)


def _sized(boxes: Floats, low: float, high: float) -> Bools:
    sizes = np.sqrt(areas(boxes))
    return (low <= sizes) & (sizes < high)
