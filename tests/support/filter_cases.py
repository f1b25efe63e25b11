"""Faces, frames and painters the tests of the filters share."""

import functools
import hashlib

import numpy as np

from facepaint.looks.look import Look
from facepaint.looks.parser import parse_filter, parse_look
from filters.face import Face
from filters.gallery import PORTRAIT_FACE, sample_picture
from filters.planes import Planes
from filters.registry import Painter, make_painter

FORMATS = {"4:2:0": (1, 1), "4:2:2": (1, 0), "4:4:0": (0, 1), "4:4:4": (0, 0)}


@functools.cache
def painter_of(text: str) -> Painter:
    """The painter of one filter; ``sticker`` alone gets a picture of ours."""
    if not text.startswith("sticker"):
        return make_painter(parse_look([text]), {})
    data = sample_picture()
    sha256 = hashlib.sha256(data).hexdigest()
    return make_painter(Look((parse_filter("sticker:any.png").stored_as(sha256),)), {sha256: data})


def noise(width: int, height: int, shifts: tuple[int, int] = (1, 1), seed: int = 1) -> Planes:
    """A frame of random samples of video range."""
    random = np.random.default_rng(seed)
    chroma = (-(-height // (1 << shifts[1])), -(-width // (1 << shifts[0])))
    y, u, v = (
        random.integers(16, 235, shape, np.uint8) for shape in ((height, width), chroma, chroma)
    )
    return Planes(y, u, v, *shifts)


def copy(planes: Planes) -> Planes:
    """The same frame in other memory."""
    return Planes(
        planes.y.copy(),
        planes.u.copy(),
        planes.v.copy(),
        planes.chroma_shift_x,
        planes.chroma_shift_y,
        planes.full_range,
        planes.matrix,
    )


def same(a: Planes, b: Planes) -> bool:
    """Whether every sample is equal."""
    return all(np.array_equal(x, y) for x, y in ((a.y, b.y), (a.u, b.u), (a.v, b.v)))


def face_at(x: float, y: float, width: float) -> Face:
    """The portrait's face, that wide, about a point."""
    scale = width / PORTRAIT_FACE.width
    numbers = (*PORTRAIT_FACE.box, *PORTRAIT_FACE.landmarks)
    moved = [
        (n - PORTRAIT_FACE.centre[i % 2]) * scale + (x, y)[i % 2] for i, n in enumerate(numbers)
    ]
    return Face((moved[0], moved[1], moved[2], moved[3]), tuple(moved[4:]), 0.9)
