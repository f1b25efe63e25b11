"""How a head stands in the picture, and the space of its own in which stickers have their places.

Head space has its origin between the eyes and the distance of the eyes as its unit. Its axes point ``right`` (to the
picture's right on a face that looks at the camera, so to the subject's left), ``down`` to the chin, and ``out`` of the
face. It is projected by scaled orthography: all of a head is taken to be equally far away, so planes become affine maps.
"""

import math
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Where a head is and how it is turned.

    ``x`` and ``y`` are where the middle between the eyes lies, in px of the upright frame; ``size`` is the distance in
    px that the eyes have, or would have from the front. Angles are in degrees. ``yaw`` is positive where the nose
    turns to the picture's right, ``pitch`` where it turns down, ``roll`` where the head leans clockwise as seen. The
    head is turned by yaw about its own vertical axis first, then by pitch, then by roll: so roll is the lean of the
    head's own vertical axis, in profile too.
    """

    x: float
    y: float
    size: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @property
    def axes(self) -> tuple[Point, Point, Point]:
        """Where steps of one eye distance to the right, down and out of the face lead in the picture, in px."""
        yaw, pitch, roll = math.radians(self.yaw), math.radians(self.pitch), math.radians(self.roll)
        sin_yaw, cos_yaw, sin_pitch, cos_pitch = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
        across = self.size * math.cos(roll), self.size * math.sin(roll)

        def turned(x: float, y: float) -> Point:
            return x * across[0] - y * across[1], x * across[1] + y * across[0]

        return turned(cos_yaw, -sin_yaw * sin_pitch), turned(0.0, cos_pitch), turned(sin_yaw, cos_yaw * sin_pitch)

    def at(self, right: float, down: float, out: float = 0.0) -> Point:
        """Where a point of head space is seen, in px; its coordinates are in eye distances."""
        to_right, to_down, to_out = self.axes
        return (
            self.x + right * to_right[0] + down * to_down[0] + out * to_out[0],
            self.y + right * to_right[1] + down * to_down[1] + out * to_out[1],
        )
