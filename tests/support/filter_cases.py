"""Faces, frames and painters that the tests of filters share."""

import functools
from dataclasses import replace

import numpy as np

from filters.face import Face
from filters.gallery import PORTRAIT_FACE, example_painter
from filters.planes import Planes

FORMATS = {"4:2:0": (1, 1), "4:2:2": (1, 0), "4:4:0": (0, 1), "4:4:4": (0, 0)}


painter_of = functools.cache(example_painter)
"""The painter of one filter as users write it, rendered once."""


def noise(width: int, height: int, shifts: tuple[int, int] = (1, 1), seed: int = 1) -> Planes:
    """A frame of random samples in limited range."""
    random = np.random.default_rng(seed)
    chroma = (-(-height // (1 << shifts[1])), -(-width // (1 << shifts[0])))
    y, u, v = (
        random.integers(16, 235, shape, np.uint8) for shape in ((height, width), chroma, chroma)
    )
    return Planes(y, u, v, *shifts)


def copy(planes: Planes) -> Planes:
    """A copy of the frame."""
    return replace(planes, y=planes.y.copy(), u=planes.u.copy(), v=planes.v.copy())


def same(a: Planes, b: Planes) -> bool:
    """Whether every sample is equal."""
    return all(np.array_equal(x, y) for x, y in ((a.y, b.y), (a.u, b.u), (a.v, b.v)))


def face_at(x: float, y: float, width: float) -> Face:
    """The portrait's face, scaled to a width and centred on a point."""
    scale = width / PORTRAIT_FACE.width
    numbers = (*PORTRAIT_FACE.box, *PORTRAIT_FACE.landmarks)
    moved = [
        (n - PORTRAIT_FACE.centre[i % 2]) * scale + (x, y)[i % 2] for i, n in enumerate(numbers)
    ]
    return Face((moved[0], moved[1], moved[2], moved[3]), tuple(moved[4:]), 0.9)
