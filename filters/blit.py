"""Paint artwork on planes: warp it into the region it covers and blend it there."""

import cv2
import numpy as np

from filters.affine import Affine
from filters.artwork import Artwork
from filters.planes import Pixels, Planes, Rect


def blit(
    planes: Planes, artwork: Artwork, to_frame: Affine, opacity: float = 1.0, light: float = 1.0
) -> list[Rect]:
    """Blend artwork into a frame, in place.

    Args:
        planes: the frame.
        artwork: what to paint.
        to_frame: from the artwork's units to px of the frame.
        opacity: from 0, which paints nothing, to 1.
        light: how much of its own brightness it shows, from 0, which is black, to 1.

    Returns:
        The region touched, within the frame; none if the artwork lies outside of it.
    """
    if opacity <= 0:
        return []
    block = planes.block(*_bounds(artwork, to_frame))
    if block is None:
        return []
    level = artwork.level_for(to_frame.scale)
    # OpenCV counts from the centre of the first px, we count from its corner.
    to_block = Affine.shift(-0.5 - block.x1, -0.5 - block.y1) @ to_frame @ artwork.to_units(level)
    source = artwork.coloured(level, planes.matrix, planes.full_range)
    warped = cv2.warpAffine(
        source, (to_block @ Affine.shift(0.5, 0.5)).matrix, block.size, flags=cv2.INTER_LINEAR
    )
    if opacity < 1:
        warped = cv2.convertScaleAbs(warped, alpha=opacity)
    y, u, v, alpha = _split(warped)
    planes.composite(0, block, _dimmed(y, alpha, light, 0 if planes.full_range else 16), alpha)
    if planes.chroma_shift_x or planes.chroma_shift_y:
        size = (block.size[0] >> planes.chroma_shift_x, block.size[1] >> planes.chroma_shift_y)
        _, u, v, alpha = _split(cv2.resize(warped, size, interpolation=cv2.INTER_AREA))
    planes.composite(1, block, _dimmed(u, alpha, light, 128), alpha)
    planes.composite(2, block, _dimmed(v, alpha, light, 128), alpha)
    return [planes.clip(block)]


def _dimmed(samples: Pixels, alpha: Pixels, light: float, black: int) -> Pixels:
    """Premultiplied samples of a plane, brought nearer to its ``black`` (128 for chroma): ``light``
    of it is left."""
    if light >= 1:
        return samples
    return np.asarray(
        cv2.addWeighted(samples, light, alpha, (1 - light) * black / 255, 0.0), np.uint8
    )


def _split(warped: cv2.typing.MatLike) -> list[Pixels]:
    return [np.asarray(samples, np.uint8) for samples in cv2.split(warped)]


def _bounds(artwork: Artwork, to_frame: Affine) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of the artwork in the frame, and the px beyond that interpolation reaches."""
    right, bottom = artwork.left + artwork.width, artwork.top + artwork.height
    corners = [to_frame.of(x, y) for x in (artwork.left, right) for y in (artwork.top, bottom)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs) - 1, min(ys) - 1, max(xs) + 1, max(ys) + 1
