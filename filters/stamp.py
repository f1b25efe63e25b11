"""Paint artwork on planes: warp it into the region it covers and blend it there."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from filters.artwork import Artwork
from filters.planes import Planes, Region

Transform = npt.NDArray[np.float64]
"""A 3 x 3 affine transform."""


def stamp(planes: Planes, artwork: Artwork, to_frame: Transform) -> list[Region]:
    """Blend artwork into a frame, in place.

    Args:
        planes: the frame.
        artwork: what to paint.
        to_frame: from the artwork's units to px of the frame.

    Returns:
        The region touched, within the frame; none if the artwork lies outside of it.
    """
    level = artwork.level_for(math.sqrt(abs(float(np.linalg.det(to_frame[:2, :2])))))
    block = planes.block(*_bounds(artwork, to_frame))
    if block is None:
        return []
    # OpenCV counts from the centre of the first px, we count from its corner.
    warp = _shift(-0.5 - block.x1, -0.5 - block.y1) @ to_frame @ artwork.to_units(level) @ _shift(0.5, 0.5)
    source = artwork.coloured(level, planes.matrix, planes.full_range)
    size = (block.x2 - block.x1, block.y2 - block.y1)
    warped = cv2.warpAffine(source, warp[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    y, u, v, alpha = cv2.split(warped)
    luma = planes.luma(block)
    _blend(luma, y, alpha)
    if planes.chroma_shift_x or planes.chroma_shift_y:
        size = (size[0] >> planes.chroma_shift_x, size[1] >> planes.chroma_shift_y)
        _, u, v, alpha = cv2.split(cv2.resize(warped, size, interpolation=cv2.INTER_AREA))
    for samples, painted in zip(planes.chroma(block), (u, v), strict=True):
        _blend(samples, painted, alpha)
    return [planes.within(block)]


def _blend(samples: npt.NDArray[np.uint8], painted: cv2.typing.MatLike, alpha: cv2.typing.MatLike) -> None:
    """Put premultiplied samples over those of a plane, in place; px beyond the plane are left out."""
    height, width = samples.shape
    behind = cv2.multiply(np.ascontiguousarray(samples), cv2.bitwise_not(alpha[:height, :width]), scale=1 / 255)
    samples[...] = cv2.add(behind, painted[:height, :width])


def _bounds(artwork: Artwork, to_frame: Transform) -> tuple[float, float, float, float]:
    right, bottom = artwork.left + artwork.width, artwork.top + artwork.height
    corners = np.array(
        [[artwork.left, right, artwork.left, right], [artwork.top, artwork.top, bottom, bottom], [1] * 4]
    )
    x, y, _ = to_frame @ corners
    # Interpolation reaches one px further.
    return float(x.min()) - 1, float(y.min()) - 1, float(x.max()) + 1, float(y.max()) + 1


def _shift(x: float, y: float) -> Transform:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)
