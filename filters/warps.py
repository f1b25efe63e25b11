"""Warps: lenses on the eyes, the mouth or the whole face, flat in head space.

A lens displaces nothing at its rim and ever more towards its centre, so the image does not tear. It
foreshortens as the head turns, and weakens with the side of the face that turns out of sight.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.looks.look import FilterSpec
from filters.affine import Affine
from filters.easing import smoothstep
from filters.face import Face, pose_of
from filters.planes import PLANES, Pixels, Planes, Rect
from filters.pose import MEAN_FACE, HeadPose, Point

RIGHT_EYE, LEFT_EYE, NOSE, RIGHT_CORNER, LEFT_CORNER = range(5)

MAX_DEVIATION = 0.35
"""The most that a landmark may be from where the pose predicts it, in eye distances."""

FADE_START, FADE_END = 0.75, 0.4
"""A lens weakens as the visible share of its area falls between these: yaw of 41 to 66 degrees."""


@dataclass(frozen=True, slots=True)
class Lens:
    """One lens. Its centre is the mean of some landmarks, moved by ``offset``.

    ``offset`` and ``semiaxes`` are right and down, in eye distances. ``power`` is the displacement
    near the centre at full strength, as a share of the distance from it: positive magnifies,
    negative reduces.
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
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Warp":
        """Make the filter that a look specifies."""
        return cls(spec)

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Distort one face in place; the rectangles painted on, within the frame."""
        pose = pose_of(face)
        strength = self.spec.number("strength") * face.opacity * _visibility(pose)
        if strength <= 0:
            return []
        landmarks = _landmarks(face, pose)
        scale = self.spec.number("scale")
        painted = []
        for lens in WARPS[self.spec.name]:
            to_frame = _lens_to_frame(lens, landmarks, pose, scale)
            block = _apply(planes, to_frame, lens.power * strength)
            if block is not None:
                painted.append(planes.clip(block))
        return painted


def _landmarks(face: Face, pose: HeadPose) -> Sequence[Point]:
    """The five detected landmarks, or all five that the pose predicts if any is implausible.

    A mixture of both would displace the lenses against each other.
    """
    predicted = [pose.at(*place) for place in MEAN_FACE.tolist()]
    if len(face.landmarks) != 10:
        return predicted
    detected = list(zip(face.landmarks[::2], face.landmarks[1::2], strict=True))
    # Written so that NaN is implausible: comparisons with it are false.
    plausible = all(
        math.dist(a, b) < MAX_DEVIATION * pose.size
        for a, b in zip(detected, predicted, strict=True)
    )
    return detected if plausible else predicted


def _visibility(pose: HeadPose) -> float:
    """The strength (0-1) of a lens on a head in that pose."""
    to_right, to_down, _ = pose.axes
    visible = (to_right[0] * to_down[1] - to_right[1] * to_down[0]) / pose.size**2
    return smoothstep(visible, FADE_END, FADE_START)


def _lens_to_frame(lens: Lens, landmarks: Sequence[Point], pose: HeadPose, scale: float) -> Affine:
    """The transform from the unit disc to the lens in the frame, in px."""
    to_right, to_down, _ = pose.axes
    points = [landmarks[index] for index in lens.landmarks]
    x, y = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
    right, down = lens.offset
    width, height = (scale * semiaxis for semiaxis in lens.semiaxes)
    return Affine(
        width * to_right[0],
        height * to_down[0],
        x + right * to_right[0] + down * to_down[0],
        width * to_right[1],
        height * to_down[1],
        y + right * to_right[1] + down * to_down[1],
    )


def _apply(planes: Planes, to_frame: Affine, power: float) -> Rect | None:
    """Resample the frame through a lens, in place; the block painted on."""
    half_width = math.hypot(to_frame.xx, to_frame.xy)
    half_height = math.hypot(to_frame.yx, to_frame.yy)
    x, y = to_frame.x0, to_frame.y0
    block = planes.block(x - half_width, y - half_height, x + half_width, y + half_height)
    if block is None or min(half_width, half_height) < 1:
        return None
    luma_maps = _maps(planes, 0, block, to_frame, power)
    chroma_maps = _maps(planes, 1, block, to_frame, power)
    # Magnified px show how they were interpolated, reduced ones do not.
    interpolation = cv2.INTER_CUBIC if power > 0 else cv2.INTER_LINEAR
    for plane in PLANES:
        map_x, map_y, inside = chroma_maps if plane else luma_maps
        # A copy: remap cannot work in place.
        source = np.ascontiguousarray(planes.samples(plane, block))
        bent = cv2.remap(source, map_x, map_y, interpolation, borderMode=cv2.BORDER_REPLICATE)
        premultiplied = np.asarray(cv2.bitwise_and(bent, inside), np.uint8)
        planes.composite(plane, block, premultiplied, inside)
    return block


def _maps(
    planes: Planes, plane: int, block: Rect, to_frame: Affine, power: float
) -> tuple[Floats, Floats, Pixels]:
    """The column and row that each sample is taken from, and the mask of the lens (255, else 0).

    All three have the shape of the plane's samples under the block.
    """
    height, width = planes.samples(plane, block).shape
    step_x, step_y = planes.step(plane)
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)
    x = (columns + 0.5) * step_x + np.float32(block.x1 - to_frame.x0)
    y = (rows + 0.5) * step_y + np.float32(block.y1 - to_frame.y0)
    depth = _depth(x, y, to_frame)
    # Smooth at the rim, where depth is 0 with slope 0 once squared.
    displacement = cv2.multiply(depth, depth, scale=power)
    map_x = columns - displacement * (x / step_x)
    map_y = rows[:, None] - displacement * (y / step_y)[:, None]
    inside = cv2.threshold(depth, 0.0, 255.0, cv2.THRESH_BINARY)[1].astype(np.uint8)
    return np.asarray(map_x, np.float32), np.asarray(map_y, np.float32), inside


def _depth(x: Floats, y: Floats, to_frame: Affine) -> Floats:
    """1 - r^2 inside the lens, else 0: r is 0 at its centre and 1 at its rim.

    ``x`` (width,) and ``y`` (height,) are px from the centre; the result is (height, width).
    """
    # r^2 is a quadratic form of x and y. It is evaluated for all px as one product of an (h, 3) and
    # a (3, w) matrix.
    squared = to_frame.determinant**2
    xx = (to_frame.yy**2 + to_frame.yx**2) / squared
    yy = (to_frame.xx**2 + to_frame.xy**2) / squared
    xy = -2 * (to_frame.yy * to_frame.xy + to_frame.xx * to_frame.yx) / squared
    rows = np.column_stack([np.ones_like(y), y, 1 - y * y * np.float32(yy)])
    columns = np.vstack([x * x * np.float32(-xx), x * np.float32(-xy), np.ones_like(x)])
    return np.asarray(np.maximum(rows @ columns, np.float32(0)), np.float32)
