"""The layers of stickers: flat drawings in head space, projected as the head is posed."""

import math
from dataclasses import dataclass

from filters.affine import Affine
from filters.easing import smoothstep
from filters.motion import AT_REST, Motion, MotionState
from filters.pose import HeadPose, Point

UNITS = 100.0
"""The distance of the eyes in units of the SVG, for which all artwork is drawn."""

FADE_START, FADE_END = 0.47, 0.34
"""A layer fades as the visible share of its area falls between these: from 62 to 70 degrees of yaw.

On real heads the far side of a layer lies on the face until then. Beyond, it sticks out into the
air. A longer fade looks wrong: it shows half-transparent glasses for too long.
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """One drawing and its position: a plane in head space (see `filters.pose`).

    ``origin``, a point of the SVG, lies at ``place``: eye distances right, down and out from the
    middle between the eyes. The plane is parallel to the face, turned by ``turn`` degrees about
    the vertical (positive to the right of the image) and by ``tilt`` degrees about its own
    horizontal (positive leans its top back). ``roundness`` is the share of the head's yaw that it
    ignores, like a cylinder: 1 always shows its front, 0 is flat.
    ``motion`` animates it. A sprite has several ``frames``, ``<asset>-1.svg`` and on, which share
    the period of its motion equally. A layer that ``glows`` is not dimmed in dark scenes.
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
        """The names of its drawings, in the order of the animation."""
        if self.frames == 1:
            return (self.asset,)
        return tuple(f"{self.asset}-{number}" for number in range(1, self.frames + 1))

    def state_at(self, time_s: float) -> MotionState:
        """The state of its motion ``time_s`` seconds after the start of the video."""
        return self.motion.at(time_s) if self.motion else AT_REST


def layer_to_frame(
    layer: Layer, pose: HeadPose, scale: float = 1.0, state: MotionState = AT_REST
) -> Affine:
    """The transform from units of a layer's SVG to px of the frame."""
    to_right, to_down, to_out = pose.axes
    turn = math.radians(layer.turn - layer.roundness * pose.yaw)
    tilt = math.radians(layer.tilt)
    facing = _sum(_times(to_right, math.sin(turn)), _times(to_out, math.cos(turn)))
    right = _sum(_times(to_right, math.cos(turn)), _times(to_out, -math.sin(turn)))
    down = _sum(_times(to_down, math.cos(tilt)), _times(facing, math.sin(tilt)))
    if state.degrees:
        right, down = _rotated(right, down, math.radians(state.degrees))
    unit = scale * state.size / UNITS
    across = _times(right, -unit if layer.mirrored else unit)
    x, y, z = layer.place
    at = pose.at(x + state.right, y + state.down, z + state.out)
    return Affine.with_axes(across, _times(down, unit), layer.origin, at)


def layer_opacity(layer: Layer, to_frame: Affine, size: float) -> float:
    """The opacity (0-1) of a layer that is turned away from the camera.

    Args:
        layer: the layer.
        to_frame: its transform, of `layer_to_frame`.
        size: the px that an eye distance of its artwork has from the front.
    """
    # By the rule of the parallelogram: the cosine of the angle to the camera. Negative: seen from
    # behind, where a mirrored drawing has the opposite orientation.
    visible = to_frame.determinant * (UNITS / size) ** 2
    if layer.mirrored:
        visible = -visible
    return smoothstep(visible, FADE_END, FADE_START)


def _rotated(right: Point, down: Point, angle: float) -> tuple[Point, Point]:
    """Two axes of a plane, rotated within it clockwise by an angle in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return (
        _sum(_times(right, cos), _times(down, sin)),
        _sum(_times(right, -sin), _times(down, cos)),
    )


def _times(vector: Point, factor: float) -> Point:
    return vector[0] * factor, vector[1] * factor


def _sum(a: Point, b: Point) -> Point:
    return a[0] + b[0], a[1] + b[1]
