"""Assigns faces to cells: SimOTA (Ge et al., YOLOX, 2021), for a whole batch at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

CENTRE_RADIUS = 2.5
"""A face may be assigned to the cells within this many strides of its centre, or in its box."""

CANDIDATES = 10
"""The number of cells of a face is the sum of this many best overlaps."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """The cells to which faces are assigned, in no order.

    Attributes:
        images, cells, faces: k int64 each: face ``faces[i]``, a row of the faces given, is
            assigned to cell ``cells[i]`` of image ``images[i]``.
        overlaps: k float32, the IoU of the cell's box with that face.
    """

    images: Tensor
    cells: Tensor
    faces: Tensor
    overlaps: Tensor


def intersection_over_union(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of boxes (... x 4) with others (... x 4), broadcast."""
    corner = torch.minimum(boxes[..., 2:], others[..., 2:]) - torch.maximum(
        boxes[..., :2], others[..., :2]
    )
    shared = corner.clamp_min(0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1) + (others[..., 2:] - others[..., :2]).prod(-1)
    return shared / (area - shared).clamp_min(1e-9)


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, grid: Tensor, faces: Tensor, images: Tensor) -> Assigned:
    """Choose for each face the cells near it whose predictions fit it best.

    Args:
        boxes: n x cells x 4, as predicted.
        scores: n x cells, 0-1.
        grid: cells x 3, see `network.cell_grid`.
        faces: m x 4 px, those of all images concatenated.
        images: m int64, the image of each face.
    """
    centres = (grid[:, :2] + 0.5) * grid[:, 2:]
    middle = (faces[:, :2] + faces[:, 2:]) / 2
    inside = ((centres > faces[:, None, :2]) & (centres < faces[:, None, 2:])).all(-1)
    near = ((centres - middle[:, None]).abs() < CENTRE_RADIUS * grid[:, 2:]).all(-1)
    allowed = inside | near

    overlaps = intersection_over_union(faces[:, None], boxes[images])
    likelihood = scores[images].clamp(1e-6, 1 - 1e-6).log()
    # Cells both inside and near come first; others only if there are too few.
    cost = -likelihood - 3.0 * (overlaps + 1e-8).log() + 1e5 * ~(inside & near)
    cost = cost.masked_fill(~allowed, torch.inf)

    best = (overlaps * allowed).topk(CANDIDATES, -1).values
    wanted = best.sum(-1).int().clamp_min(1)
    cheapest, cells = cost.topk(CANDIDATES, -1, largest=False)
    chosen = (torch.arange(CANDIDATES, device=cells.device) < wanted[:, None]) & cheapest.isfinite()
    rows, ranks = chosen.nonzero(as_tuple=True)
    columns = cells[rows, ranks]
    # A cell can predict only one face.
    kept = _cheapest_of_each(images[rows] * len(grid) + columns, cheapest[rows, ranks])
    rows, columns = rows[kept], columns[kept]
    return Assigned(images[rows], columns, rows, overlaps[rows, columns])


def _cheapest_of_each(keys: Tensor, costs: Tensor) -> Tensor:
    """The rows with the lowest cost of their key: a cell gets one face, even if several fit it."""
    order = costs.argsort(stable=True)
    different, inverse = keys[order].unique(return_inverse=True)
    ranks = torch.arange(len(order), device=keys.device)
    first = torch.full((len(different),), len(order), device=keys.device).scatter_reduce(
        0, inverse, ranks, "amin"
    )
    return order[first]
