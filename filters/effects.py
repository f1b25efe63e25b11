"""Colour effects: a cartoon, and a thermal image.

They work on a crop of the face at fixed size and orientation, and on the brightness of areas, not
of single pixels. So neither noise nor jitter of the box makes them flicker.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.looks.look import FilterSpec
from filters.affine import Affine
from filters.area import Area, ellipsoid
from filters.face import Face, pose_of
from filters.planes import PLANES, Pixels, Planes, Rect, rgb_to_yuv
from filters.pose import HeadPose

FACE_CENTRE = (0.0, 0.33, -0.5)
"""Centre of an ellipsoid around a face, from hairline to chin, in head space."""

FACE_SEMIAXES = (1.12, 1.58, 1.0)
"""Its semiaxes to the right, down and out, in eye distances."""

SOFT_EDGE = 0.22
"""Width of the soft edge, in eye distances; half of it lies inside the ellipsoid."""

EYES_PX = 64
"""The distance of the eyes in the aligned crop in which tones are smoothed."""

TONES, STEEPNESS = 7, 2.5
"""Levels of brightness of the cartoon, and the slope of the steps between them."""

SATURATION = 1.25
"""The factor by which the cartoon's chroma grows."""

LINE_FROM, LINE_TO = 2.2, 9.0
"""The levels of luma by which a px is darker than its surroundings where a line begins, and where
it is full."""

INK = 0.85
"""The darkness of a full line: 1 is black."""

HEAT: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (0.0, (6, 4, 38)),
    (0.2, (48, 14, 128)),
    (0.38, (150, 20, 150)),
    (0.54, (226, 46, 84)),
    (0.7, (250, 130, 22)),
    (0.86, (255, 214, 50)),
    (1.0, (255, 252, 214)),
)
"""The colour map from cold (0) to warm (1), in sRGB."""

SKIN_WARMTH = 0.62
"""The warmth of the average of a face, whatever its brightness: dark skin is as warm as light
skin."""

DARKEST_FACE = 12.0
"""The least average taken for a face, in levels of luma above black: else noise in the dark would
be amplified."""

CONTRAST = 1.2
"""The exponent from brightness to warmth."""

