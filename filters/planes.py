"""The pixels painted on: the Y, U and V planes of one upright frame, and the colours of artwork in
them."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Matrix = Literal["bt601", "bt709", "bt2020"]

LUMA_SHARES: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
"""The shares of red and blue in luma (ITU-T H.273, MatrixCoefficients)."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle of whole px of the frame: columns x1 to x2, rows y1 to y2, the last of each not
    included."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px."""
        return self.x2 - self.x1, self.y2 - self.y1

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array of the frame's size."""
        return slice(self.y1, self.y2), slice(self.x1, self.x2)


@dataclass(frozen=True, slots=True)
class Planes:
    """The planes of one upright 8-bit frame, painted in place.

    ``y`` is a writable uint8 array of shape (height, width) with any strides, ``u`` and ``v`` the
    same with each side halved, rounded up, where its ``chroma_shift`` is 1 (4:2:0 is 1, 1; 4:2:2 is
    1, 0; 4:4:4 is 0, 0).
    ``full_range`` and ``matrix`` tell how the artwork's sRGB colours are written in this frame.
    ``kept_share``, where it is asked for, is kept for each sample: how much of what it was is left,
    of 255.
    """

    y: Pixels
    u: Pixels
    v: Pixels
    chroma_shift_x: int
    chroma_shift_y: int
    full_range: bool = False
    matrix: Matrix = "bt709"
    kept_share: tuple[Pixels, Pixels, Pixels] | None = None

    @property
    def width(self) -> int:
        """Width of the frame in px."""
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        """Height of the frame in px."""
        return int(self.y.shape[0])

    def block(self, x1: float, y1: float, x2: float, y2: float) -> Rect | None:
        """The smallest region of whole chroma samples around a rectangle, within the frame; None if
        none is left.

        On a frame of odd size it may end one px beyond the frame, where the last chroma sample
        does.
        """
        # A rectangle may be far outside or huge; clipped first, it fits an int.
        left, top = max(0, int(min(x1, self.width))), max(0, int(min(y1, self.height)))
        right, bottom = (
            math.ceil(max(0, min(x2, self.width))),
            math.ceil(max(0, min(y2, self.height))),
        )
        if left >= right or top >= bottom:
            return None
        step_x, step_y = 1 << self.chroma_shift_x, 1 << self.chroma_shift_y
        return Rect(
            left // step_x * step_x,
            top // step_y * step_y,
            -(-right // step_x) * step_x,
            -(-bottom // step_y) * step_y,
        )

    def clip(self, block: Rect) -> Rect:
        """The part of a block that is in the frame."""
        return Rect(block.x1, block.y1, min(block.x2, self.width), min(block.y2, self.height))

    def luma(self, block: Rect) -> Pixels:
        """The view of the Y plane under a block of `block`."""
        return self.y[block.slices]

    def chroma(self, block: Rect) -> tuple[Pixels, Pixels]:
        """The views of the U and V planes under a block of `block`."""
        rows = slice(block.y1 >> self.chroma_shift_y, block.y2 >> self.chroma_shift_y)
        columns = slice(block.x1 >> self.chroma_shift_x, block.x2 >> self.chroma_shift_x)
        return self.u[rows, columns], self.v[rows, columns]

    def composite(self, number: int, block: Rect, painted: Pixels, alpha: Pixels) -> None:
        """Put premultiplied samples over those of a plane (0 Y, 1 U, 2 V) under a block, in place.

        Everything that is painted comes through here. Both arrays have the block's size in that
        plane; what of them is beyond the frame is left out.
        """
        samples = self.chroma(block)[number - 1] if number else self.luma(block)
        height, width = samples.shape
        kept = cv2.bitwise_not(alpha[:height, :width])
        behind = cv2.multiply(np.ascontiguousarray(samples), kept, scale=1 / 255)
        samples[...] = cv2.add(behind, painted[:height, :width])
        if self.kept_share is not None:
            before = Planes(*self.kept_share, self.chroma_shift_x, self.chroma_shift_y)
            left = before.chroma(block)[number - 1] if number else before.luma(block)
            left[...] = cv2.multiply(np.ascontiguousarray(left), kept, scale=1 / 255)

    def blend(self, block: Rect, over: tuple[Pixels, Pixels, Pixels], mask: Pixels) -> None:
        """Replace the samples of all three planes under a block, as much as ``mask`` says for each
        px: 255 wholly.

        ``over`` has the sizes of the block in the planes, ``mask`` that of the block.
        """
        size = (block.size[0] >> self.chroma_shift_x, block.size[1] >> self.chroma_shift_y)
        masks = (
            mask,
            *[np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)] * 2,
        )
        for number, (samples, share) in enumerate(zip(over, masks, strict=True)):
            height, width = samples.shape
            painted = cv2.multiply(samples, share[:height, :width], scale=1 / 255)
            self.composite(number, block, np.asarray(painted, np.uint8), share[:height, :width])

    @staticmethod
    def from_rgb(rgb: Pixels) -> "Planes":
        """Planes of a picture of shape (height, width, 3): 4:4:4, full range, BT.601 as JPEG has
        it."""
        yuv = cv2.transform(rgb, rgb_to_yuv("bt601", True))
        y, u, v = (np.asarray(samples, np.uint8) for samples in cv2.split(yuv))
        return Planes(y, u, v, 0, 0, full_range=True, matrix="bt601")

    def to_rgb(self, region: Rect | None = None) -> Pixels:
        """The frame, or one region of it, as an RGB picture of shape (height, width, 3)."""
        whole = region or Rect(0, 0, self.width, self.height)
        block = self.block(whole.x1, whole.y1, whole.x2, whole.y2)
        if block is None:
            return np.zeros((0, 0, 3), np.uint8)
        luma = self.luma(block)
        planes = [luma]
        for chroma in self.chroma(block):
            upsampled = chroma.repeat(1 << self.chroma_shift_y, 0).repeat(
                1 << self.chroma_shift_x, 1
            )
            planes.append(upsampled[: luma.shape[0], : luma.shape[1]])
        forward = rgb_to_yuv(self.matrix, self.full_range)
        back = np.linalg.inv(forward[:, :3])
        rgb = cv2.transform(np.dstack(planes), np.hstack([back, -back @ forward[:, 3:]]))
        inside = np.asarray(rgb[whole.y1 - block.y1 :, whole.x1 - block.x1 :], np.uint8)
        return inside[: whole.y2 - whole.y1, : whole.x2 - whole.x1]


@cache
def rgb_to_yuv(matrix: Matrix, full_range: bool) -> npt.NDArray[np.float64]:
    """The 3 x 4 matrix from R, G, B of 0-255 and 1 to the Y, U, V samples of 8 bits."""
    red, blue = LUMA_SHARES[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    u = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    v = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    luma_scale, chroma_scale, black = (
        (1.0, 1.0, 0.0) if full_range else (219 / 255, 224 / 255, 16.0)
    )
    rows = np.vstack([luma * luma_scale, u * chroma_scale, v * chroma_scale])
    return np.hstack([rows, [[black], [128.0], [128.0]]])
