"""Filters that hide a face for good: blur, mosaic, fill. What they cover is replaced on all three planes.

The covered area grows with the option ``scale``; at the default 1.3 it holds every px of the face's box. A soft edge
lies outside of it only. Blur and mosaic keep a coarse grid of averages and nothing finer, so no more than that grid
can ever be won back.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.looks import FilterSpec, parse_filter
from filters.face import Face, pose_of
from filters.planes import Pixels, Planes, Region, rgb_to_yuv

CORNERS_COVERED = 1.3
"""The scale at which an ellipse reaches the corners of the face's box."""

SOFT_EDGE = 0.05
"""Width of the soft edge as a share of the face's width; never under 1 px."""

Floats = npt.NDArray[np.float32]

SMALLEST_CELL_PX = 4.0
"""Smaller cells would leave the px of a small face nearly as they were."""

Shown = Callable[[Pixels, int], Pixels]
"""From the samples of a plane under a block, and the plane's number (Y, U, V), what is shown instead."""


@dataclass(frozen=True, slots=True)
class Hiding:
    """One hiding filter with its options."""

    spec: FilterSpec

    @classmethod
    def of_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Hiding":  # noqa: ARG003 - as every maker
        """The filter of a look's entry."""
        return cls(spec)

    @classmethod
    def plain(cls) -> "Hiding":
        """The plainest: one dark colour."""
        return cls(parse_filter("fill"))

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Region]:
        """Hide one face in place; the region touched, within the frame."""
        area = covered_area(face, self.spec.number("scale"), self.spec.text("shape"))
        block = planes.block(*area.bounds)
        if block is None:
            return []
        self._replace(planes, block, face.width, area.mask(block))
        return [planes.within(block)]

    def cover(self, planes: Planes) -> list[Region]:
        """Hide the whole frame in place, as if one face filled it; the region touched, which is all of it."""
        block = planes.block(0, 0, planes.width, planes.height)
        if block is None:
            return []
        everything = np.full((block.y2 - block.y1, block.x2 - block.x1), 255, np.uint8)
        self._replace(planes, block, min(planes.width, planes.height), everything)
        return [planes.within(block)]

    def _replace(self, planes: Planes, block: Region, face_width: float, mask: Pixels) -> None:
        shown = HIDING[self.spec.name](self.spec, planes, block, face_width)
        luma = planes.luma(block)
        height, width = luma.shape
        _mix(planes, 0, block, shown(luma, 0), mask[:height, :width])
        # A chroma sample belongs to several px: it is hidden as much as the most hidden of them.
        step_x, step_y = 1 << planes.chroma_shift_x, 1 << planes.chroma_shift_y
        most = np.maximum.reduce([mask[y::step_y, x::step_x] for y in range(step_y) for x in range(step_x)])
        for number, chroma in enumerate(planes.chroma(block), start=1):
            _mix(planes, number, block, shown(chroma, number), most)


def _mix(planes: Planes, number: int, block: Region, over: Pixels, mask: Pixels) -> None:
    """Replace a plane's samples under a block: wholly where ``mask`` is 255, not at all where it is 0."""
    planes.lay(number, block, np.asarray(cv2.multiply(over, mask, scale=1 / 255), np.uint8), mask)


