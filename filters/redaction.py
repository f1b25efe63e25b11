"""Filters that hide a face for good: blur, mosaic, fill. What they cover is replaced on all three
planes.

The covered area grows with the option ``scale``; at the default 1.3 it holds every px of the face's
box. A soft edge lies outside of it only. Blur and mosaic keep a coarse grid of average brightness,
spoilt by noise, and one average colour, so no more than that can ever be won back.
``docs/privacy.md`` says what that is worth.
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
from filters.planes import Pixels, Planes, Rect, rgb_to_yuv

SMALLEST_CELL_PX = 4.0
"""Smaller cells would leave the px of a small face nearly as they were."""

NOISE = 32
"""By how much the average of a cell is off at most, in levels of luma: all values in between are as
likely."""

Noise = npt.NDArray[np.int16]
NOISE_CELLS = 64
"""Side of the grid of noise; a larger area of cells repeats it."""

Shown = Callable[[Pixels, int], Pixels]
"""From the samples of a plane under a block, and the plane's number (Y, U, V), what is shown
instead."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """One hiding filter with its options.

    ``secret`` is what the noise is made of: something that who sees the result alone does not know,
    and the same in every frame of a video. So there is nothing to average out over time, and the
    same frame is always hidden alike. None leaves the averages exact.
    """

    spec: FilterSpec
    secret: bytes | None = b""

    @classmethod
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Redaction":  # noqa: ARG003 - as every maker
        """The filter of a look's entry."""
        return cls(spec)

    @classmethod
    def plain(cls) -> "Redaction":
        """The plainest: one dark colour."""
        return cls(parse_filter("fill"))

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Hide one face in place; the region touched, within the frame. A face that is nowhere may
        be anywhere."""
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
        """Hide the whole frame in place, as if one face filled it; the region touched, which is all
        of it."""
        block = planes.block(0, 0, planes.width, planes.height)
        if block is None:
            return []
        everything = np.full((block.y2 - block.y1, block.x2 - block.x1), 255, np.uint8)
        self._replace(planes, block, min(planes.width, planes.height), everything)
        return [planes.clip(block)]

    def _replace(self, planes: Planes, block: Rect, face_width: float, mask: Pixels) -> None:
        shown = REDACTIONS[self.spec.name](self, planes, block, face_width)
        luma = planes.luma(block)
        height, width = luma.shape
        _mix(planes, 0, block, shown(luma, 0), mask[:height, :width])
        # A chroma sample belongs to several px: it is hidden as much as the most hidden of them.
        step_x, step_y = 1 << planes.chroma_shift_x, 1 << planes.chroma_shift_y
        most = np.maximum.reduce(
            [mask[y::step_y, x::step_x] for y in range(step_y) for x in range(step_x)]
        )
        for number, chroma in enumerate(planes.chroma(block), start=1):
            _mix(planes, number, block, shown(chroma, number), most)


def _mix(planes: Planes, number: int, block: Rect, over: Pixels, mask: Pixels) -> None:
    """Replace a plane's samples under a block: wholly where ``mask`` is 255, not at all where it is
    0."""
    planes.composite(
        number, block, np.asarray(cv2.multiply(over, mask, scale=1 / 255), np.uint8), mask
    )


def _mosaic(hiding: Redaction, planes: Planes, block: Rect, face_width: float) -> Shown:  # noqa: ARG001
    grid = _grid(block, face_width / hiding.spec.number("size"))

    def shown(samples: Pixels, number: int) -> Pixels:
        tiles = _averages(samples, grid, hiding.secret) if number == 0 else _average(samples)
        return np.asarray(
            cv2.resize(tiles, samples.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8
        )

    return shown


def _blur(hiding: Redaction, planes: Planes, block: Rect, face_width: float) -> Shown:  # noqa: ARG001
    grid = _grid(block, face_width * hiding.spec.number("size") / 2)

    def shown(samples: Pixels, number: int) -> Pixels:
        if number:
            return np.full(samples.shape, _average(samples), np.uint8)
        averages = _averages(samples, grid, hiding.secret)
        blurred = cv2.GaussianBlur(averages, (5, 5), 1.2, borderType=cv2.BORDER_REPLICATE)
        # A curve through the cells, drawn at a quarter of the size and lines in between: it looks
        # the same, 5 x faster.
        smooth = cv2.resize(blurred, (4 * grid[0], 4 * grid[1]), interpolation=cv2.INTER_CUBIC)
        return np.asarray(
            cv2.resize(smooth, samples.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8
        )

    return shown


def _fill(hiding: Redaction, planes: Planes, block: Rect, face_width: float) -> Shown:  # noqa: ARG001
    rgb = bytes.fromhex(hiding.spec.text("colour")[1:])
    colour = rgb_to_yuv(planes.matrix, planes.full_range) @ np.array([*rgb, 1.0])

    def shown(samples: Pixels, number: int) -> Pixels:
        return np.full(samples.shape, round(float(colour[number])), np.uint8)

    return shown


def _average(samples: Pixels) -> Pixels:
    """The mean of all samples: shape (1, 1). Colours tell faces apart as well as brightness does,
    in as few cells."""
    return np.full((1, 1), round(float(samples.mean())), np.uint8)


def _averages(samples: Pixels, grid: tuple[int, int], secret: bytes | None) -> Pixels:
    """The mean of each cell, made inexact: shape (rows, columns)."""
    left = np.ascontiguousarray(samples)
    # Halving even sides is much the fastest of OpenCV's reductions.
    while all(
        side % 2 == 0 and side > 4 * cells
        for side, cells in zip(left.shape[::-1], grid, strict=True)
    ):
        left = np.asarray(
            cv2.resize(left, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8
        )
    exact = np.asarray(cv2.resize(left, grid, interpolation=cv2.INTER_AREA), np.uint8).reshape(
        grid[::-1]
    )
    if secret is None:
        return exact
    # Counted from the middle, so that it stays with the face when the grid gets another row.
    rows, columns = ((np.arange(cells) - cells // 2) % NOISE_CELLS for cells in grid[::-1])
    return np.asarray(np.clip(exact + _noise(secret)[np.ix_(rows, columns)], 0, 255), np.uint8)


@lru_cache(maxsize=8)
def _noise(secret: bytes) -> Noise:
    """Numbers up to `NOISE` to both sides of 0, the same on every machine: shape (`NOISE_CELLS`,
    `NOISE_CELLS`)."""
    # A cryptographic hash, so that the noise of cells whose content is known does not tell that of
    # the others.
    stream = np.frombuffer(hashlib.shake_256(secret).digest(NOISE_CELLS * NOISE_CELLS), np.uint8)
    return np.rint((stream.reshape(NOISE_CELLS, NOISE_CELLS) / 127.5 - 1) * NOISE).astype(np.int16)


def _grid(block: Rect, cell_px: float) -> tuple[int, int]:
    """Columns and rows of the cells a block is cut into, each at least `SMALLEST_CELL_PX` wide and
    high."""
    cell = max(SMALLEST_CELL_PX, cell_px)
    return max(1, int((block.x2 - block.x1) / cell)), max(1, int((block.y2 - block.y1) / cell))


REDACTIONS: Mapping[str, Callable[[Redaction, Planes, Rect, float], Shown]] = {
    "blur": _blur,
    "mosaic": _mosaic,
    "fill": _fill,
}
"""The hiding filters: from one with its options, the frame, the block and the face's width in px,
what is shown."""