Samples = tuple[Pixels, Pixels, Pixels]


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect with its options."""

    spec: FilterSpec

    @classmethod
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Effect":
        """Make the filter that a look specifies."""
        return cls(spec)

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Change one face in place; the rectangle painted on, within the frame."""
        pose = pose_of(face)
        soft = max(1.0, SOFT_EDGE * pose.size)
        area = ellipsoid(pose, FACE_CENTRE, FACE_SEMIAXES, soft).grown(self.spec.number("scale"))
        inner = area.expanded(-soft / 2)
        block = planes.block(*inner.bounds)
        opacity = face.opacity * self.spec.number("opacity")
        if block is None or opacity <= 0 or min(inner.half_width, inner.half_height) <= 0:
            return []
        mask = np.asarray(cv2.convertScaleAbs(inner.mask(block), alpha=opacity), np.uint8)
        effect = EFFECTS[self.spec.name]
        planes.blend(block, effect(AlignedFace.of_block(planes, block, pose, inner)), mask)
        return [planes.clip(block)]


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """The crop of a block around a face: upright, with the eyes `EYES_PX` apart.

    ``to_crop`` maps px of the frame to px of the crop; ``size`` is the crop's width and height.
    """

    planes: Planes
    block: Rect
    to_crop: Affine
    size: tuple[int, int]

    @classmethod
    def of_block(cls, planes: Planes, block: Rect, pose: HeadPose, area: Area) -> "AlignedFace":
        """Align the crop with the head: its px keep their places on the face in every frame."""
        scale, roll = EYES_PX / pose.size, math.radians(pose.roll)
        upright = replace(area, roll=area.roll - roll)
        half_width, half_height = (
            math.ceil(scale * (half + area.soft)) for half in upright.half_extents
        )
        cos, sin = scale * math.cos(roll), scale * math.sin(roll)
        to_crop = Affine.with_axes((cos, -sin), (sin, cos), area.centre, (half_width, half_height))
        return cls(planes, block, to_crop, (2 * half_width, 2 * half_height))

    def crop(self, plane: int) -> Pixels:
        """Warp a plane of the frame (0 Y, 1 U, 2 V) into the crop: shape (height, width)."""
        samples = np.ascontiguousarray(self.planes.samples(plane, self.block))
        to_crop = self._to_crop(plane)
        # Bilinear interpolation skips samples below half the size: halve by averages first.
        while to_crop.scale < 0.5 and min(samples.shape) > 1:
            width, height = samples.shape[1] // 2, samples.shape[0] // 2
            doubled = Affine(
                samples.shape[1] / width, 0.0, 0.0, 0.0, samples.shape[0] / height, 0.0
            )
            halved = cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)
            samples = np.asarray(halved, np.uint8)
            to_crop = to_crop @ doubled
        matrix = to_crop.between_pixel_centres.matrix
        cropped = cv2.warpAffine(samples, matrix, self.size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cropped, np.uint8)

    def restore(self, crop: cv2.typing.MatLike, plane: int) -> Pixels:
        """Warp a crop back to the samples of a plane under the block."""
        height, width = self.planes.samples(plane, self.block).shape
        warped = cv2.warpAffine(
            crop,
            self._to_crop(plane).between_pixel_centres.matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(warped, np.uint8)

    def _to_crop(self, plane: int) -> Affine:
        """The transform from a plane's samples under the block to px of the crop."""
        x, y = self.planes.step(plane)
        return self.to_crop @ Affine(x, 0.0, self.block.x1, 0.0, y, self.block.y1)


def _cartoon(face: AlignedFace) -> Samples:
    """Smoothed tones in few steps, and lines where the face is darker than its surroundings.

    The lines are differences of Gaussians (Winnemoeller et al., Real-Time Video Abstraction, 2006).
    """
    luma = cv2.bilateralFilter(face.crop(0), 7, 30, 3)
    fine = cv2.GaussianBlur(luma, (5, 5), 1.0)
    # Two box filters approximate the wide Gaussian, at a fraction of its cost.
    coarse = cv2.blur(cv2.blur(luma, (7, 7)), (7, 7))
    # Both go back to the frame before they are quantized: steps stay sharp at any size.
    smooth, darker = cv2.split(face.restore(cv2.merge([luma, cv2.subtract(coarse, fine)]), 0))
    toned = cv2.LUT(smooth, _tones(face.planes.full_range))
    inked = cv2.multiply(toned, cv2.LUT(darker, _lines()), scale=1 / 255)
    # Tones count from black: the offset of limited range comes last, or ink would darken it too.
    drawn = cv2.convertScaleAbs(inked, beta=face.planes.black)
    u, v = (_vivid_chroma(face, plane) for plane in (1, 2))
    return np.asarray(drawn, np.uint8), u, v


def _vivid_chroma(face: AlignedFace, plane: int) -> Pixels:
    """A smoothed chroma plane, farther from grey."""
    smooth = cv2.blur(cv2.blur(face.crop(plane), (5, 5)), (3, 3))
    vivid = cv2.convertScaleAbs(smooth, alpha=SATURATION, beta=128 * (1 - SATURATION))
    return face.restore(vivid, plane)


def _heat(face: AlignedFace) -> Samples:
    """A colour map of brightness, relative to the face's own average."""
    planes = face.planes
    smooth = np.asarray(cv2.GaussianBlur(face.crop(0), (0, 0), 1.2), np.uint8)
    # The middle of the crop is skin; its border holds hair and background.
    width, height = face.size
    rows = slice(height // 4, -(height // 4) or None)
    columns = slice(width // 4, -(width // 4) or None)
    average = max(DARKEST_FACE, float(smooth[rows, columns].mean()) - planes.black)
    brightness = np.maximum(0.0, (np.arange(256) - planes.black) / average)
    tables = _heat_tables(SKIN_WARMTH * brightness**CONTRAST, planes)
    y, u, v = (
        np.asarray(cv2.LUT(face.restore(smooth, plane), tables[plane]), np.uint8)
        for plane in PLANES
    )
    return y, u, v


def _heat_tables(warmth: npt.NDArray[np.float64], planes: Planes) -> Pixels:
    """The Y, U and V samples for each of 256 values of warmth: shape (3, 256)."""
    stops, colours = zip(*HEAT, strict=True)
    channels = [np.interp(warmth, stops, channel) for channel in zip(*colours, strict=True)]
    yuv = rgb_to_yuv(planes.matrix, planes.full_range) @ np.array([*channels, np.ones(256)])
    return np.asarray(np.rint(np.clip(yuv, 0, 255)), np.uint8)


@cache
def _tones(full_range: bool) -> Pixels:
    """The table from luma to luma above black in `TONES` steps: shape (256,).

    Steps are steep but continuous: a jump would turn noise on its edge into flicker.
    """
    black, span = (0.0, 255.0) if full_range else (16.0, 219.0)
    steps = np.clip((np.arange(256) - black) / span, 0, 1) * TONES
    within = np.clip((steps % 1 - 0.5) * STEEPNESS + 0.5, 0, 1)
    share = (np.floor(steps) + within * within * (3 - 2 * within)) / TONES
    return np.asarray(np.rint(span * np.clip(share, 0, 1)), np.uint8)


@cache
def _lines() -> Pixels:
    """The table from a px's darkness to the share of its luma that a line leaves, of 255: shape
    (256,)."""
    share = np.clip((np.arange(256) - LINE_FROM) / (LINE_TO - LINE_FROM), 0, 1)
    return np.asarray(np.rint(255 * (1 - INK * share)), np.uint8)


EFFECTS: Mapping[str, Callable[[AlignedFace], Samples]] = {"cartoon": _cartoon, "heat": _heat}
"""The effects: from an aligned face to the samples of the three planes under its block."""
