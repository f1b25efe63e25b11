"""Artwork ready to blit: premultiplied, at several sizes, in the colours of the frame."""

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
"""The resolution of rendered SVG artwork: full detail on a face up to 540 px wide.

Twice that costs a worker a second of rendering.
"""

SPRITE_PX_PER_UNIT = 1.5
"""The same for the drawings of a sprite: there are several, each shown for a moment."""

SMALLEST_LEVEL_PX = 12
"""The smallest level kept; a face that needs less is a few px wide."""


class Artwork:
    """An image with alpha, placed by its own units: those of the SVG, or px of a user's image.

    ``levels`` are premultiplied uint8 RGBA arrays of shape (height, width, 4), each half the size
    of the one before: a mipmap. A small face is painted from a level of about its size, because
    bilinear interpolation of a larger one skips pixels and shimmers.
    ``left``, ``top``, ``width`` and ``height`` are the rectangle, in units, that every level shows.
    """

    def __init__(self, rgba: Pixels, units_per_px: float = 1.0, opacity: float = 1.0) -> None:
        """Take premultiplied RGBA of shape (height, width, 4), and trim its transparent border."""
        x, y, width, height = cv2.boundingRect(rgba[:, :, 3])
        trimmed = rgba[y : y + height, x : x + width]
        self.left, self.top = x * units_per_px, y * units_per_px
        self.width, self.height = width * units_per_px, height * units_per_px
        self.levels = _halved(np.asarray(cv2.convertScaleAbs(trimmed, alpha=opacity), np.uint8))
        self._coloured: dict[tuple[Matrix, bool], tuple[Pixels, ...]] = {}

    @property
    def centre(self) -> tuple[float, float]:
        """The centre of the rectangle, in units."""
        return self.left + self.width / 2, self.top + self.height / 2

    def level_for(self, scale: float) -> int:
        """The index of the smallest level that is not enlarged at ``scale`` px for one unit."""
        pixels_per_unit = self.levels[0].shape[1] / self.width
        halvings = math.floor(math.log2(max(1.0, pixels_per_unit / max(scale, 1e-6))))
        return min(halvings, len(self.levels) - 1)

    def coloured(self, level: int, matrix: Matrix, full_range: bool) -> Pixels:
        """A level as premultiplied Y, U, V and alpha in that matrix and range: (height, width, 4).

        It is converted once, not in every frame.
        """
        key = (matrix, full_range)
        if key not in self._coloured:
            to_yuva = _premultiplied_to_yuva(matrix, full_range)
            self._coloured[key] = tuple(
                np.asarray(cv2.transform(rgba, to_yuva), np.uint8) for rgba in self.levels
            )
        return self._coloured[key][level]

    def to_units(self, level: int) -> Affine:
        """The transform from a level's px to units."""
        height, width = self.levels[level].shape[:2]
        return Affine(self.width / width, 0.0, self.left, 0.0, self.height / height, self.top)


def svg_artwork(name: str, opacity: float = 1.0, px_per_unit: float = PX_PER_UNIT) -> Artwork:
    """Load ``filters/assets/<name>.svg``; its units are those of its view box, which starts at
    0, 0."""
    rgba, units_per_px = _rendered(name, px_per_unit)
    return Artwork(rgba, units_per_px, opacity)


def svg_rgba(svg: str, width: int) -> Pixels:
    """Render an SVG at a width in px: premultiplied RGBA of shape (height, width, 4)."""
    png = np.frombuffer(
        resvg_py.svg_to_bytes(svg_string=svg, width=width, skip_system_fonts=True), np.uint8
    )
    # PNG stores straight alpha, whatever the renderer works with.
    bgra = np.asarray(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), np.uint8)
    return premultiplied(np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA), np.uint8))


def asset(name: str) -> str:
    """The text of ``filters/assets/<name>.svg``."""
    return (files("filters") / "assets" / f"{name}.svg").read_text(encoding="utf-8")


def premultiplied(rgba: Pixels) -> Pixels:
    """RGBA of shape (height, width, 4) with its colours multiplied by its alpha.

    Interpolation of straight alpha mixes in the colours of transparent pixels: dark fringes.
    """
    alpha = rgba[:, :, 3:]
    colours = cv2.multiply(rgba[:, :, :3], cv2.merge([alpha] * 3), scale=1 / 255)
    return np.dstack([np.asarray(colours, np.uint8), alpha])


def _premultiplied_to_yuva(matrix: Matrix, full_range: bool) -> cv2.typing.MatLike:
    """The 4 x 4 matrix from premultiplied R, G, B, A to premultiplied Y, U, V, A."""
    from_rgb = rgb_to_yuv(matrix, full_range)
    to_yuva = np.eye(4)
    to_yuva[:3, :3] = from_rgb[:, :3]
    # The offsets (black, and 128 of chroma) are premultiplied too: they scale with alpha.
    to_yuva[:3, 3] = from_rgb[:, 3] / 255
    return to_yuva


@cache
def _rendered(name: str, px_per_unit: float) -> tuple[Pixels, float]:
    svg = asset(name)
    # The file is part of the package; entity attacks need a file from outside.
    view_box = ElementTree.fromstring(svg).attrib["viewBox"].split()  # noqa: S314
    width = float(view_box[2])
    rgba = svg_rgba(svg, round(px_per_unit * width))
    return rgba, width / rgba.shape[1]


def _halved(rgba: Pixels) -> tuple[Pixels, ...]:
    levels = [np.ascontiguousarray(rgba)]
    while min(levels[-1].shape[:2]) >= 2 * SMALLEST_LEVEL_PX:
        height, width = levels[-1].shape[:2]
        # Area interpolation averages every px; the default, bilinear, would skip some.
        smaller = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(smaller, np.uint8))
    return tuple(levels)
