"""Several looks at one picture, agreed by voting: automatic labels that no single look would
give."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from models.lab.evaluation.average_precision import iou
from models.lab.evaluation.detections import Floats, Found

SAME_FACE_IOU = 0.55
"""Boxes of several looks that overlap the fused one by more are of one face; the paper's value."""

LARGEST_PX = 300.0
"""Faces higher than that in a look may be missed by it: detectors of this size are made for no
larger ones."""

SEEN_WELL = 2.0
"""Looks in which a face is less than so many times the height of the smallest one found do not vote
against it."""

STEADY = 0.08
"""Landmarks are kept where the looks' lie within this share of the face's size, on average, of
their mean."""

MIRRORED = (1, 0, 2, 4, 3)
"""Which landmark each is in the mirrored picture: the subject's right eye is where the left one
was."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one pass of a detector found, in px of the picture; ``scale`` is px of its input for one
    of the picture."""

    found: Found
    scale: float


@dataclass(frozen=True, slots=True)
class Agreed:
    """A face as the looks have it together.

    ``box`` 4 px, ``points`` 5 x 2 px or None where they are not known or the looks disagree,
    ``score`` 0-1. ``votes`` are the looks that saw it.
    """

    box: Floats
    points: Floats | None
    score: float
    votes: int

    def is_sure(self, from_score: float) -> bool:
        """Whether at least two looks saw it, and the score reaches that of a working point."""
        return self.votes >= 2 and self.score >= from_score


@dataclass(slots=True)
class _Cluster:
    """Boxes of one face, one or more a look, and their mean weighted by score."""

    box: Floats
    looks: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    points: list[Floats] = field(default_factory=list)

    def add(self, look: int, score: float, box: Floats, points: Floats) -> None:
        """One more box: the mean moves towards it by its share of the scores."""
        self.looks.append(look)
        self.scores.append(score)
        self.points.append(points)
        self.box = self.box + (box - self.box) * (score / sum(self.scores))


def agree(looks: Sequence[Look], smallest_px: float) -> list[Agreed]:
    """Weighted Boxes Fusion (Solovyev, Wang, Gabruseva, Image and Vision Computing 107, 2021), best
    face first.

    Boxes take their turn by score; each joins the fused box that it overlaps most, which is the
    mean of its members weighted by score, or begins one. Landmarks are averaged in the same way. As
    in the paper a face's score is lowered by the looks that did not see it, but here only by those
    that could have: a look at a small copy of the picture sees no small faces.

    Args:
        looks: all at one picture, mirrored ones turned back by `mirrored_back`.
        smallest_px: height of the smallest face that the detector finds in its input.
    """
    clusters: list[_Cluster] = []
    rows = sorted(
        (-float(score), place, row)
        for place, look in enumerate(looks)
        for row, score in enumerate(look.found.scores)
    )
    fused = np.empty((len(rows), 4))
    for lowered, place, row in rows:
        found = looks[place].found
        overlaps = iou(found.boxes[row][None], fused[: len(clusters)])[0]
        best = int(overlaps.argmax()) if clusters else -1
        if best < 0 or overlaps[best] <= SAME_FACE_IOU:
            best = len(clusters)
            clusters.append(_Cluster(found.boxes[row]))
        clusters[best].add(place, -lowered, found.boxes[row], found.points[row])
        fused[best] = clusters[best].box
    agreed = sorted(
        (_agreed(cluster, looks, smallest_px) for cluster in clusters), key=lambda one: -one.score
    )
    kept: list[Agreed] = []
    for one in agreed:  # means move: two clusters may have come to lie on one face
        if (
            not kept
            or iou(one.box[None], np.stack([other.box for other in kept])).max() <= SAME_FACE_IOU
        ):
            kept.append(one)
    return kept


def mirrored_back(found: Found, width: float) -> Found:
    """What was found in a mirrored picture ``width`` px wide, in px of the picture itself."""
    boxes = found.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = width - boxes[:, [0, 2]]
    points = found.points[:, MIRRORED].copy()
    points[:, :, 0] = width - points[:, :, 0]
    return Found(boxes, found.scores, points)


def _agreed(cluster: _Cluster, looks: Sequence[Look], smallest_px: float) -> Agreed:
    box = cluster.box
    height = float(box[3] - box[1])
    best: dict[int, float] = {}
    for place, score in zip(cluster.looks, cluster.scores, strict=True):
        best[place] = max(score, best.get(place, 0.0))
    able = {
        place
        for place, look in enumerate(looks)
        if SEEN_WELL * smallest_px <= height * look.scale <= LARGEST_PX
    }
    able |= best.keys()
    return Agreed(box, _steady_points(cluster, box), sum(best.values()) / len(able), len(best))


def _steady_points(cluster: _Cluster, box: Floats) -> Floats | None:
    points, weights = np.stack(cluster.points), np.array(cluster.scores)
    known = np.isfinite(points).all(axis=(1, 2))
    if not known.any():
        return None
    points, weights = points[known], weights[known]
    mean = np.average(points, axis=0, weights=weights)
    size = float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1.0)))
    spread = np.linalg.norm(points - mean, axis=2).mean()
    return np.asarray(mean, np.float64) if spread <= STEADY * size else None
