"""The brightness of the scene around a face, so that stickers do not glow at night."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.easing import smoothstep
from filters.face import Face
from filters.planes import Planes

SAMPLES = 40
"""About so many px are sampled along the frame's longer side."""

REACH = 2.0
"""The extent of the scene around a face, in face sizes: px at that distance weigh 0.6 of those at
the face."""

DAYLIGHT = 0.3
"""The brightness (0 black, 1 white) from which a scene counts as well lit."""

DARKEST = 0.35
"""The share of a sticker's brightness that is left in the dark: it stays recognizable."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SceneLight:
    """The brightness of one frame: ``squares`` of luma, 0 (black) to 1, at every ``step``-th px."""

    squares: Floats
    step: int

    @classmethod
    def of_frame(cls, planes: Planes) -> "SceneLight":
        """Sample a frame."""
        step = max(1, round(max(planes.width, planes.height) / SAMPLES))
        black, white = (0, 255) if planes.full_range else (16, 235)
        sampled = planes.y[step // 2 :: step, step // 2 :: step].astype(np.float32)
        luma = np.clip((sampled - black) / (white - black), 0, 1)
        return cls(np.asarray(luma**2, np.float32), step)

    def light_on(self, face: Face) -> float:
        """The share of its brightness that a sticker on a face shows: 1 in daylight and lit rooms.

        It follows the quadratic mean of luma around the face, with Gaussian weights. Squares,
        because a lit face in front of a dark wall is well lit. The area is large and its edges are
        soft, so the light does not flicker when the face moves.
        """
        frame_share = self.step * max(self.squares.shape, default=0) / 8
        sigma = frame_share + REACH * math.sqrt(face.width * face.height)
        rows, columns = self.squares.shape
        at = (np.arange(max(rows, columns), dtype=np.float32) + 0.5) * self.step
        # A Gaussian is separable: the weights are the outer product of two vectors.
        x_weights, y_weights = (
            np.exp(((at[:count] - centre) / sigma) ** 2 * -0.5)
            for count, centre in zip((columns, rows), face.centre, strict=True)
        )
        weight = float(x_weights.sum() * y_weights.sum())
        if weight < 1e-6:
            # The face is far outside of the frame.
            return 1.0
        brightness = math.sqrt(float(y_weights @ self.squares @ x_weights) / weight)
        return DARKEST + (1 - DARKEST) * smoothstep(brightness / DAYLIGHT)