@dataclass(frozen=True, slots=True)
class Area:
    """The area a hiding filter covers: a box or a turned ellipse about ``centre``, in px."""

    centre: tuple[float, float]
    half_width: float
    half_height: float
    roll: float
    soft: float
    ellipse: bool

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the area and its soft edge."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        width = math.hypot(self.half_width * cos, self.half_height * sin) + self.soft
        height = math.hypot(self.half_width * sin, self.half_height * cos) + self.soft
        x, y = self.centre
        return x - width, y - height, x + width, y + height

    def mask(self, block: Region) -> Pixels:
        """How much each px of a block is hidden: 255 inside the area, falling to 0 over the soft edge around it."""
        x = np.arange(block.x1, block.x2, dtype=np.float32) + np.float32(0.5 - self.centre[0])
        y = np.arange(block.y1, block.y2, dtype=np.float32) + np.float32(0.5 - self.centre[1])
        beyond = self._beyond_ellipse(x, y) if self.ellipse else self._beyond_box(x, y)
        # Conversion to 8 bits cuts at 255 inside the area and at 0 past its soft edge.
        shade = cv2.addWeighted(beyond, -255 / self.soft, beyond, 0.0, 255.0, dtype=cv2.CV_8U)
        return np.asarray(shade, np.uint8)

    def _beyond_box(self, x: Floats, y: Floats) -> Floats:
        """How far each px of columns ``x`` and rows ``y`` is outside of the box, in px; negative inside."""
        return np.maximum(np.abs(x) - np.float32(self.half_width), np.abs(y[:, None]) - np.float32(self.half_height))

    def _beyond_ellipse(self, x: Floats, y: Floats) -> Floats:
        """How far each px of columns ``x`` and rows ``y`` is outside of the ellipse, nearly; negative inside."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        across, along = self.half_width**-2, self.half_height**-2
        xx = cos * cos * across + sin * sin * along
        yy = sin * sin * across + cos * cos * along
        xy = 2 * sin * cos * (across - along)
        rows = np.column_stack([np.ones_like(y), y, y * y * np.float32(yy)])
        columns = np.vstack([x * x * np.float32(xx), x * np.float32(xy), np.ones_like(x)])
        radius = cv2.sqrt(np.maximum(rows @ columns, np.float32(0)))
        short = min(self.half_width, self.half_height)
        return np.asarray(cv2.addWeighted(radius, short, radius, 0.0, -short), np.float32)


def covered_area(face: Face, scale: float, shape: str) -> Area:
    """The area ``scale`` times a face's box: a box, or an ellipse turned with the head.

    The ellipse is as wide and high as the face is along its own axes, and just so large that it reaches the corners
    of the box, whatever the roll, at `CORNERS_COVERED`.
    """
    # The px that the box only touches are covered too: the centre of one may lie half a px outside.
    width, height = face.width / 2 + 0.5, face.height / 2 + 0.5
    soft = max(1.0, SOFT_EDGE * face.width)
    if shape == "box":
        return Area(face.centre, width * scale, height * scale, 0.0, soft, ellipse=False)
    roll = pose_of(face).roll
    cos, sin = math.cos(roll), math.sin(roll)
    across, along = math.hypot(width * cos, height * sin), math.hypot(width * sin, height * cos)
    corners = ((width, height), (width, -height))
    reach = max(math.hypot((x * cos + y * sin) / across, (y * cos - x * sin) / along) for x, y in corners)
    grow = reach * scale / CORNERS_COVERED
    return Area(face.centre, across * grow, along * grow, roll, soft, ellipse=True)


def _mosaic(spec: FilterSpec, planes: Planes, block: Region, face_width: float) -> Shown:  # noqa: ARG001
    grid = _grid(block, face_width / spec.number("size"))

    def shown(samples: Pixels, number: int) -> Pixels:  # noqa: ARG001
        tiles = _averages(samples, grid)
        return np.asarray(cv2.resize(tiles, samples.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)

    return shown


def _blur(spec: FilterSpec, planes: Planes, block: Region, face_width: float) -> Shown:  # noqa: ARG001
    grid = _grid(block, face_width * spec.number("size") / 2)

    def shown(samples: Pixels, number: int) -> Pixels:  # noqa: ARG001
        blurred = cv2.GaussianBlur(_averages(samples, grid), (5, 5), 1.2, borderType=cv2.BORDER_REPLICATE)
        # A curve through the cells, drawn at a quarter of the size and lines in between: it looks the same, 5 x faster.
        smooth = cv2.resize(blurred, (4 * grid[0], 4 * grid[1]), interpolation=cv2.INTER_CUBIC)
        return np.asarray(cv2.resize(smooth, samples.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)

    return shown


def _fill(spec: FilterSpec, planes: Planes, block: Region, face_width: float) -> Shown:  # noqa: ARG001
    rgb = bytes.fromhex(spec.text("colour")[1:])
    colour = rgb_to_yuv(planes.matrix, planes.full_range) @ np.array([*rgb, 1.0])

    def shown(samples: Pixels, number: int) -> Pixels:
        return np.full(samples.shape, round(float(colour[number])), np.uint8)

    return shown


def _averages(samples: Pixels, grid: tuple[int, int]) -> Pixels:
    """The mean of each cell: shape (rows, columns)."""
    left = np.ascontiguousarray(samples)
    # Halving even sides is much the fastest of OpenCV's reductions.
    while all(side % 2 == 0 and side > 4 * cells for side, cells in zip(left.shape[::-1], grid, strict=True)):
        left = np.asarray(cv2.resize(left, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(left, grid, interpolation=cv2.INTER_AREA), np.uint8)


def _grid(block: Region, cell_px: float) -> tuple[int, int]:
    """Columns and rows of the cells a block is cut into, each at least `SMALLEST_CELL_PX` wide and high."""
    cell = max(SMALLEST_CELL_PX, cell_px)
    return max(1, int((block.x2 - block.x1) / cell)), max(1, int((block.y2 - block.y1) / cell))


HIDING: Mapping[str, Callable[[FilterSpec, Planes, Region, float], Shown]] = {
    "blur": _blur,
    "mosaic": _mosaic,
    "fill": _fill,
}
"""The hiding filters: from the options, the frame, the block and the face's width in px, what is shown instead."""
