"""Sticker filters: our artwork and users' images, as layers in head space."""

from collections.abc import Mapping
from dataclasses import dataclass

from facepaint.errors import InputError
from facepaint.looks.look import FilterSpec
from filters.artwork import PX_PER_UNIT, SPRITE_PX_PER_UNIT, Artwork, svg_artwork
from filters.blit import blit
from filters.cutout import read_sticker
from filters.face import Face, pose_of
from filters.layers import UNITS, Layer, layer_opacity, layer_to_frame
from filters.planes import Planes, Rect
from filters.stickers_table import STICKERS

FACE_SIZE = (2.3, 2.95)
"""Width and height that a user's image covers, in eye distances: slightly more than the face's
box."""

FACE_CENTRE = (0.0, 0.34, 0.0)
"""The centre of that area in head space."""

MAX_COVER = 1.6
"""The most that a user's image is enlarged over the size at which it fits into that area.

A wide banner that covered the area would be many faces wide.
"""


@dataclass(frozen=True, slots=True)
class Sticker:
    """One of our stickers: layers in the order of painting, each with its drawings."""

    layers: tuple[tuple[Layer, tuple[Artwork, ...]], ...]
    scale: float

    @classmethod
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Sticker":
        """Make the filter that a look specifies."""
        opacity = spec.number("opacity")
        table = STICKERS[spec.name]
        # Several layers may share one drawing: it is rendered once.
        artwork = {
            asset: svg_artwork(asset, opacity, _resolution(layer))
            for layer in table
            for asset in layer.assets
        }
        layers = [(layer, tuple(artwork[asset] for asset in layer.assets)) for layer in table]
        return cls(tuple(layers), spec.number("scale"))

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Paint on one face in place; the rectangles painted on, within the frame."""
        pose = pose_of(face)
        painted: list[Rect] = []
        for layer, drawings in self.layers:
            state = layer.state_at(time_s)
            to_frame = layer_to_frame(layer, pose, self.scale, state)
            size = self.scale * state.size * pose.size
            opacity = state.opacity * layer_opacity(layer, to_frame, size)
            drawing = drawings[int(state.progress * len(drawings))]
            light = 1.0 if layer.glows else face.light
            painted += blit(planes, drawing, to_frame, face.opacity * opacity, light)
        return painted


def _resolution(layer: Layer) -> float:
    """The px for a unit at which a layer's drawings are rendered."""
    return PX_PER_UNIT if layer.frames == 1 else SPRITE_PX_PER_UNIT


@dataclass(frozen=True, slots=True)
class UserSticker:
    """A user's image over the face's box, turned with the head."""

    artwork: Artwork
    scale: float

    @classmethod
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "UserSticker":
        """Make the filter that a look specifies.

        Raises:
            InputError: the image is missing from ``stickers``, or cannot be used.
        """
        sha256 = spec.text("sha256")
        if sha256 not in stickers:
            raise InputError(
                f"sticker {sha256[:12]} is not stored: store the image again with its look"
            )
        artwork = Artwork(read_sticker(stickers[sha256]), opacity=spec.number("opacity"))
        return cls(artwork, spec.number("scale"))

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Paint on one face in place; the rectangle painted on, within the frame."""
        pose, artwork = pose_of(face), self.artwork
        to_fit = (FACE_SIZE[0] / artwork.width, FACE_SIZE[1] / artwork.height)
        # The larger of the two covers the face's area, the smaller fits into it.
        scale = min(max(to_fit), MAX_COVER * min(to_fit)) * self.scale * UNITS
        layer = Layer("", artwork.centre, FACE_CENTRE, roundness=0.5)
        to_frame = layer_to_frame(layer, pose, scale)
        opacity = face.opacity * layer_opacity(layer, to_frame, scale * pose.size)
        return blit(planes, artwork, to_frame, opacity, face.light)
