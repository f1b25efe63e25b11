"""Areas and overlaps of boxes: n x 4 arrays of x1, y1, x2, y2."""

import numpy as np
import numpy.typing as npt

from facepaint.records.faces import Box

Floats = npt.NDArray[np.floating]


def areas(boxes: Floats) -> Floats:
    """The areas of n boxes; 0 where a side is negative."""
    return np.asarray(np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1))


def intersections(boxes: Floats, others: Floats) -> Floats:
    """The area that every pair of n and m boxes shares: n x m."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=2))


def iou(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of every pair of n and m boxes: n x m, 0 where both are empty."""
    shared = intersections(boxes, others)
    union = areas(boxes)[:, None] + areas(others)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0))


def shared_part(a: Box, b: Box) -> float:
    """The share of the smaller box that lies in the other; 0 if one is empty."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0.0, width) * max(0.0, height) / smaller if smaller > 0 else 0.0
