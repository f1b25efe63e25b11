"""The training losses."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.lab.training.assign import assign, intersection_over_union
from models.lab.training.network import decode_boxes, decode_landmarks, decode_scores

CLEAR_PX = 24.0
"""Size of a face (root of its area) from which its landmarks have full weight."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The faces of a batch, those of all images concatenated.

    Attributes:
        images: m int64, the image of each face.
        boxes: m x 4 px.
        points: m x 5 x 2 px; NaN if unknown.
        learn: m bool; the others are too small or uncertain, and count neither as faces nor as
            background.
    """

    images: Tensor
    boxes: Tensor
    points: Tensor
    learn: Tensor

    def to(self, device: torch.device) -> "Targets":
        """The same on another device."""
        return Targets(
            *(part.to(device) for part in (self.images, self.boxes, self.points, self.learn))
        )

    def chosen(self, rows: Tensor) -> "Targets":
        """Those of the rows (m bool)."""
        return Targets(self.images[rows], self.boxes[rows], self.points[rows], self.learn[rows])


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of the losses; all but ``object`` are averaged over the assigned cells."""

    object: float = 1.0
    classification: float = 1.0
    box: float = 5.0
    landmarks: float = 25.0


def detection_losses(
    raw: Tensor, grid: Tensor, targets: Targets, weights: Weights
) -> dict[str, Tensor]:
    """The weighted losses of a batch by name.

    Objectness counts every cell except those on ignored faces; class (its target is the cell's
    IoU), box and landmarks count only cells with an assigned face.

    Args:
        raw: n x cells x 16 float32, see `network.flatten_heads`.
        grid: cells x 3.
    """
    with torch.no_grad():
        boxes, scores = decode_boxes(raw, grid), decode_scores(raw)
    faces, ignored = targets.chosen(targets.learn), targets.chosen(~targets.learn)
    found = assign(boxes, scores, grid, faces.boxes, faces.images)
    count = max(1, len(found.cells))

    # Indexed once for the batch: for each index operation autograd fills a full gradient.
    mine = raw[found.images, found.cells]
    here = grid[found.cells]
    wanted = faces.boxes[found.faces]

    object_target = torch.zeros_like(raw[..., 1])
    object_target[found.images, found.cells] = 1.0
    counted = ~_on_faces(grid, ignored, len(raw))
    counted[found.images, found.cells] = True
    object_loss = functional.binary_cross_entropy_with_logits(
        raw[..., 1], object_target, reduction="none"
    )

    class_loss = functional.binary_cross_entropy_with_logits(
        mine[:, 0], found.overlaps, reduction="sum"
    )
    # Boxes and landmarks have gradients only where a face is assigned.
    box_loss = efficient_iou_loss(decode_boxes(mine, here), wanted).sum()
    points = faces.points[found.faces]
    return {
        "object": weights.object * (object_loss * counted).sum() / count,
        "class": weights.classification * class_loss / count,
        "box": weights.box * box_loss / count,
        "landmarks": weights.landmarks
        * landmark_loss(decode_landmarks(mine, here), points, wanted),
    }


def _on_faces(grid: Tensor, faces: Targets, images: int) -> Tensor:
    """Which cells lie on one of the faces: images x cells bool."""
    centres = (grid[:, :2] + 0.5) * grid[:, 2:]
    boxes = faces.boxes[:, None]
    # Half a cell more on each side: a tiny face may lie between the centres of cells.
    margin = grid[:, 2:] / 2
    inside = ((centres > boxes[..., :2] - margin) & (centres < boxes[..., 2:] + margin)).all(-1)
    covered = torch.zeros(images, len(grid), dtype=torch.int32, device=grid.device)
    return covered.index_add_(0, faces.images, inside.int()) > 0


def efficient_iou_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """EIoU (Zhang et al., 2021): 1 - IoU plus the distances of centre, width and height. k x 4
    each, to k."""
    size, wanted_size = boxes[:, 2:] - boxes[:, :2], wanted[:, 2:] - wanted[:, :2]
    hull = torch.maximum(boxes[:, 2:], wanted[:, 2:]) - torch.minimum(boxes[:, :2], wanted[:, :2])
    apart = (boxes[:, :2] + boxes[:, 2:] - wanted[:, :2] - wanted[:, 2:]) / 2
    centre = apart.square().sum(-1) / hull.square().sum(-1).clamp_min(1e-6)
    sides = ((size - wanted_size).square() / hull.square().clamp_min(1e-6)).sum(-1)
    return 1 - intersection_over_union(boxes, wanted) + centre + sides


def landmark_loss(points: Tensor, wanted: Tensor, boxes: Tensor) -> Tensor:
    """Smooth L1 of the points' distance in sizes of the face, over the known points.

    In px, the points of large faces would dominate all others. Faces smaller than `CLEAR_PX` have
    less weight: their points are not visible, and most of their labels are guesses.

    Args:
        points, wanted: k x 5 x 2 px; NaN in ``wanted`` if a point is unknown.
        boxes: k x 4 px.
    """
    known = ~wanted.isnan()
    if not known.any():
        # Zero, but connected to the graph, so that backward works.
        return points.sum() * 0.0
    size = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp_min(1.0).sqrt()[:, None, None]
    counts = known * (size / CLEAR_PX).clamp(0.1, 1.0)
    apart = (points - wanted.nan_to_num()) / size
    loss = functional.smooth_l1_loss(apart, torch.zeros_like(apart), beta=0.03, reduction="none")
    return (loss * counts).sum() / counts.sum()
