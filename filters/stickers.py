"""Sticker filters: artwork of ours placed by a face's landmarks, and the user's own pictures placed on its box."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from facepaint.errors import InputError
from facepaint.looks import FilterSpec
from filters.affine import Affine
from filters.artwork import Artwork, svg_artwork
from filters.cutout import read_sticker
from filters.face import Face, Point, Pose, pose_of
from filters.planes import Planes, Region
from filters.stamp import stamp

UNITS = 100.0
"""All artwork is drawn for a face whose eyes are this many units of the SVG apart."""

WIDEST_COVER = 1.6
"""A user's picture covers the face's box, but grows no more than this beyond fitting into it (a banner would)."""

Spot = Literal["eyes", "nose", "lip", "head", "face"]


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of artwork and where it goes.

    The point ``origin`` of the SVG lands on a ``spot`` of the face, ``offset`` eye distances to the right and down
    along the face's own axes. ``flat`` tells how much it narrows as the head turns: 1 as the face does, 0 not at all.
    """

    asset: str
    origin: Point
    spot: Spot
    offset: Point = (0.0, 0.0)
    flat: float = 1.0
    mirrored: bool = False


STICKERS: Mapping[str, tuple[Part, ...]] = {
    "sunglasses": (Part("sunglasses", (150, 54), "eyes"),),
    "moustache": (Part("moustache", (140, 54), "lip"),),
    "party-hat": (Part("party-hat", (110, 236), "head", (0.0, -1.05), flat=0.3),),
    "dog": (
        Part("dog-ear", (60, 150), "head", (-0.9, -0.95), flat=0.3),
        Part("dog-ear", (60, 150), "head", (0.9, -0.95), flat=0.3, mirrored=True),
        Part("dog-nose", (90, 40), "nose"),
    ),
    "crown": (Part("crown", (140, 165), "head", (0.0, -1.0), flat=0.3),),
    "me-gusta": (Part("me-gusta", (150, 201), "face", flat=0.5),),
}
"""The stickers of the catalogue: which points of which drawings land on which points of the face."""


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
        return [
            region for part, artwork in self.parts for region in stamp(planes, artwork, placed(part, pose, self.scale))
        ]


def placed(part: Part, pose: Pose, scale: float = 1.0) -> Affine:
    """Where a part goes: the transform from units of its SVG to px of the frame."""
    down = _times(pose.down, scale * pose.size)
    right = _times(pose.right, scale * pose.size * (1 - part.flat * (1 - pose.turn)))
    spot = _spot(part.spot, pose)
    aside, below = part.offset
    at = (spot[0] + aside * right[0] + below * down[0], spot[1] + aside * right[1] + below * down[1])
    facing = _times(right, (-1 if part.mirrored else 1) / UNITS)
    return Affine.landing(facing, _times(down, 1 / UNITS), part.origin, at)


def _spot(spot: Spot, pose: Pose) -> Point:
    if spot == "lip":
        return _towards(pose.nose, pose.mouth, 0.45)
    if spot == "face":
        middle = _towards(pose.eyes, pose.mouth, 0.5)
        return middle[0] + (pose.head[0] - pose.eyes[0]) / 2, middle[1] + (pose.head[1] - pose.eyes[1]) / 2
    return {"eyes": pose.eyes, "nose": pose.nose, "head": pose.head}[spot]


def _times(vector: Point, factor: float) -> Point:
    return vector[0] * factor, vector[1] * factor


def _towards(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])


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
        fits = (face.width / self.artwork.width, face.height / self.artwork.height)
        size = min(max(fits), WIDEST_COVER * min(fits)) * self.scale
        pose = pose_of(face)
        middle = (self.artwork.left + self.artwork.width / 2, self.artwork.top + self.artwork.height / 2)
        to_frame = Affine.landing(_times(pose.right, size), _times(pose.down, size), middle, face.centre)
        return stamp(planes, self.artwork, to_frame)
