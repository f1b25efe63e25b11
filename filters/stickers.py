"""Sticker filters: artwork of ours, and the user's own pictures, as planes in the space of a head."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from facepaint.errors import InputError
from facepaint.looks import FilterSpec
from filters.affine import Affine
from filters.artwork import Artwork, svg_artwork
from filters.cutout import read_sticker
from filters.face import Face, pose_of
from filters.planes import Planes, Region
from filters.pose import HeadPose, Point
from filters.stamp import stamp

UNITS = 100.0
"""All artwork is drawn for a face whose eyes are this many units of the SVG apart."""

FACE_SIDES = (2.3, 2.95)
"""Width and height of what a user's picture covers, in eye distances: a little more than the box of a face does."""

FACE_MIDDLE = (0.0, 0.34, 0.0)
"""Where in head space its middle is."""

WIDEST_COVER = 1.6
"""A user's picture covers that, but grows no more than this beyond fitting into it (a banner would)."""

AWAY = (0.47, 0.34)
"""From the first to the second share of its area that is still seen, a part fades: 62 to 70 degrees. On real heads its
far side lies on the face until then; later it stands out into the air, and half faded for long it looks wrong."""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of artwork and where it goes: a plane in head space (see `filters.pose`).

    The point ``origin`` of the SVG lies at ``place``: eye distances right, down and out from between the eyes. The
    plane faces as the face does, but for ``turn`` degrees about the vertical (positive to the picture's right), and
    then ``tilt`` degrees about its own horizontal (positive with its top leaning back). ``round`` is how much it looks
    the same from all sides, as a cylinder about the vertical: 1 shows its front however the head turns, 0 is flat.
    """

    asset: str
    origin: Point
    place: tuple[float, float, float]
    turn: float = 0.0
    tilt: float = 0.0
    round: float = 0.0
    mirrored: bool = False


STICKERS: Mapping[str, tuple[Part, ...]] = {
    "sunglasses": (Part("sunglasses", (150, 54), (0.0, 0.0, 0.1)),),
    "moustache": (Part("moustache", (140, 54), (0.0, 0.8, 0.25)),),
    "party-hat": (Part("party-hat", (110, 236), (0.0, -1.1, -0.75), round=1.0),),
    "dog": (
        Part("dog-ear", (60, 150), (-0.9, -0.95, -0.75), turn=-25, round=0.3),
        Part("dog-ear", (60, 150), (0.9, -0.95, -0.75), turn=25, round=0.3, mirrored=True),
        Part("dog-nose", (90, 40), (0.0, 0.56, 0.47), round=0.5),
    ),
    "crown": (Part("crown", (140, 165), (0.0, -1.05, -0.75), round=1.0),),
    "me-gusta": (Part("me-gusta", (150, 201), (0.0, 0.5, 0.0), round=0.5),),
}
"""The stickers of the catalogue: which points of which drawings lie where on the head."""


@dataclass(frozen=True, slots=True)
class Sticker:
    """One sticker of ours with its options; parts are painted in order."""

    parts: tuple[tuple[Part, Artwork], ...]
    scale: float

    @classmethod
    def of_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Sticker":  # noqa: ARG003 - as every maker
        """The filter of a look's entry."""
        names = {part.asset for part in STICKERS[spec.name]}
        artwork = {name: svg_artwork(name, spec.number("opacity")) for name in names}
        parts = tuple((part, artwork[part.asset]) for part in STICKERS[spec.name])
        return cls(parts, spec.number("scale"))

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Region]:
        """Paint on one face in place; the regions touched, within the frame."""
        pose = pose_of(face)
        regions: list[Region] = []
        for part, artwork in self.parts:
            to_frame = placed(part, pose, self.scale)
            regions += stamp(planes, artwork, to_frame, face.opacity * shown(part, to_frame, self.scale * pose.size))
        return regions


def placed(part: Part, pose: HeadPose, scale: float = 1.0) -> Affine:
    """Where a part goes: the transform from units of its SVG to px of the frame."""
    to_right, to_down, to_out = pose.axes
    turn, tilt = math.radians(part.turn - part.round * pose.yaw), math.radians(part.tilt)
    facing = _sum(_times(to_right, math.sin(turn)), _times(to_out, math.cos(turn)))
    right = _sum(_times(to_right, math.cos(turn)), _times(to_out, -math.sin(turn)))
    down = _sum(_times(to_down, math.cos(tilt)), _times(facing, math.sin(tilt)))
    unit = scale / UNITS
    across = _times(right, -unit if part.mirrored else unit)
    return Affine.landing(across, _times(down, unit), part.origin, pose.at(*part.place))


def shown(part: Part, to_frame: Affine, size: float) -> float:
    """How opaque a part that lies so is (0-1), if an eye distance of its artwork is ``size`` px from the front."""
    seen = (to_frame.xx * to_frame.yy - to_frame.xy * to_frame.yx) * (UNITS / size) ** 2
    first, last = AWAY
    x = min(1.0, max(0.0, ((-seen if part.mirrored else seen) - last) / (first - last)))
    return x * x * (3 - 2 * x)


def _times(vector: Point, factor: float) -> Point:
    return vector[0] * factor, vector[1] * factor


def _sum(a: Point, b: Point) -> Point:
    return a[0] + b[0], a[1] + b[1]


@dataclass(frozen=True, slots=True)
class UserSticker:
    """A user's own picture, over the face's box and turned with the head."""

    artwork: Artwork
    scale: float

    @classmethod
    def of_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "UserSticker":
        """The filter of a look's entry.

        Raises:
            InputError: the picture is not among ``stickers``, or is no good.
        """
        sha256 = spec.text("sha256")
        if sha256 not in stickers:
            raise InputError(f"sticker {sha256[:12]} is not stored: store the picture again with its look")
        return cls(Artwork(read_sticker(stickers[sha256]), opacity=spec.number("opacity")), spec.number("scale"))

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Region]:
        """Paint on one face in place; the regions touched, within the frame."""
        pose, artwork = pose_of(face), self.artwork
        fits = (FACE_SIDES[0] / artwork.width, FACE_SIDES[1] / artwork.height)
        scale = min(max(fits), WIDEST_COVER * min(fits)) * self.scale * UNITS
        middle = (artwork.left + artwork.width / 2, artwork.top + artwork.height / 2)
        part = Part("", middle, FACE_MIDDLE, round=0.5)
        to_frame = placed(part, pose, scale)
        return stamp(planes, artwork, to_frame, face.opacity * shown(part, to_frame, scale * pose.size))
