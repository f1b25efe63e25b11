"""How bright the scene about a face is, so that stickers do not glow at night."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.face import Face
from filters.planes import Planes

SAMPLES = 40
"""About so many px of the frame's longer side are looked at."""

REACH = 2.0
"""How far the scene about a face reaches, in its sizes: px there count 0.6 as much as those at the
face."""

DAYLIGHT = 0.3
"""Brightness (0 black, 1 white) from which on a scene counts as well lit."""

DARKEST = 0.35
"""What is left of a sticker's brightness in the dark: one can still see what it is."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SceneLight:
    """The brightness of one frame: the square of luma, from 0 (black) to 1, at every ``step``-th px
    of it."""

    squares: Floats
    step: int

    @classmethod
    def of_frame(cls, planes: Planes) -> "SceneLight":
        """Look at a frame."""
        step = max(1, round(max(planes.width, planes.height) / SAMPLES))
        black, white = (0, 255) if planes.full_range else (16, 235)
        luma = (planes.y[step // 2 :: step, step // 2 :: step].astype(np.float32) - black) / (
            white - black
        )
        return cls(np.asarray(np.clip(luma, 0, 1) ** 2, np.float32), step)

    def light_on(self, face: Face) -> float:
        """The share of its own brightness that a sticker on a face shows: 1 in daylight and lit
        rooms, less at night.

        It follows the quadratic mean of luma about the face, near px counting more. Squares,
        because a lit face before a dark wall is well lit. Edges of the area are soft, and it is
        large, so that the light does not flicker.
        """
        wide = self.step * max(self.squares.shape, default=0) / 8 + REACH * math.sqrt(
            face.width * face.height
        )
        rows, columns = self.squares.shape
        at = (np.arange(max(rows, columns), dtype=np.float32) + 0.5) * self.step
        across, along = (
            np.exp(((at[:count] - middle) / wide) ** 2 * -0.5)
            for count, middle in zip((columns, rows), face.centre, strict=True)
        )
        weight = float(across.sum() * along.sum())
        if weight < 1e-6:
            return 1.0
        x = min(1.0, math.sqrt(float(along @ self.squares @ across) / weight) / DAYLIGHT)
        return DARKEST + (1 - DARKEST) * x * x * (3 - 2 * x)
