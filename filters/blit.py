"""Blit artwork: warp it into the block that it covers and composite it there."""

import cv2
import numpy as np

from filters.affine import Affine
from filters.artwork import Artwork
from filters.planes import Pixels, Planes, Rect

NEUTRAL_CHROMA = 128


def blit(
    planes: Planes, artwork: Artwork, to_frame: Affine, opacity: float = 1.0, light: float = 1.0
) -> list[Rect]:
    """Composite artwork over a frame, in place.

    Args:
        planes: the frame.
        artwork: the artwork.
        to_frame: from the artwork's units to px of the frame.
        opacity: 0 paints nothing, 1 is opaque.
        light: the share of the artwork's brightness that is shown: 0 is black, 1 all of it.

    Returns:
        The rectangle painted on, within the frame; none if the artwork lies outside.
    """
    if opacity <= 0:
        return []
    # Only the covered block is warped: warpAffine visits every px of its destination.
    block = planes.block(*_bounds(artwork, to_frame))
    if block is None:
        return []
    warped = _warped(planes, artwork, to_frame, block)
    if opacity < 1:
        # Premultiplied: colours and alpha scale alike.
        warped = cv2.convertScaleAbs(warped, alpha=opacity)
    y, u, v, alpha = _split(warped)
    planes.composite(0, block, _dimmed(y, alpha, light, planes.black), alpha)
    if planes.chroma_step != (1, 1):
        # Averaged, not sampled at one of the px: else colours shift against the outline.
        small = cv2.resize(warped, planes.chroma_size(block), interpolation=cv2.INTER_AREA)
        _, u, v, alpha = _split(small)
    planes.composite(1, block, _dimmed(u, alpha, light, NEUTRAL_CHROMA), alpha)
    planes.composite(2, block, _dimmed(v, alpha, light, NEUTRAL_CHROMA), alpha)
    return [planes.clip(block)]


def _warped(planes: Planes, artwork: Artwork, to_frame: Affine, block: Rect) -> cv2.typing.MatLike:
    """The artwork as premultiplied Y, U, V, alpha in the block's px: (height, width, 4)."""
    level = artwork.level_for(to_frame.scale)
    to_block = Affine.shift(-block.x1, -block.y1) @ to_frame @ artwork.to_units(level)
    return cv2.warpAffine(
        artwork.coloured(level, planes.matrix, planes.full_range),
        to_block.between_pixel_centres.matrix,
        block.size,
        flags=cv2.INTER_LINEAR,
    )


def _dimmed(samples: Pixels, alpha: Pixels, light: float, black: int) -> Pixels:
    """Move premultiplied samples towards ``black`` (128 for chroma); ``light`` of them stays."""
    if light >= 1:
        return samples
    # Black is premultiplied too: weighted with alpha, transparent px stay 0.
    dimmed = cv2.addWeighted(samples, light, alpha, (1 - light) * black / 255, 0.0)
    return np.asarray(dimmed, np.uint8)


def _split(warped: cv2.typing.MatLike) -> list[Pixels]:
    return [np.asarray(samples, np.uint8) for samples in cv2.split(warped)]


def _bounds(artwork: Artwork, to_frame: Affine) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of the artwork in the frame, with the px that interpolation adds around it."""
    right, bottom = artwork.left + artwork.width, artwork.top + artwork.height
    corners = [to_frame.of(x, y) for x in (artwork.left, right) for y in (artwork.top, bottom)]
    xs, ys = zip(*corners, strict=True)
    return min(xs) - 1, min(ys) - 1, max(xs) + 1, max(ys) + 1
