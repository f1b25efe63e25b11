"""Fuses the detections of several views of one image: a vote gives better automatic labels than any
single view."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from facepaint.records.faces import MIRRORED
from models.boxes import areas, iou
from models.lab.evaluation.detections import Detections, Floats

SAME_FACE_IOU = 0.55
"""A detection that overlaps a fused box by more is of the same face; the paper's value."""

LARGEST_PX = 300.0
"""A view may miss faces that are higher in it: small detectors are not made for larger ones."""

SEEN_WELL = 2.0
"""A view votes against a face only if the face is this many times as high in it as the smallest
face that the detector finds."""

STEADY = 0.08
"""Landmarks are kept if the views' lie within this share of the face's size, on average, of their
mean."""


@dataclass(frozen=True, slots=True)
class View:
    """The detections in one scaled or mirrored copy of an image, in px of the image.

    ``scale`` is px of the copy for one px of the image.
    """

    found: Detections
    scale: float

    def must_see(self, height: float, smallest_px: float) -> bool:
        """Whether a face of that height in the image would be found in this view."""
        return SEEN_WELL * smallest_px <= height * self.scale <= LARGEST_PX


@dataclass(frozen=True, slots=True)
class FusedFace:
    """A face on which views agree.

    ``box`` 4 px, ``points`` 5 x 2 px, None if unknown or if the views disagree, ``score`` 0-1, and
    ``votes``, the number of views that found it.
    """

    box: Floats
    points: Floats | None
    score: float
    votes: int

    def is_accepted(self, threshold: float) -> bool:
        """Whether at least two views found it, and its score reaches the threshold."""
        return self.votes >= 2 and self.score >= threshold


@dataclass(slots=True)
class _Cluster:
    """The detections of one face, and their mean box weighted by score."""

    box: Floats
    views: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    points: list[Floats] = field(default_factory=list)

    def add(self, view: int, score: float, box: Floats, points: Floats) -> None:
        """Add a detection and update the mean."""
        self.views.append(view)
        self.scores.append(score)
        self.points.append(points)
        self.box = self.box + (box - self.box) * (score / sum(self.scores))


def fuse(views: Sequence[View], smallest_px: float) -> list[FusedFace]:
    """Weighted Boxes Fusion (Solovyev, Wang, Gabruseva, Image and Vision Computing 107, 2021), best
    face first.

    In the order of their scores, detections join the fused box that they overlap most, which is
    their mean weighted by score, or start a new one. Landmarks are averaged likewise. As in the
    paper a face's score is lowered by the views that did not find it, but here only by those that
    should have: a view at a small scale shows no small faces.

    Args:
        views: of one image; detections of mirrored ones as `mirrored_back` gives them.
        smallest_px: height of the smallest face that the detector finds in its input.
    """
    fused = [_fused(cluster, views, smallest_px) for cluster in _clusters(views)]
    fused.sort(key=lambda face: -face.score)
    kept: list[FusedFace] = []
    for face in fused:
        # The means move: two clusters may end on the same face.
        boxes = np.array([other.box for other in kept]).reshape(-1, 4)
        if iou(face.box[None], boxes).max(initial=0) <= SAME_FACE_IOU:
            kept.append(face)
    return kept


def _clusters(views: Sequence[View]) -> list[_Cluster]:
    clusters: list[_Cluster] = []
    rows = sorted(
        (-float(score), place, row)
        for place, view in enumerate(views)
        for row, score in enumerate(view.found.scores)
    )
    boxes = np.empty((len(rows), 4))
    for negative_score, place, row in rows:
        found = views[place].found
        overlaps = iou(found.boxes[row][None], boxes[: len(clusters)])[0]
        if overlaps.max(initial=0) > SAME_FACE_IOU:
            best = int(overlaps.argmax())
        else:
            best = len(clusters)
            clusters.append(_Cluster(found.boxes[row]))
        clusters[best].add(place, -negative_score, found.boxes[row], found.points[row])
        boxes[best] = clusters[best].box
    return clusters


def _fused(cluster: _Cluster, views: Sequence[View], smallest_px: float) -> FusedFace:
    # Several detections of one view are one vote, with the best score.
    best: dict[int, float] = {}
    for place, score in zip(cluster.views, cluster.scores, strict=True):
        best[place] = max(score, best.get(place, 0.0))
    height = float(cluster.box[3] - cluster.box[1])
    voters = {place for place, view in enumerate(views) if view.must_see(height, smallest_px)}
    score = sum(best.values()) / len(voters | best.keys())
    return FusedFace(cluster.box, _steady_points(cluster), score, len(best))


def _steady_points(cluster: _Cluster) -> Floats | None:
    points, weights = np.stack(cluster.points), np.array(cluster.scores)
    known = np.isfinite(points).all(axis=(1, 2))
    if not known.any():
        return None
    points, weights = points[known], weights[known]
    mean = np.average(points, axis=0, weights=weights)
    size = float(np.sqrt(max(areas(cluster.box[None])[0], 1.0)))
    spread = np.linalg.norm(points - mean, axis=2).mean()
    return np.asarray(mean, np.float64) if spread <= STEADY * size else None


def mirrored_back(found: Detections, width: float) -> Detections:
    """The detections in a mirrored image ``width`` px wide, in px of the image itself."""
    boxes = found.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = width - boxes[:, [0, 2]]
    points = found.points[:, MIRRORED].copy()
    points[:, :, 0] = width - points[:, :, 0]
    return Detections(boxes, found.scores, points)
