"""Artwork ready to be painted: premultiplied, kept at several sizes, in the colours of the
frame."""

import math
from functools import cache
from importlib.resources import files
from xml.etree import ElementTree

import cv2
import numpy as np
import resvg_py

from filters.affine import Affine
from filters.planes import Matrix, Pixels, rgb_to_yuv

PX_PER_UNIT = 2.5
"""How finely SVG artwork is rendered: its own size for a face 540 px wide. Twice that costs a
worker a second."""

SPRITE_PX_PER_UNIT = 1.5
"""The same for the drawings of a sprite: there are several, and none is seen for long."""

SMALLEST_LEVEL_PX = 12
"""The smallest size kept; a face that needs less is a few px wide."""


class Artwork:
    """A picture with alpha, placed by its own units (those of the SVG, or px of a user's picture).

    ``levels`` are premultiplied uint8 RGBA arrays of shape (height, width, 4), each half the size
    of the one before, so that a small face is painted from a picture of about its size and does not
    shimmer. ``left``, ``top``, ``width`` and ``height`` tell which rectangle, in the artwork's
    units, all of them show.
    """

    def __init__(self, rgba: Pixels, units_per_px: float = 1.0, opacity: float = 1.0) -> None:
        """Take premultiplied RGBA of shape (height, width, 4) and trim it to what can be seen of
        it."""
        x, y, width, height = cv2.boundingRect(rgba[:, :, 3])
        trimmed = rgba[y : y + height, x : x + width]
        self.left, self.top = x * units_per_px, y * units_per_px
        self.width, self.height = width * units_per_px, height * units_per_px
        self.levels = _halved(np.asarray(cv2.convertScaleAbs(trimmed, alpha=opacity), np.uint8))
        self._coloured: dict[tuple[Matrix, bool], tuple[Pixels, ...]] = {}

    def level_for(self, scale: float) -> int:
        """The number of the smallest level that need not be enlarged at ``scale`` px of the frame
        for one unit."""
        pixels_per_unit = self.levels[0].shape[1] / self.width
        halvings = math.floor(math.log2(max(1.0, pixels_per_unit / max(scale, 1e-6))))
        return min(halvings, len(self.levels) - 1)

    def coloured(self, level: int, matrix: Matrix, full_range: bool) -> Pixels:
        """A level as premultiplied Y, U, V and alpha for frames of that matrix and range: (height,
        width, 4)."""
        key = (matrix, full_range)
        if key not in self._coloured:
            to_yuv = np.eye(4)
            to_yuv[:3, :3] = rgb_to_yuv(matrix, full_range)[:, :3]
            to_yuv[:3, 3] = rgb_to_yuv(matrix, full_range)[:, 3] / 255
            self._coloured[key] = tuple(
                np.asarray(cv2.transform(rgba, to_yuv), np.uint8) for rgba in self.levels
            )
        return self._coloured[key][level]

    def to_units(self, level: int) -> Affine:
        """From a level's px to the artwork's units."""
        height, width = self.levels[level].shape[:2]
        return Affine(self.width / width, 0.0, self.left, 0.0, self.height / height, self.top)


def svg_artwork(name: str, opacity: float = 1.0, px_per_unit: float = PX_PER_UNIT) -> Artwork:
    """Our own artwork ``filters/assets/<name>.svg``; its units are those of its view box, which
    starts at 0, 0."""
    rgba, units_per_px = _rendered(name, px_per_unit)
    return Artwork(rgba, units_per_px, opacity)


def svg_rgba(svg: str, width: int) -> Pixels:
    """An SVG rendered at a width in px: premultiplied RGBA of shape (height, width, 4)."""
    png = np.frombuffer(
        resvg_py.svg_to_bytes(svg_string=svg, width=width, skip_system_fonts=True), np.uint8
    )
    bgra = np.asarray(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), np.uint8)
    return premultiplied(np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA), np.uint8))


def asset(name: str) -> str:
    """The text of ``filters/assets/<name>.svg``."""
    return (files("filters") / "assets" / f"{name}.svg").read_text(encoding="utf-8")


def premultiplied(rgba: Pixels) -> Pixels:
    """RGBA of shape (height, width, 4) with its colours times its alpha: warped like this, edges
    get no fringe."""
    alpha = rgba[:, :, 3:]
    colours = cv2.multiply(rgba[:, :, :3], cv2.merge([alpha] * 3), scale=1 / 255)
    return np.dstack([np.asarray(colours, np.uint8), alpha])


@cache
def _rendered(name: str, px_per_unit: float) -> tuple[Pixels, float]:
    svg = asset(name)
    # Our own file, not one from outside.
    view_box = ElementTree.fromstring(svg).attrib["viewBox"].split()  # noqa: S314
    width = float(view_box[2])
    rgba = svg_rgba(svg, round(px_per_unit * width))
    return rgba, width / rgba.shape[1]


def _halved(rgba: Pixels) -> tuple[Pixels, ...]:
    levels = [np.ascontiguousarray(rgba)]
    while min(levels[-1].shape[:2]) >= 2 * SMALLEST_LEVEL_PX:
        height, width = levels[-1].shape[:2]
        smaller = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(smaller, np.uint8))
    return tuple(levels)
