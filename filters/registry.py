"""The filters by name, and the painter of a look."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from facepaint.looks.look import FilterSpec, Look
from filters.effects import EFFECTS, Effect
from filters.face import Face
from filters.planes import Planes, Rect
from filters.redaction import REDACTIONS, Redaction
from filters.scene_light import SceneLight
from filters.stickers import Sticker, UserSticker
from filters.stickers_table import STICKERS
from filters.text import ribbon_with_words
from filters.warps import WARPS, Warp


class Filter(Protocol):
    """What is painted on one face."""

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        """Paint on the planes in place, ``time_s`` after the video's start; the regions touched,
        within the frame."""
        ...


Maker = Callable[[FilterSpec, Mapping[str, bytes]], Filter]

FILTERS: Mapping[str, Maker] = {
    **dict.fromkeys(STICKERS, Sticker.from_spec),
    "sticker": UserSticker.from_spec,
    **dict.fromkeys(EFFECTS, Effect.from_spec),
    **dict.fromkeys(WARPS, Warp.from_spec),
    "text": ribbon_with_words,
    **dict.fromkeys(REDACTIONS, Redaction.from_spec),
}
"""How each filter of `facepaint.looks.look.CATALOGUE` is made."""


@dataclass(frozen=True, slots=True)
class Painter:
    """Paints a look: its filters in the order given, each on the faces it is for.

    ``size`` is width and height of the frames, of which regions may be a share.
    """

    filters: tuple[tuple[FilterSpec, Filter], ...]
    size: tuple[int, int] = (0, 0)

    def with_noise_secret(self, secret: bytes | None) -> "Painter":
        """The same, the noise on hidden faces made of a secret: see
        `filters.redaction.Redaction`."""
        filters = (
            (spec, replace(one, secret=secret) if isinstance(one, Redaction) else one)
            for spec, one in self.filters
        )
        return replace(self, filters=tuple(filters))

    def touches(self, faces: Iterable[Face]) -> bool:
        """Whether any filter is for any of these faces."""
        return any(self._is_for(spec, face) for face in faces for spec, _ in self.filters)

    def paint(
        self,
        planes: Planes,
        faces: Sequence[Face],
        time_s: float = 0.0,
        scene: SceneLight | None = None,
    ) -> list[Rect]:
        """Paint the faces of one frame in place, near ones over far ones; the regions touched,
        within the frame.

        ``time_s`` is the frame's time since the video's start, for what moves by itself; ``scene``
        gives the light that stickers are in, by default what the frame shows.
        """
        far_to_near = sorted(faces, key=lambda face: face.width * face.height)
        if not all(spec.redacts for spec, _ in self.filters):
            # Before anything is painted: a white hat lights no scene.
            scene = scene or SceneLight.of_frame(planes)
            far_to_near = [replace(face, light=scene.light_on(face)) for face in far_to_near]
        regions: list[Rect] = []
        for spec, painted in self.filters:
            for face in far_to_near:
                if self._is_for(spec, face):
                    regions += painted.paint(planes, face, time_s)
        return regions

    def cover(self, planes: Planes) -> list[Rect]:
        """Hide the whole frame, for when nobody knows where its faces are; the region touched."""
        hiding = [painted for _, painted in self.filters if isinstance(painted, Redaction)]
        return (hiding[-1] if hiding else Redaction.plain()).cover(planes)

    def _is_for(self, spec: FilterSpec, face: Face) -> bool:
        # Who is not known may be the one to hide.
        return spec.applies_to.matches(
            face.identity, face.box, self.size, face.margin, redacts=spec.redacts
        )


def make_painter(look: Look, stickers: Mapping[str, bytes]) -> Painter:
    """The painter of a look; ``stickers`` holds the bytes of its users' pictures by sha256.

    Raises:
        InputError: a sticker is no picture, too large, or not among ``stickers``.
    """
    return Painter(tuple((spec, FILTERS[spec.name](spec, stickers)) for spec in look.filters))
