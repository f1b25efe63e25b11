"""The pixels that filters paint on: the Y, U and V planes of one upright frame.

Filters work on the frame's own YUV samples. A conversion of whole frames to RGB and back would
cost more time than painting, and would change samples that no filter touches.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Matrix = Literal["bt601", "bt709", "bt2020"]

PLANES = (0, 1, 2)
"""The indexes of the planes Y, U and V."""

LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
"""The weights of red and blue in luma, KR and KB (ITU-T H.273, MatrixCoefficients)."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle of whole px of the frame: columns [x1, x2), rows [y1, y2)."""

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

    ``y`` is a writable uint8 array of shape (height, width) with any strides. ``u`` and ``v`` have
    the same shape, with each side halved (rounded up) where its ``chroma_shift`` is 1: 4:2:0 is
    1, 1; 4:2:2 is 1, 0; 4:4:4 is 0, 0.
    ``full_range`` and ``matrix`` define how the sRGB colours of artwork are written in this frame.
    ``kept_share`` is optional: for each sample, the share of the original that is still visible,
    of 255. It lets a caller carry paint over to a frame of more than 8 bits.
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

    @property
    def black(self) -> int:
        """The luma sample of black."""
        return 0 if self.full_range else 16

    @property
    def chroma_step(self) -> tuple[int, int]:
        """The width and height in px of a chroma sample."""
        return 1 << self.chroma_shift_x, 1 << self.chroma_shift_y

    def step(self, plane: int) -> tuple[int, int]:
        """The width and height in px of a sample of a plane."""
        return self.chroma_step if plane else (1, 1)

    def block(self, x1: float, y1: float, x2: float, y2: float) -> Rect | None:
        """The smallest rectangle of whole chroma samples around another; None outside the frame.

        On a frame of odd size it ends up to one px beyond the frame, where the last chroma sample
        ends.
        """
        # A face may be far outside or huge. Once clipped to the frame, its box fits an int.
        left, top = max(0, int(min(x1, self.width))), max(0, int(min(y1, self.height)))
        right = math.ceil(max(0, min(x2, self.width)))
        bottom = math.ceil(max(0, min(y2, self.height)))
        if left >= right or top >= bottom:
            return None
        step_x, step_y = self.chroma_step
        return Rect(
            left // step_x * step_x,
            top // step_y * step_y,
            -(-right // step_x) * step_x,
            -(-bottom // step_y) * step_y,
        )

    def clip(self, block: Rect) -> Rect:
        """The part of a block that lies in the frame."""
        return Rect(block.x1, block.y1, min(block.x2, self.width), min(block.y2, self.height))

    def chroma_size(self, block: Rect) -> tuple[int, int]:
        """Width and height, in chroma samples, of a block of `block`."""
        width, height = block.size
        return width >> self.chroma_shift_x, height >> self.chroma_shift_y

    def luma(self, block: Rect) -> Pixels:
        """The view of the Y plane under a block of `block`."""
        return self.y[block.slices]

    def chroma(self, block: Rect) -> tuple[Pixels, Pixels]:
        """The views of the U and V planes under a block of `block`."""
        rows = slice(block.y1 >> self.chroma_shift_y, block.y2 >> self.chroma_shift_y)
        columns = slice(block.x1 >> self.chroma_shift_x, block.x2 >> self.chroma_shift_x)
        return self.u[rows, columns], self.v[rows, columns]

    def samples(self, plane: int, block: Rect) -> Pixels:
        """The view of one plane (0 Y, 1 U, 2 V) under a block of `block`."""
        return self.chroma(block)[plane - 1] if plane else self.luma(block)

    def composite(self, plane: int, block: Rect, painted: Pixels, alpha: Pixels) -> None:
        """Composite premultiplied samples over a plane (0 Y, 1 U, 2 V) under a block, in place.

        Every filter paints through this method. Both arrays have the block's size in that plane;
        what lies beyond the frame is ignored.
        """
        samples = self.samples(plane, block)
        height, width = samples.shape
        # Porter-Duff "over": painted + (1 - alpha) x background. `painted` is premultiplied, so a
        # soft edge mixes no colour of transparent pixels into the frame.
        transparency = cv2.bitwise_not(alpha[:height, :width])
        background = _scaled(samples, transparency)
        # cv2.add saturates: rounding may carry the sum to 256.
        samples[...] = cv2.add(background, painted[:height, :width])
        if self.kept_share is not None:
            shares = Planes(*self.kept_share, self.chroma_shift_x, self.chroma_shift_y)
            kept = shares.samples(plane, block)
            kept[...] = _scaled(kept, transparency)

    def blend(self, block: Rect, over: tuple[Pixels, Pixels, Pixels], mask: Pixels) -> None:
        """Mix the samples of all three planes under a block with others, in place.

        Args:
            block: a block of `block`.
            over: the samples to mix in, in the block's size in each plane.
            mask: the opacity of each px, 255 replaces it: shape of the block.
        """
        chroma_mask = np.asarray(
            cv2.resize(mask, self.chroma_size(block), interpolation=cv2.INTER_AREA), np.uint8
        )
        for plane, samples in zip(PLANES, over, strict=True):
            height, width = samples.shape
            alpha = (chroma_mask if plane else mask)[:height, :width]
            painted = cv2.multiply(samples, alpha, scale=1 / 255)
            self.composite(plane, block, np.asarray(painted, np.uint8), alpha)

    @staticmethod
    def from_rgb(rgb: Pixels) -> "Planes":
        """Convert RGB of shape (height, width, 3) to 4:4:4, full range, BT.601, as JPEG does."""
        yuv = cv2.transform(rgb, rgb_to_yuv("bt601", True))
        y, u, v = (np.asarray(samples, np.uint8) for samples in cv2.split(yuv))
        return Planes(y, u, v, 0, 0, full_range=True, matrix="bt601")

    def to_rgb(self, rect: Rect | None = None) -> Pixels:
        """Convert the frame, or a rectangle of it, to RGB of shape (height, width, 3)."""
        whole = rect or Rect(0, 0, self.width, self.height)
        block = self.block(whole.x1, whole.y1, whole.x2, whole.y2)
        if block is None:
            return np.zeros((0, 0, 3), np.uint8)
        luma = self.luma(block)
        height, width = luma.shape
        step_x, step_y = self.chroma_step
        # Samples are repeated, not interpolated: on 4:4:4 images, the use of this, it is exact.
        u, v = (
            chroma.repeat(step_y, 0).repeat(step_x, 1)[:height, :width]
            for chroma in self.chroma(block)
        )
        forward = rgb_to_yuv(self.matrix, self.full_range)
        inverse = np.linalg.inv(forward[:, :3])
        offset = -inverse @ forward[:, 3:]
        rgb = cv2.transform(np.dstack([luma, u, v]), np.hstack([inverse, offset]))
        inside = np.asarray(rgb[whole.y1 - block.y1 :, whole.x1 - block.x1 :], np.uint8)
        return inside[: whole.y2 - whole.y1, : whole.x2 - whole.x1]


def _scaled(samples: Pixels, share: cv2.typing.MatLike) -> cv2.typing.MatLike:
    """Multiply samples by a share of 255."""
    # A turned frame has negative strides, which OpenCV refuses: it gets a copy.
    return cv2.multiply(np.ascontiguousarray(samples), share, scale=1 / 255)


@cache
def rgb_to_yuv(matrix: Matrix, full_range: bool) -> npt.NDArray[np.float64]:
    """The 3 x 4 matrix from (R, G, B, 1), with R, G, B in 0-255, to 8-bit Y, U, V (ITU-T H.273)."""
    red, blue = LUMA_WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    u = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    v = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    # Limited range: luma is 16 to 235, chroma 16 to 240 around 128.
    luma_scale, chroma_scale, black = (
        (1.0, 1.0, 0.0) if full_range else (219 / 255, 224 / 255, 16.0)
    )
    rows = np.vstack([luma * luma_scale, u * chroma_scale, v * chroma_scale])
    return np.hstack([rows, [[black], [128.0], [128.0]]])
