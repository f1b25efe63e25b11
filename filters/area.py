"""The area that a hiding filter covers: the face, or the whole head with hair, ears, chin and
neck."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from filters.face import Face, pose_of
from filters.planes import Pixels, Rect
from filters.pose import HeadPose, Point

BOX_COVERING_SCALE = 1.3
"""The scale at which an ellipse reaches the corners of the face's box."""

SOFT_EDGE = 0.05
"""Width of the soft edge as a share of the face's width; never under 1 px."""

HEAD_CENTRE = (0.0, 0.25, -1.25)
"""Middle of an ellipsoid around a head, in head space: between the ears, a little below the
eyes."""

HEAD_SEMIAXES = (2.1, 2.7, 2.1)
"""Its semiaxes to the right, down and out, in eye distances of 63 mm.

Grown heads are about 155 mm wide, 195 mm long and 230 mm high down to the chin; the rest is hair,
ears and neck.
"""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Area:
    """The area a hiding filter covers: a box or an ellipse turned by ``roll`` (radians) about
    ``centre``, in px."""

    centre: tuple[float, float]
    half_width: float
    half_height: float
    roll: float
    soft: float
    ellipse: bool

    @property
    def half_extents(self) -> tuple[float, float]:
        """Half the width and height of the upright box around the area, without its soft edge."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        return (
            math.hypot(self.half_width * cos, self.half_height * sin),
            math.hypot(self.half_width * sin, self.half_height * cos),
        )

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the area and its soft edge."""
        (width, height), (x, y), soft = self.half_extents, self.centre, self.soft
        return x - width - soft, y - height - soft, x + width + soft, y + height + soft

    @property
    def outline(self) -> list[Point]:
        """Points all around: the corners of a box, 32 of an ellipse."""
        steps = [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)]
        if self.ellipse:
            steps = [(math.cos(n * math.pi / 16), math.sin(n * math.pi / 16)) for n in range(32)]
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        across_along = [(x * self.half_width, y * self.half_height) for x, y in steps]
        return [
            (self.centre[0] + a * cos - b * sin, self.centre[1] + a * sin + b * cos)
            for a, b in across_along
        ]

    def reaching(self, points: list[Point]) -> float:
        """By how much an ellipse must grow to reach the farthest of some points; below 1 where it
        covers them all."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        steps = [(x - self.centre[0], y - self.centre[1]) for x, y in points]
        return max(
            math.hypot(
                (x * cos + y * sin) / self.half_width, (y * cos - x * sin) / self.half_height
            )
            for x, y in steps
        )

    def grown(self, factor: float) -> "Area":
        """The same about the same centre, larger."""
        return replace(
            self, half_width=self.half_width * factor, half_height=self.half_height * factor
        )

    def mask(self, block: Rect) -> Pixels:
        """How much each px of a block is hidden: 255 inside the area, falling to 0 over the soft
        edge around it."""
        x = np.arange(block.x1, block.x2, dtype=np.float32) + np.float32(0.5 - self.centre[0])
        y = np.arange(block.y1, block.y2, dtype=np.float32) + np.float32(0.5 - self.centre[1])
        beyond = self._beyond_ellipse(x, y) if self.ellipse else self._beyond_box(x, y)
        # Conversion to 8 bits cuts at 255 inside the area and at 0 past its soft edge.
        shade = cv2.addWeighted(beyond, -255 / self.soft, beyond, 0.0, 255.0, dtype=cv2.CV_8U)
        return np.asarray(shade, np.uint8)

    def _beyond_box(self, x: Floats, y: Floats) -> Floats:
        """How far each px of columns ``x`` and rows ``y`` is outside of the box, in px; negative
        inside."""
        return np.maximum(
            np.abs(x) - np.float32(self.half_width),
            np.abs(y[:, None]) - np.float32(self.half_height),
        )

    def _beyond_ellipse(self, x: Floats, y: Floats) -> Floats:
        """How far each px of columns ``x`` and rows ``y`` is outside of the ellipse, nearly;
        negative inside."""
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


def covered_area(face: Face, scale: float, shape: str = "ellipse", cover: str = "face") -> Area:
    """The area that hides a face, or its whole head: a box or an ellipse, grown by the face's
    margin."""
    area = _around_face(face, scale, shape)
    if cover == "face":
        return area
    head = ellipsoid(pose_of(face), HEAD_CENTRE, HEAD_SEMIAXES, area.soft)
    head = replace(
        head, half_width=head.half_width + face.margin, half_height=head.half_height + face.margin
    )
    head = head.grown(scale / BOX_COVERING_SCALE)
    # Whatever the landmarks say about the head, the face is hidden.
    head = head.grown(max(1.0, head.reaching(area.outline)))
    if shape == "ellipse":
        return head
    width, height = head.half_extents
    return Area(head.centre, width, height, 0.0, area.soft, ellipse=False)


def _around_face(face: Face, scale: float, shape: str) -> Area:
    """The ellipse is as wide and high as the face is along its own axes, and just so large that it
    reaches the corners of the box, whatever the roll, at `BOX_COVERING_SCALE`."""
    # The px that the box only touches are covered too: the centre of one may lie half a px outside.
    width, height = face.width / 2 + 0.5 + face.margin, face.height / 2 + 0.5 + face.margin
    soft, roll = max(1.0, SOFT_EDGE * face.width), math.radians(pose_of(face).roll)
    if shape == "box":
        return Area(face.centre, width * scale, height * scale, 0.0, soft, ellipse=False)
    corners = Area(face.centre, width, height, 0.0, soft, ellipse=False).outline
    seen_along_axes = Area(face.centre, width, height, -roll, soft, ellipse=True).half_extents
    ellipse = Area(face.centre, *seen_along_axes, roll, soft, ellipse=True)
    return ellipse.grown(ellipse.reaching(corners) * scale / BOX_COVERING_SCALE)


def ellipsoid(
    head: HeadPose,
    middle: tuple[float, float, float],
    semiaxes: tuple[float, float, float],
    soft: float,
) -> Area:
    """The outline of an ellipsoid in head space as seen; its middle and semiaxes are right, down
    and out."""
    axes = np.array(head.axes).T * semiaxes
    # An ellipsoid is a unit ball, stretched; its picture is the unit disc, stretched as the
    # singular values tell.
    directions, lengths, _ = np.linalg.svd(axes)
    roll = math.atan2(directions[1, 0], directions[0, 0])
    across, along = (max(1.0, float(length)) for length in lengths)
    return Area(head.at(*middle), across, along, roll, soft, ellipse=True)


def has_finite_position(face: Face) -> bool:
    """Whether all that tells where a face is are numbers."""
    return all(map(math.isfinite, (*face.box, *face.landmarks, face.margin)))
