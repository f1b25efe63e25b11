"""The registry of filters by name, and the painter of a look."""

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
        """Paint on the planes in place; the rectangles painted on, within the frame.

        ``time_s`` is the time since the start of the video.
        """
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
"""The maker of each filter of `facepaint.looks.catalogue.CATALOGUE`."""


@dataclass(frozen=True, slots=True)
class Painter:
    """Paints a look: its filters in order, each on the faces that it applies to.

    ``size`` is the width and height of the frames; face selections by region need it.
    """

    filters: tuple[tuple[FilterSpec, Filter], ...]
    size: tuple[int, int] = (0, 0)

    def with_noise_secret(self, secret: bytes | None) -> "Painter":
        """The same painter, with a secret for the noise of its redactions (see `Redaction`)."""
        filters = (
            (spec, replace(one, secret=secret) if isinstance(one, Redaction) else one)
            for spec, one in self.filters
        )
        return replace(self, filters=tuple(filters))

    def touches(self, faces: Iterable[Face]) -> bool:
        """Whether any filter applies to any of these faces."""
        return any(self._applies(spec, face) for face in faces for spec, _ in self.filters)

    def paint(
        self,
        planes: Planes,
        faces: Sequence[Face],
        time_s: float = 0.0,
        scene: SceneLight | None = None,
    ) -> list[Rect]:
        """Paint the faces of one frame in place, near ones over far ones.

        Args:
            planes: the frame.
            faces: its faces.
            time_s: the frame's time since the start of the video, for animation.
            scene: the light on stickers; by default that of the frame.

        Returns:
            The rectangles painted on, within the frame.
        """
        far_to_near = sorted(faces, key=lambda face: face.width * face.height)
        if not all(spec.redacts for spec, _ in self.filters):
            # Measured before anything is painted: a white hat must not light the scene.
            scene = scene or SceneLight.of_frame(planes)
            far_to_near = [replace(face, light=scene.light_on(face)) for face in far_to_near]
        painted: list[Rect] = []
        # Filter by filter, not face by face: a later filter covers an earlier one on all faces.
        for spec, one in self.filters:
            for face in far_to_near:
                if self._applies(spec, face):
                    painted += one.paint(planes, face, time_s)
        return painted

    def cover(self, planes: Planes) -> list[Rect]:
        """Cover a whole frame whose faces are unknown; the rectangle painted on.

        The last redaction of the look is used, because it is painted on top; else a plain fill.
        """
        redactions = [one for _, one in self.filters if isinstance(one, Redaction)]
        return (redactions[-1] if redactions else Redaction.plain()).cover(planes)

    def _applies(self, spec: FilterSpec, face: Face) -> bool:
        return spec.applies_to.matches(
            face.identity, face.box, self.size, face.margin, redacts=spec.redacts
        )


def make_painter(look: Look, stickers: Mapping[str, bytes]) -> Painter:
    """Make the painter of a look; ``stickers`` holds the bytes of its users' images by sha256.

    Raises:
        InputError: a sticker is no image, too large, or missing from ``stickers``.
    """
    return Painter(tuple((spec, FILTERS[spec.name](spec, stickers)) for spec in look.filters))
