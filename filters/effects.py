"""Filters that change a face's own colours: a drawn face, and a face as a camera for heat would
show it.

They see a face at the same size and upright, however large it is and however it stands, and go by
the brightness of whole areas: so neither noise nor a trembling box makes them flicker.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from facepaint.looks.look import FilterSpec
from filters.affine import Affine
from filters.area import Area, ellipsoid
from filters.face import Face, pose_of
from filters.planes import Pixels, Planes, Rect, rgb_to_yuv
from filters.pose import HeadPose

FACE_MIDDLE = (0.0, 0.33, -0.5)
"""Middle of an ellipsoid around a face, from hairline to chin, in head space."""

FACE_SEMIAXES = (1.12, 1.58, 1.0)
"""Its semiaxes to the right, down and out, in eye distances."""

SOFT = 0.22
"""Width of the soft edge around it, in eye distances."""

EYES_PX = 64
"""The distance of the eyes in the small upright picture in which tones are smoothed."""

TONES, STEEP = 7, 2.5
"""Levels of brightness of a drawn face, and how much steeper than before the edges between them
are."""

VIVID = 1.25
"""How much farther from grey its colours are."""

LINE_FROM, LINE_TO = 2.2, 9.0
"""How much darker than its surroundings, in levels of luma, a px must be for a line to begin and to
be full."""

INK = 0.85
"""How dark a full line is: 1 is black."""

HEAT: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (0.0, (6, 4, 38)),
    (0.2, (48, 14, 128)),
    (0.38, (150, 20, 150)),
    (0.54, (226, 46, 84)),
    (0.7, (250, 130, 22)),
    (0.86, (255, 214, 50)),
    (1.0, (255, 252, 214)),
)
"""From cold to warm: shares of the way, and colours there."""

SKIN = 0.62
"""Where on that way the average of a face lies; a dark skin is as warm as a light one."""

DARKEST_FACE = 12.0
"""The least average, in levels of luma above black, that is taken for a face: noise in the dark is
not stretched."""

CONTRAST = 1.2
"""The power of brightness that heat follows."""

Samples = tuple[Pixels, Pixels, Pixels]


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect with its options."""

    spec: FilterSpec

    @classmethod
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Effect":  # noqa: ARG003 - as every maker
        """The filter of a look's entry."""
        return cls(spec)

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Change one face in place; the region touched, within the frame."""
        pose = pose_of(face)
        soft = max(1.0, SOFT * pose.size)
        area = ellipsoid(pose, FACE_MIDDLE, FACE_SEMIAXES, soft).grown(self.spec.number("scale"))
        # Half of the soft edge lies inside.
        inner = replace(
            area, half_width=area.half_width - soft / 2, half_height=area.half_height - soft / 2
        )
        block = planes.block(*inner.bounds)
        opacity = face.opacity * self.spec.number("opacity")
        if block is None or opacity <= 0 or min(inner.half_width, inner.half_height) <= 0:
            return []
        mask = np.asarray(cv2.convertScaleAbs(inner.mask(block), alpha=opacity), np.uint8)
        planes.blend(
            block, EFFECTS[self.spec.name](AlignedFace.of_block(planes, block, pose, inner)), mask
        )
        return [planes.clip(block)]


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """A small upright picture of what lies under a block about a face, `EYES_PX` from eye to eye:
    ``size`` px large."""

    planes: Planes
    block: Rect
    to_small: Affine
    size: tuple[int, int]

    @classmethod
    def of_block(cls, planes: Planes, block: Rect, pose: HeadPose, area: Area) -> "AlignedFace":
        """The picture of an area; its px lie fixed on the face."""
        scale, roll = EYES_PX / pose.size, math.radians(pose.roll)
        across, along = (
            scale * (half + area.soft) for half in replace(area, roll=area.roll - roll).half_extents
        )
        cos, sin = scale * math.cos(roll), scale * math.sin(roll)
        middle = math.ceil(across), math.ceil(along)
        to_small = Affine.landing((cos, -sin), (sin, cos), area.centre, middle)
        return cls(planes, block, to_small, (2 * middle[0], 2 * middle[1]))

    def crop(self, number: int) -> Pixels:
        """A plane of the frame (0 Y, 1 U, 2 V) in the small picture."""
        samples = np.ascontiguousarray(self._under(number))
        to_small = self._to_small(number)
        while to_small.scale < 0.5 and min(samples.shape) > 1:
            width, height = samples.shape[1] // 2, samples.shape[0] // 2
            halves = Affine(samples.shape[1] / width, 0.0, 0.0, 0.0, samples.shape[0] / height, 0.0)
            samples = np.asarray(
                cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA), np.uint8
            )
            to_small = to_small @ halves
        matrix = _centred(to_small).matrix
        return np.asarray(
            cv2.warpAffine(samples, matrix, self.size, borderMode=cv2.BORDER_REPLICATE), np.uint8
        )

    def restore(self, small: cv2.typing.MatLike, number: int) -> Pixels:
        """A small picture as the samples of a plane under the block."""
        height, width = self._under(number).shape
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        matrix = _centred(self._to_small(number)).matrix
        warped = cv2.warpAffine(
            small, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(warped, np.uint8)

    def _under(self, number: int) -> Pixels:
        return (
            self.planes.chroma(self.block)[number - 1] if number else self.planes.luma(self.block)
        )

    def _to_small(self, number: int) -> Affine:
        """From a plane's samples under the block."""
        x, y = (
            (1 << self.planes.chroma_shift_x, 1 << self.planes.chroma_shift_y) if number else (1, 1)
        )
        return self.to_small @ Affine(x, 0.0, self.block.x1, 0.0, y, self.block.y1)


