"""Affine transforms of the plane in plain floats.

For one point or one product, the overhead of a NumPy call exceeds the arithmetic.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Affine:
    """The transform that maps (x, y) to (xx x + xy y + x0, yx x + yy y + y0)."""

    xx: float
    xy: float
    x0: float
    yx: float
    yy: float
    y0: float

    @classmethod
    def shift(cls, x: float, y: float) -> "Affine":
        """Return the translation by (x, y)."""
        return cls(1.0, 0.0, x, 0.0, 1.0, y)

    @classmethod
    def with_axes(
        cls,
        right: tuple[float, float],
        down: tuple[float, float],
        origin: tuple[float, float],
        at: tuple[float, float],
    ) -> "Affine":
        """Map the unit vectors to ``right`` and ``down``, and the point ``origin`` to ``at``."""
        moved = cls(right[0], down[0], 0.0, right[1], down[1], 0.0).of(*origin)
        return cls(right[0], down[0], at[0] - moved[0], right[1], down[1], at[1] - moved[1])

    @property
    def determinant(self) -> float:
        """The signed factor by which areas grow."""
        return self.xx * self.yy - self.xy * self.yx

    @property
    def scale(self) -> float:
        """The factor by which lengths grow: the geometric mean over the two axes."""
        return math.sqrt(abs(self.determinant))

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The 2 x 3 matrix, as OpenCV takes it."""
        return np.array([[self.xx, self.xy, self.x0], [self.yx, self.yy, self.y0]])

    @property
    def between_pixel_centres(self) -> "Affine":
        """The same transform between OpenCV's coordinates.

        Here (0, 0) is the corner of the first px; OpenCV puts (0, 0) on its centre. Without the
        correction, everything that is scaled also moves, by up to half a px.
        """
        return Affine.shift(-0.5, -0.5) @ self @ Affine.shift(0.5, 0.5)

    def of(self, x: float, y: float) -> tuple[float, float]:
        """Map one point."""
        return self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0

    def __matmul__(self, first: "Affine") -> "Affine":
        """Compose: apply ``first``, then this transform."""
        x0, y0 = self.of(first.x0, first.y0)
        return Affine(
            self.xx * first.xx + self.xy * first.yx,
            self.xx * first.xy + self.xy * first.yy,
            x0,
            self.yx * first.xx + self.yy * first.yx,
            self.yx * first.xy + self.yy * first.yy,
            y0,
        )
