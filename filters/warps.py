"""Filters that pull a face out of shape: lenses laid on eyes, mouth or the whole face, flat in head
space.

A lens moves nothing at its rim and ever more towards its middle, so there is no tear; it
foreshortens as the head turns, and its effect goes with the side of the face that goes out of
sight.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.looks.look import FilterSpec
from filters.affine import Affine
from filters.face import Face, pose_of
from filters.planes import Pixels, Planes, Rect
from filters.pose import MEAN_FACE, HeadPose, Point

RIGHT_EYE, LEFT_EYE, NOSE, RIGHT_CORNER, LEFT_CORNER = range(5)

NEAR = 0.35
"""Landmarks farther than this from where the pose has them, in eye distances, are not believed."""

AWAY = (0.75, 0.4)
"""From the first to the second share of its area that is still seen, a lens weakens: yaw of 41 to
66 degrees."""


@dataclass(frozen=True, slots=True)
class Lens:
    """One lens: it lies on the middle of some landmarks, moved and as large as ``offset`` and
    ``semiaxes`` say.

    Both are right and down, in eye distances. ``power`` is the share of the way to its middle, at
    full strength, by which what is shown near it is taken from closer (positive: it magnifies) or
    from farther away.
    """

    landmarks: tuple[int, ...]
    offset: Point
    semiaxes: tuple[float, float]
    power: float


WARPS: Mapping[str, tuple[Lens, ...]] = {
    "big-eyes": (
        Lens((RIGHT_EYE,), (0.0, 0.0), (0.48, 0.44), 0.7),
        Lens((LEFT_EYE,), (0.0, 0.0), (0.48, 0.44), 0.7),
    ),
    "big-mouth": (Lens((RIGHT_CORNER, LEFT_CORNER), (0.0, 0.04), (0.92, 0.56), 0.7),),
    "tiny-face": (
        Lens((RIGHT_EYE, LEFT_EYE, RIGHT_CORNER, LEFT_CORNER), (0.0, 0.0), (1.3, 1.5), -0.6),
    ),
}
"""The lenses of each warp."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Warp:
    """One warp with its options."""

    spec: FilterSpec

    @classmethod
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Warp":  # noqa: ARG003 - as every maker
        """The filter of a look's entry."""
        return cls(spec)

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Pull one face out of shape in place; the regions touched, within the frame."""
        pose = pose_of(face)
        strength = self.spec.number("strength") * face.opacity * _facing(pose)
        if strength <= 0:
            return []
        points = _landmarks(face, pose)
        regions = []
        for lens in WARPS[self.spec.name]:
            block = _bend(
                planes,
                _to_frame(lens, points, pose, self.spec.number("scale")),
                lens.power * strength,
            )
            regions += [planes.clip(block)] if block else []
        return regions


def _landmarks(face: Face, pose: HeadPose) -> Sequence[Point]:
    """The five landmarks as found, or where the pose has them: all of one kind, so that no lens
    goes its own way."""
    expected = [pose.at(*place) for place in MEAN_FACE.tolist()]
    if len(face.landmarks) != 10:
        return expected
    found = list(zip(face.landmarks[::2], face.landmarks[1::2], strict=True))
    # Comparisons with NaN are false.
    near = all(math.dist(a, b) < NEAR * pose.size for a, b in zip(found, expected, strict=True))
    return found if near else expected


def _facing(pose: HeadPose) -> float:
    """How strong a lens is on a head that stands so (0-1)."""
    to_right, to_down, _ = pose.axes
    seen = (to_right[0] * to_down[1] - to_right[1] * to_down[0]) / pose.size**2
    x = min(1.0, max(0.0, (seen - AWAY[1]) / (AWAY[0] - AWAY[1])))
    return x * x * (3 - 2 * x)


def _to_frame(lens: Lens, points: Sequence[Point], pose: HeadPose, scale: float) -> Affine:
    """From the unit disc to where the lens lies in the frame, in px."""
    to_right, to_down, _ = pose.axes
    x, y = (sum(points[n][axis] for n in lens.landmarks) / len(lens.landmarks) for axis in (0, 1))
    middle = tuple(
        at + lens.offset[0] * to_right[n] + lens.offset[1] * to_down[n]
        for n, at in enumerate((x, y))
    )
    across, along = (scale * semiaxis for semiaxis in lens.semiaxes)
    return Affine(
        across * to_right[0],
        along * to_down[0],
        middle[0],
        across * to_right[1],
        along * to_down[1],
        middle[1],
    )


def _bend(planes: Planes, to_frame: Affine, power: float) -> Rect | None:
    """Show what lies under a disc as a lens of that power would, in place; the block touched."""
    wide, high = math.hypot(to_frame.xx, to_frame.xy), math.hypot(to_frame.yx, to_frame.yy)
    x, y = to_frame.x0, to_frame.y0
    block = planes.block(x - wide, y - high, x + wide, y + high)
    if block is None or min(wide, high) < 1:
        return None
    for number in range(3):
        samples = planes.chroma(block)[number - 1] if number else planes.luma(block)
        step = (1 << planes.chroma_shift_x, 1 << planes.chroma_shift_y) if number else (1, 1)
        if number < 2:
            map_x, map_y, inside = _maps(samples.shape, step, block, to_frame, power)
        source = np.ascontiguousarray(samples)
        # What is enlarged shows how it was interpolated, what is made smaller does not.
        flags = cv2.INTER_CUBIC if power > 0 else cv2.INTER_LINEAR
        bent = cv2.remap(source, map_x, map_y, flags, borderMode=cv2.BORDER_REPLICATE)
        planes.composite(number, block, np.asarray(cv2.bitwise_and(bent, inside), np.uint8), inside)
    return block


def _maps(
    shape: tuple[int, ...], step: tuple[int, int], block: Rect, to_frame: Affine, power: float
) -> tuple[Floats, Floats, Pixels]:
    """Where each sample of a plane under a block is taken from, and which lie under the lens (255,
    else 0)."""
    x = (np.arange(shape[1], dtype=np.float32) + 0.5) * step[0] + np.float32(block.x1 - to_frame.x0)
    y = (np.arange(shape[0], dtype=np.float32) + 0.5) * step[1] + np.float32(block.y1 - to_frame.y0)
    # One less the square of the way from the middle to the rim, as a product of a matrix of rows
    # and one of columns.
    determinant = to_frame.xx * to_frame.yy - to_frame.xy * to_frame.yx
    xx = (to_frame.yy**2 + to_frame.yx**2) / determinant**2
    yy = (to_frame.xx**2 + to_frame.xy**2) / determinant**2
    xy = -2 * (to_frame.yy * to_frame.xy + to_frame.xx * to_frame.yx) / determinant**2
    rows = np.column_stack([np.ones_like(y), y, 1 - y * y * np.float32(yy)])
    columns = np.vstack([x * x * np.float32(-xx), x * np.float32(-xy), np.ones_like(x)])
    within = np.maximum(rows @ columns, np.float32(0))
    towards = cv2.multiply(within, within, scale=power)
    map_x = np.arange(shape[1], dtype=np.float32) - towards * (x / step[0])
    map_y = np.arange(shape[0], dtype=np.float32)[:, None] - towards * (y / step[1])[:, None]
    inside = cv2.threshold(within, 0.0, 255.0, cv2.THRESH_BINARY)[1].astype(np.uint8)
    return np.asarray(map_x, np.float32), np.asarray(map_y, np.float32), inside
