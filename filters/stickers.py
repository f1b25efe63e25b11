"""Sticker filters: artwork of ours, and the user's own pictures, as planes in the space of a
head."""

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

FACE_SIDES = (2.3, 2.95)
"""Width and height of what a user's picture covers, in eye distances: a little more than the box of
a face does."""

FACE_MIDDLE = (0.0, 0.34, 0.0)
"""Where in head space its middle is."""

WIDEST_COVER = 1.6
"""A user's picture covers that, but grows no more than this beyond fitting into it (a banner
would)."""


@dataclass(frozen=True, slots=True)
class Sticker:
    """One sticker of ours with its options; layers are painted in order, each with its drawing or
    its sprite's."""

    layers: tuple[tuple[Layer, tuple[Artwork, ...]], ...]
    scale: float

    @classmethod
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "Sticker":  # noqa: ARG003 - as every maker
        """The filter of a look's entry."""
        opacity = spec.number("opacity")
        artwork = {
            name: svg_artwork(
                name, opacity, PX_PER_UNIT if layer.frames == 1 else SPRITE_PX_PER_UNIT
            )
            for layer in STICKERS[spec.name]
            for name in layer.assets
        }
        layers = tuple(
            (layer, tuple(artwork[name] for name in layer.assets)) for layer in STICKERS[spec.name]
        )
        return cls(layers, spec.number("scale"))

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Paint on one face in place; the regions touched, within the frame."""
        pose = pose_of(face)
        regions: list[Rect] = []
        for layer, sprite in self.layers:
            moment = layer.moment(time_s)
            to_frame = layer_to_frame(layer, pose, self.scale, moment)
            opacity = moment.opacity * layer_opacity(
                layer, to_frame, self.scale * moment.size * pose.size
            )
            artwork = sprite[int(moment.share * len(sprite))]
            regions += blit(
                planes,
                artwork,
                to_frame,
                face.opacity * opacity,
                1.0 if layer.glows else face.light,
            )
        return regions


@dataclass(frozen=True, slots=True)
class UserSticker:
    """A user's own picture, over the face's box and turned with the head."""

    artwork: Artwork
    scale: float

    @classmethod
    def from_spec(cls, spec: FilterSpec, stickers: Mapping[str, bytes]) -> "UserSticker":
        """The filter of a look's entry.

        Raises:
            InputError: the picture is not among ``stickers``, or is no good.
        """
        sha256 = spec.text("sha256")
        if sha256 not in stickers:
            raise InputError(
                f"sticker {sha256[:12]} is not stored: store the picture again with its look"
            )
        return cls(
            Artwork(read_sticker(stickers[sha256]), opacity=spec.number("opacity")),
            spec.number("scale"),
        )

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Paint on one face in place; the regions touched, within the frame."""
        pose, artwork = pose_of(face), self.artwork
        fits = (FACE_SIDES[0] / artwork.width, FACE_SIDES[1] / artwork.height)
        scale = min(max(fits), WIDEST_COVER * min(fits)) * self.scale * UNITS
        middle = (artwork.left + artwork.width / 2, artwork.top + artwork.height / 2)
        layer = Layer("", middle, FACE_MIDDLE, roundness=0.5)
        to_frame = layer_to_frame(layer, pose, scale)
        opacity = face.opacity * layer_opacity(layer, to_frame, scale * pose.size)
        return blit(planes, artwork, to_frame, opacity, face.light)
