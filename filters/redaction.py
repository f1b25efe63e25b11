"""Redactions: blur, mosaic and fill. They replace what they cover, on all three planes.

The covered area grows with the option ``scale``; at the default of 1.3 it contains every px of the
face's box. The soft edge lies outside of it. Blur and mosaic keep a coarse grid of average
brightness, with noise, and one average colour; no more than that can be recovered.
``docs/privacy.md`` measures what it is worth.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.looks.look import FilterSpec
from facepaint.looks.parser import parse_filter
from filters.area import covered_area, has_finite_position
from filters.face import Face
from filters.planes import PLANES, Pixels, Planes, Rect, rgb_to_yuv

SMALLEST_CELL_PX = 4.0
"""Smaller cells would leave the px of a small face nearly unchanged."""

NOISE = 32
"""The largest error of a cell's average, in levels of luma; it is uniformly distributed."""

NOISE_CELLS = 64
"""Side of the grid of noise; a larger area of cells repeats it."""

Noise = npt.NDArray[np.int16]

Replacement = Callable[[Pixels, int], Pixels]
"""From the samples of a plane under a block, and the plane's index, to what replaces them."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """One redaction with its options.

    The noise is derived from ``secret``: bytes that are unknown to those who see only the result,
    and constant over a video. So noise does not average out over frames, and a repeated task gives
    the same bytes. None adds no noise.
    """

    spec: FilterSpec
    secret: bytes | None = b""

    @classmethod
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Redaction":
        """Make the filter that a look specifies."""
        return cls(spec)

    @classmethod
    def plain(cls) -> "Redaction":
        """Return the default redaction: a fill with one dark colour."""
        return cls(parse_filter("fill"))

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Redact one face in place; the rectangle painted on, within the frame.

        A face without a finite position may be anywhere: the whole frame is covered.
        """
        if not has_finite_position(face):
            return self.cover(planes)
        spec = self.spec
        area = covered_area(face, spec.number("scale"), spec.text("shape"), spec.text("cover"))
        block = planes.block(*area.bounds)
        if block is None:
            return []
        self._replace(planes, block, face.width, area.mask(block))
        return [planes.clip(block)]

    def cover(self, planes: Planes) -> list[Rect]:
        """Redact the whole frame in place, as if one face filled it; the rectangle painted on."""
        block = planes.block(0, 0, planes.width, planes.height)
        if block is None:
            return []
        width, height = block.size
        everything = np.full((height, width), 255, np.uint8)
        self._replace(planes, block, min(planes.width, planes.height), everything)
        return [planes.clip(block)]

    def _replace(self, planes: Planes, block: Rect, face_width: float, mask: Pixels) -> None:
        replacement = REDACTIONS[self.spec.name](self, planes, block, face_width)
        height, width = planes.luma(block).shape
        luma_mask, chroma_mask = mask[:height, :width], _largest_of_each_sample(planes, mask)
        for plane in PLANES:
            over = replacement(planes.samples(plane, block), plane)
            alpha = chroma_mask if plane else luma_mask
            premultiplied = np.asarray(cv2.multiply(over, alpha, scale=1 / 255), np.uint8)
            planes.composite(plane, block, premultiplied, alpha)


def _largest_of_each_sample(planes: Planes, mask: Pixels) -> Pixels:
    """The mask of the chroma planes: for each sample, the largest value of its px.

    A chroma sample belongs to several px. An average would leave colour on the edge of the area.
    """
    step_x, step_y = planes.chroma_step
    shifted = [mask[y::step_y, x::step_x] for y in range(step_y) for x in range(step_x)]
    return np.asarray(np.maximum.reduce(shifted), np.uint8)


def _mosaic(redaction: Redaction, planes: Planes, block: Rect, face_width: float) -> Replacement:
    grid = _grid(block, face_width / redaction.spec.number("size"))

    def replacement(samples: Pixels, plane: int) -> Pixels:
        tiles = _average(samples) if plane else _cells(samples, grid, redaction.secret)
        size = samples.shape[::-1]
        return np.asarray(cv2.resize(tiles, size, interpolation=cv2.INTER_NEAREST), np.uint8)

    return replacement


