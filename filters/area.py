"""The area that a redaction covers: the face, or the whole head with hair, ears, chin and neck."""

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
"""Centre of an ellipsoid around a head, in head space: between the ears, slightly below the
eyes."""

HEAD_SEMIAXES = (2.1, 2.7, 2.1)
"""Its semiaxes to the right, down and out, in eye distances of 63 mm.

Adult heads are about 155 mm wide, 195 mm long and 230 mm high down to the chin; the rest is for
hair, ears and neck.
"""

OUTLINE_POINTS = 32

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Area:
    """A box or an ellipse with a soft edge around it.

    It is rotated by ``roll`` (radians) about ``centre``. Lengths are in px.
    """

    centre: tuple[float, float]
    half_width: float
    half_height: float
    roll: float
    soft: float
    ellipse: bool

    @property
    def half_extents(self) -> tuple[float, float]:
        """Half the width and height of the ellipse's bounding box, without the soft edge."""
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
        """Points on the outline: the corners of a box, `OUTLINE_POINTS` of an ellipse."""
        unit = [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)]
        if self.ellipse:
            angles = [2 * number * math.pi / OUTLINE_POINTS for number in range(OUTLINE_POINTS)]
            unit = [(math.cos(angle), math.sin(angle)) for angle in angles]
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        points = []
        for x, y in unit:
            across, along = x * self.half_width, y * self.half_height
            points.append(
                (
                    self.centre[0] + across * cos - along * sin,
                    self.centre[1] + across * sin + along * cos,
                )
            )
        return points

    def factor_to_reach(self, points: list[Point]) -> float:
        """The factor by which an ellipse must grow to contain all points; below 1 if it does."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        offsets = [(x - self.centre[0], y - self.centre[1]) for x, y in points]
        return max(
            math.hypot(
                (x * cos + y * sin) / self.half_width, (y * cos - x * sin) / self.half_height
            )
            for x, y in offsets
        )

    def grown(self, factor: float) -> "Area":
        """The area scaled by a factor about its centre; its soft edge keeps its width."""
        return replace(
            self, half_width=self.half_width * factor, half_height=self.half_height * factor
        )

    def expanded(self, px: float) -> "Area":
        """The area with ``px`` more on each side."""
        return replace(self, half_width=self.half_width + px, half_height=self.half_height + px)

    def mask(self, block: Rect) -> Pixels:
        """The opacity of each px of a block: 255 inside the area, falling to 0 over the soft edge.

        Shape: (height, width) of the block.
        """
        # Measured from the centres of the px.
        x = np.arange(block.x1, block.x2, dtype=np.float32) + np.float32(0.5 - self.centre[0])
        y = np.arange(block.y1, block.y2, dtype=np.float32) + np.float32(0.5 - self.centre[1])
        outside = self._px_outside_ellipse(x, y) if self.ellipse else self._px_outside_box(x, y)
        # The conversion to 8 bits saturates: at 255 inside the area, at 0 beyond its soft edge.
        opacity = cv2.addWeighted(outside, -255 / self.soft, outside, 0.0, 255.0, dtype=cv2.CV_8U)
        return np.asarray(opacity, np.uint8)

    def _px_outside_box(self, x: Floats, y: Floats) -> Floats:
        """The distance of columns ``x`` and rows ``y`` from the box in px; negative inside.

        Boxes are never rolled.
        """
        return np.maximum(
            np.abs(x) - np.float32(self.half_width),
            np.abs(y[:, None]) - np.float32(self.half_height),
        )

    def _px_outside_ellipse(self, x: Floats, y: Floats) -> Floats:
        """The distance of columns ``x`` and rows ``y`` from the ellipse in px; negative inside.

        It is exact along the shorter axis, and smaller than the true distance elsewhere: the soft
        edge is never narrower than asked for.
        """
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        across, along = self.half_width**-2, self.half_height**-2
        xx = cos * cos * across + sin * sin * along
        yy = sin * sin * across + cos * cos * along
        xy = 2 * sin * cos * (across - along)
        # xx x^2 + xy x y + yy y^2 for every px, as one product of an (h, 3) and a (3, w) matrix:
        # it needs none of the temporary arrays that the sum of three terms does.
        rows = np.column_stack([np.ones_like(y), y, y * y * np.float32(yy)])
        columns = np.vstack([x * x * np.float32(xx), x * np.float32(xy), np.ones_like(x)])
        # Rounding may take the square below 0 at the centre.
        radius = cv2.sqrt(np.maximum(rows @ columns, np.float32(0)))
        short = min(self.half_width, self.half_height)
        return np.asarray(cv2.addWeighted(radius, short, radius, 0.0, -short), np.float32)


def covered_area(face: Face, scale: float, shape: str = "ellipse", cover: str = "face") -> Area:
    """The area that a redaction of a face covers, grown by the face's margin.

    Args:
        face: the face.
        scale: the size relative to the face; from `BOX_COVERING_SCALE` on it contains the box.
        shape: ``ellipse`` or ``box``.
        cover: ``face``, or ``head`` for the whole head.
    """
    area = _face_area(face, scale, shape)
    if cover == "face":
        return area
    head = ellipsoid(pose_of(face), HEAD_CENTRE, HEAD_SEMIAXES, area.soft)
    head = head.expanded(face.margin).grown(scale / BOX_COVERING_SCALE)
    # Landmarks may be wrong. The head's area contains the face's area whatever they are.
    head = head.grown(max(1.0, head.factor_to_reach(area.outline)))
    if shape == "ellipse":
        return head
    width, height = head.half_extents
    return Area(head.centre, width, height, 0.0, area.soft, ellipse=False)


def _face_area(face: Face, scale: float, shape: str) -> Area:
    """The area around a face.

    The ellipse has the proportions of the face along its own axes, and just the size that reaches
    the corners of the box at `BOX_COVERING_SCALE`, whatever the roll.
    """
    # Half a px more: a px that the box only touches may have its centre that far outside.
    width, height = face.width / 2 + 0.5 + face.margin, face.height / 2 + 0.5 + face.margin
    soft, roll = max(1.0, SOFT_EDGE * face.width), math.radians(pose_of(face).roll)
    if shape == "box":
        return Area(face.centre, width * scale, height * scale, 0.0, soft, ellipse=False)
    corners = Area(face.centre, width, height, 0.0, soft, ellipse=False).outline
    along_own_axes = Area(face.centre, width, height, -roll, soft, ellipse=True).half_extents
    ellipse = Area(face.centre, *along_own_axes, roll, soft, ellipse=True)
    return ellipse.grown(ellipse.factor_to_reach(corners) * scale / BOX_COVERING_SCALE)


def ellipsoid(
    head: HeadPose,
    centre: tuple[float, float, float],
    semiaxes: tuple[float, float, float],
    soft: float,
) -> Area:
    """The outline in the frame of an ellipsoid in head space.

    Args:
        head: the pose.
        centre: right, down and out, in eye distances.
        semiaxes: the same.
        soft: width of the soft edge in px.
    """
    axes = np.array(head.axes).T * semiaxes
    # An ellipsoid is a unit ball under a linear map. Its projection is the unit disc under the
    # map's first two rows: an ellipse whose semiaxes are their singular values.
    directions, lengths, _ = np.linalg.svd(axes)
    roll = math.atan2(directions[1, 0], directions[0, 0])
    across, along = (max(1.0, float(length)) for length in lengths)
    return Area(head.at(*centre), across, along, roll, soft, ellipse=True)


def has_finite_position(face: Face) -> bool:
    """Whether the face's box, landmarks and margin are finite numbers."""
    return all(map(math.isfinite, (*face.box, *face.landmarks, face.margin)))
