"""The pieces that stickers are made of: planes in the space of a head, seen as that head stands."""

import math
from dataclasses import dataclass

from filters.affine import Affine
from filters.motion import RESTING, Moment, Motion
from filters.pose import HeadPose, Point

UNITS = 100.0
"""All artwork is drawn for a face whose eyes are this many units of the SVG apart."""

AWAY = (0.47, 0.34)
"""From the first to the second share of its area that is still seen, a layer fades: 62 to 70
degrees. On real heads its far side lies on the face until then; later it stands out into the air,
and half faded for long it looks wrong."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One piece of artwork and where it goes: a plane in head space (see `filters.pose`).

    The point ``origin`` of the SVG lies at ``place``: eye distances right, down and out from
    between the eyes. The plane faces as the face does, but for ``turn`` degrees about the vertical
    (positive to the picture's right), and then ``tilt`` degrees about its own horizontal (positive
    with its top leaning back). ``roundness`` is how much it looks the same from all sides, as a
    cylinder about the vertical: 1 shows its front however the head turns, 0 is flat.
    ``motion`` is how it moves by itself. A sprite has several ``frames``, ``<asset>-1.svg`` and on,
    each shown for the same share of a round of its motion. What ``glows`` is as bright in the dark.
    """

    asset: str
    origin: Point
    place: tuple[float, float, float]
    turn: float = 0.0
    tilt: float = 0.0
    roundness: float = 0.0
    mirrored: bool = False
    motion: Motion | None = None
    frames: int = 1
    glows: bool = False

    @property
    def assets(self) -> tuple[str, ...]:
        """The names of its drawings, in the order they are shown."""
        return (
            (self.asset,)
            if self.frames == 1
            else tuple(f"{self.asset}-{n + 1}" for n in range(self.frames))
        )

    def moment(self, time_s: float) -> Moment:
        """Where it is in its motion ``time_s`` seconds after the video's start."""
        return self.motion.at(time_s) if self.motion else RESTING


def layer_to_frame(
    layer: Layer, pose: HeadPose, scale: float = 1.0, moment: Moment = RESTING
) -> Affine:
    """Where a layer goes: the transform from units of its SVG to px of the frame."""
    to_right, to_down, to_out = pose.axes
    turn, tilt = math.radians(layer.turn - layer.roundness * pose.yaw), math.radians(layer.tilt)
    facing = _sum(_times(to_right, math.sin(turn)), _times(to_out, math.cos(turn)))
    right = _sum(_times(to_right, math.cos(turn)), _times(to_out, -math.sin(turn)))
    down = _sum(_times(to_down, math.cos(tilt)), _times(facing, math.sin(tilt)))
    if moment.degrees:
        cos, sin = math.cos(math.radians(moment.degrees)), math.sin(math.radians(moment.degrees))
        right, down = (
            _sum(_times(right, cos), _times(down, sin)),
            _sum(_times(right, -sin), _times(down, cos)),
        )
    unit = scale * moment.size / UNITS
    across = _times(right, -unit if layer.mirrored else unit)
    at = pose.at(
        layer.place[0] + moment.right, layer.place[1] + moment.down, layer.place[2] + moment.out
    )
    return Affine.landing(across, _times(down, unit), layer.origin, at)


def layer_opacity(layer: Layer, to_frame: Affine, size: float) -> float:
    """How opaque a layer that lies so is (0-1), if an eye distance of its artwork is ``size`` px
    from the front."""
    seen = (to_frame.xx * to_frame.yy - to_frame.xy * to_frame.yx) * (UNITS / size) ** 2
    first, last = AWAY
    x = min(1.0, max(0.0, ((-seen if layer.mirrored else seen) - last) / (first - last)))
    return x * x * (3 - 2 * x)


def _times(vector: Point, factor: float) -> Point:
    return vector[0] * factor, vector[1] * factor


def _sum(a: Point, b: Point) -> Point:
    return a[0] + b[0], a[1] + b[1]