def _centred(transform: Affine) -> Affine:
    """The same where px are counted from the centre of the first, as OpenCV does, not from its
    corner."""
    return Affine.shift(-0.5, -0.5) @ transform @ Affine.shift(0.5, 0.5)


def _cartoon(aligned: AlignedFace) -> Samples:
    """Smoothed tones in few steps, and dark lines where the face is darker than about it.

    The lines are differences of Gaussians (Winnemoeller et al., Real-Time Video Abstraction, 2006).
    """
    planes = aligned.planes
    luma = cv2.bilateralFilter(aligned.crop(0), 7, 30, 3)
    fine, coarse = cv2.GaussianBlur(luma, (5, 5), 1.0), cv2.blur(cv2.blur(luma, (7, 7)), (7, 7))
    smooth, darker = cv2.split(aligned.restore(cv2.merge([luma, cv2.subtract(coarse, fine)]), 0))
    toned = cv2.LUT(smooth, _tones(planes.full_range))
    inked = cv2.multiply(toned, cv2.LUT(darker, _lines()), scale=1 / 255)
    drawn = inked if planes.full_range else cv2.convertScaleAbs(inked, beta=16)
    chroma = []
    for number in (1, 2):
        blurred = cv2.blur(cv2.blur(aligned.crop(number), (5, 5)), (3, 3))
        chroma.append(
            aligned.restore(
                cv2.convertScaleAbs(blurred, alpha=VIVID, beta=128 * (1 - VIVID)), number
            )
        )
    return np.asarray(drawn, np.uint8), chroma[0], chroma[1]


def _heat(aligned: AlignedFace) -> Samples:
    """The colours of heat by brightness, the face's own average being warm."""
    planes = aligned.planes
    smooth = np.asarray(cv2.GaussianBlur(aligned.crop(0), (0, 0), 1.2), np.uint8)
    (width, height), black = aligned.size, 0 if planes.full_range else 16
    middle = smooth[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None]
    average = max(DARKEST_FACE, float(middle.mean()) - black)
    warmth = SKIN * np.maximum(0.0, (np.arange(256) - black) / average) ** CONTRAST
    shares, colours = zip(*HEAT, strict=True)
    rgb = np.array(
        [np.interp(warmth, shares, channel) for channel in zip(*colours, strict=True)]
        + [np.ones(256)]
    )
    tables = np.rint(np.clip(rgb_to_yuv(planes.matrix, planes.full_range) @ rgb, 0, 255)).astype(
        np.uint8
    )
    y, u, v = (
        np.asarray(cv2.LUT(aligned.restore(smooth, n), table), np.uint8)
        for n, table in enumerate(tables)
    )
    return y, u, v


@cache
def _tones(full_range: bool) -> Pixels:
    """From luma to luma above black in `TONES` steps whose edges are steep, but none a jump: shape
    (256,)."""
    black, span = (0.0, 255.0) if full_range else (16.0, 219.0)
    steps = np.clip((np.arange(256) - black) / span, 0, 1) * TONES
    within = np.clip((steps % 1 - 0.5) * STEEP + 0.5, 0, 1)
    share = (np.floor(steps) + within * within * (3 - 2 * within)) / TONES
    return np.asarray(np.rint(span * np.clip(share, 0, 1)), np.uint8)


@cache
def _lines() -> Pixels:
    """From how much darker a px is than about it to what is left of its luma, of 255: shape
    (256,)."""
    share = np.clip((np.arange(256) - LINE_FROM) / (LINE_TO - LINE_FROM), 0, 1)
    return np.asarray(np.rint(255 * (1 - INK * share)), np.uint8)


EFFECTS: Mapping[str, Callable[[AlignedFace], Samples]] = {"cartoon": _cartoon, "heat": _heat}
"""The effects: from what lies under a block, what is shown there instead."""
