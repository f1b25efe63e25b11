"""Affine transforms of the plane, in plain floats: for one point or product NumPy's calls cost more
than the sums."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Affine:
    """The transform that takes (x, y) to (xx x + xy y + x0, yx x + yy y + y0)."""

    xx: float
    xy: float
    x0: float
    yx: float
    yy: float
    y0: float

    @classmethod
    def shift(cls, x: float, y: float) -> "Affine":
        """The move by (x, y)."""
        return cls(1.0, 0.0, x, 0.0, 1.0, y)

    @classmethod
    def landing(
        cls,
        right: tuple[float, float],
        down: tuple[float, float],
        origin: tuple[float, float],
        at: tuple[float, float],
    ) -> "Affine":
        """The transform that turns the two unit vectors into ``right`` and ``down`` and puts
        ``origin`` on ``at``."""
        turned = cls(right[0], down[0], 0.0, right[1], down[1], 0.0).of(*origin)
        return cls(right[0], down[0], at[0] - turned[0], right[1], down[1], at[1] - turned[1])

    @property
    def scale(self) -> float:
        """By how much lengths grow, on average over the directions."""
        return math.sqrt(abs(self.xx * self.yy - self.xy * self.yx))

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The 2 x 3 matrix OpenCV takes."""
        return np.array([[self.xx, self.xy, self.x0], [self.yx, self.yy, self.y0]])

    def of(self, x: float, y: float) -> tuple[float, float]:
        """Where (x, y) goes."""
        return self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0

    def __matmul__(self, first: "Affine") -> "Affine":
        """This transform after another."""
        x0, y0 = self.of(first.x0, first.y0)
        return Affine(
            self.xx * first.xx + self.xy * first.yx,
            self.xx * first.xy + self.xy * first.yy,
            x0,
            self.yx * first.xx + self.yy * first.yx,
            self.yx * first.xy + self.yy * first.yy,
            y0,
        )
