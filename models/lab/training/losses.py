"""What training makes small."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.lab.training.assign import assign, intersection_over_union
from models.lab.training.network import decode_boxes, decode_landmarks, decode_scores

CLEAR_PX = 24.0
"""Size of a face (root of its area) from which its landmarks count in full."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The faces of a batch, those of all its pictures one after another.

    Attributes:
        pictures: m int64: the picture that each is in.
        boxes: m x 4 px.
        points: m x 5 x 2 px; NaN where unknown.
        learn: m bool: to be found; the others are too small or unsure, neither to be found nor
            taken for background.
    """

    pictures: Tensor
    boxes: Tensor
    points: Tensor
    learn: Tensor

    def to(self, device: torch.device) -> "Targets":
        """The same on another device."""
        return Targets(
            *(part.to(device) for part in (self.pictures, self.boxes, self.points, self.learn))
        )

    def chosen(self, rows: Tensor) -> "Targets":
        """Those of the rows (m bool)."""
        return Targets(self.pictures[rows], self.boxes[rows], self.points[rows], self.learn[rows])


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each part counts; all but ``object`` are averaged over the cells that learn a
    face."""

    object: float = 1.0
    classification: float = 1.0
    box: float = 5.0
    landmarks: float = 25.0


def detection_losses(
    raw: Tensor, grid: Tensor, targets: Targets, weights: Weights
) -> dict[str, Tensor]:
    """The weighted losses of a batch by name.

    Objectness is learnt by every cell but those on ignored faces, the class (whose target is the
    IoU that the cell reaches), box and landmarks only by the cells assigned to a face.

    Args:
        raw: n x cells x 16 float32, see `network.flatten_heads`.
        grid: cells x 3.
    """
    with torch.no_grad():
        boxes, scores = decode_boxes(raw, grid), decode_scores(raw)
    faces, ignored = targets.chosen(targets.learn), targets.chosen(~targets.learn)
    found = assign(boxes, scores, grid, faces.boxes, faces.pictures)
    count = max(1, len(found.cells))

    # Once for the whole batch: indexing picture by picture makes autograd fill a gradient of the
    # full size each time.
    mine = raw[found.pictures, found.cells]
    here = grid[found.cells]
    wanted = faces.boxes[found.faces]

    object_target = torch.zeros_like(raw[..., 1])
    object_target[found.pictures, found.cells] = 1.0
    counted = ~_on_faces(grid, ignored, len(raw))
    counted[found.pictures, found.cells] = True
    object_loss = functional.binary_cross_entropy_with_logits(
        raw[..., 1], object_target, reduction="none"
    )

    class_loss = functional.binary_cross_entropy_with_logits(
        mine[:, 0], found.overlaps, reduction="sum"
    )
    box_loss = efficient_iou_loss(decode_boxes(mine, here), wanted).sum()
    points = faces.points[found.faces]
    return {
        "object": weights.object * (object_loss * counted).sum() / count,
        "class": weights.classification * class_loss / count,
        "box": weights.box * box_loss / count,
        "landmarks": weights.landmarks
        * landmark_loss(decode_landmarks(mine, here), points, wanted),
    }


def _on_faces(grid: Tensor, faces: Targets, pictures: int) -> Tensor:
    """Which cells lie on one of the faces: pictures x cells bool."""
    centres = (grid[:, :2] + 0.5) * grid[:, 2:]
    boxes = faces.boxes[:, None]
    # Half a cell more on each side: a tiny face may lie between the centres of the cells that see
    # it.
    margin = grid[:, 2:] / 2
    inside = ((centres > boxes[..., :2] - margin) & (centres < boxes[..., 2:] + margin)).all(-1)
    covered = torch.zeros(pictures, len(grid), dtype=torch.int32, device=grid.device)
    return covered.index_add_(0, faces.pictures, inside.int()) > 0


def efficient_iou_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """EIoU (Zhang et al., 2021): 1 - IoU plus how far apart centre, width and height are. k x 4
    each, to k."""
    size, wanted_size = boxes[:, 2:] - boxes[:, :2], wanted[:, 2:] - wanted[:, :2]
    hull = torch.maximum(boxes[:, 2:], wanted[:, 2:]) - torch.minimum(boxes[:, :2], wanted[:, :2])
    apart = (boxes[:, :2] + boxes[:, 2:] - wanted[:, :2] - wanted[:, 2:]) / 2
    centre = apart.square().sum(-1) / hull.square().sum(-1).clamp_min(1e-6)
    sides = ((size - wanted_size).square() / hull.square().clamp_min(1e-6)).sum(-1)
    return 1 - intersection_over_union(boxes, wanted) + centre + sides


def landmark_loss(points: Tensor, wanted: Tensor, boxes: Tensor) -> Tensor:
    """Smooth L1 of the points' distance in sizes of the face, over the faces whose points are
    known.

    In sizes of the face, so that a large face's points, whose px are many, do not drown all others.
    Faces smaller than `CLEAR_PX` count for less: their points can't be seen, and the labels of most
    were guessed.

    Args:
        points, wanted: k x 5 x 2 px; NaN in ``wanted`` where a point is unknown.
        boxes: k x 4 px.
    """
    known = ~wanted.isnan()
    if not known.any():
        return points.sum() * 0.0
    size = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp_min(1.0).sqrt()[:, None, None]
    counts = known * (size / CLEAR_PX).clamp(0.1, 1.0)
    apart = (points - wanted.nan_to_num()) / size
    loss = functional.smooth_l1_loss(apart, torch.zeros_like(apart), beta=0.03, reduction="none")
    return (loss * counts).sum() / counts.sum()