def _blur(redaction: Redaction, planes: Planes, block: Rect, face_width: float) -> Replacement:
    # Not a Gaussian of the px: a linear filter can be inverted. A blurred grid of averages holds no
    # more than the averages.
    grid = _grid(block, face_width * redaction.spec.number("size") / 2)

    def replacement(samples: Pixels, plane: int) -> Pixels:
        if plane:
            return np.full(samples.shape, _average(samples), np.uint8)
        cells = _cells(samples, grid, redaction.secret)
        blurred = cv2.GaussianBlur(cells, (5, 5), 1.2, borderType=cv2.BORDER_REPLICATE)
        # Cubic to four times the grid, then linear: it looks the same as cubic all the way, and is
        # 5 times faster.
        smooth = cv2.resize(blurred, (4 * grid[0], 4 * grid[1]), interpolation=cv2.INTER_CUBIC)
        size = samples.shape[::-1]
        return np.asarray(cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR), np.uint8)

    return replacement


def _fill(redaction: Redaction, planes: Planes, block: Rect, face_width: float) -> Replacement:
    rgb = bytes.fromhex(redaction.spec.text("colour")[1:])
    yuv = rgb_to_yuv(planes.matrix, planes.full_range) @ np.array([*rgb, 1.0])

    def replacement(samples: Pixels, plane: int) -> Pixels:
        return np.full(samples.shape, round(float(yuv[plane])), np.uint8)

    return replacement


def _average(samples: Pixels) -> Pixels:
    """The mean of all samples: shape (1, 1).

    Chroma keeps no grid: colours identify faces as well as brightness does, with as few cells.
    """
    return np.full((1, 1), round(float(samples.mean())), np.uint8)


def _cells(samples: Pixels, grid: tuple[int, int], secret: bytes | None) -> Pixels:
    """The mean of each cell with noise: shape (rows, columns)."""
    columns, rows = grid
    exact = np.asarray(
        cv2.resize(_prescaled(samples, grid), grid, interpolation=cv2.INTER_AREA), np.uint8
    ).reshape(rows, columns)
    if secret is None:
        return exact
    # Indexed from the middle of the grid: the noise of a cell stays with its place on the face when
    # the grid gets another row or column.
    y, x = ((np.arange(cells) - cells // 2) % NOISE_CELLS for cells in (rows, columns))
    return np.asarray(np.clip(exact + _noise(secret)[np.ix_(y, x)], 0, 255), np.uint8)


def _prescaled(samples: Pixels, grid: tuple[int, int]) -> Pixels:
    """The samples, halved while both sides are even and over 4 times the grid.

    Exact halving is by far the fastest of OpenCV's area reductions.
    """
    smaller = np.ascontiguousarray(samples)
    columns, rows = grid
    while True:
        height, width = smaller.shape
        if width % 2 or height % 2 or width <= 4 * columns or height <= 4 * rows:
            return smaller
        halved = cv2.resize(smaller, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        smaller = np.asarray(halved, np.uint8)


@lru_cache(maxsize=8)
def _noise(secret: bytes) -> Noise:
    """Integers in [-`NOISE`, `NOISE`], equal on every machine: (`NOISE_CELLS`, `NOISE_CELLS`)."""
    # A cryptographic hash: cells whose content is known do not reveal the noise of the others.
    stream = hashlib.shake_256(secret).digest(NOISE_CELLS * NOISE_CELLS)
    unit = np.frombuffer(stream, np.uint8).reshape(NOISE_CELLS, NOISE_CELLS) / 127.5 - 1
    return np.rint(unit * NOISE).astype(np.int16)


def _grid(block: Rect, cell_px: float) -> tuple[int, int]:
    """Columns and rows of the cells of a block, each at least `SMALLEST_CELL_PX` wide and high."""
    cell = max(SMALLEST_CELL_PX, cell_px)
    width, height = block.size
    return max(1, int(width / cell)), max(1, int(height / cell))


REDACTIONS: Mapping[str, Callable[[Redaction, Planes, Rect, float], Replacement]] = {
    "blur": _blur,
    "mosaic": _mosaic,
    "fill": _fill,
}
"""The redactions: from the options, the frame, the block and the face's width in px."""
