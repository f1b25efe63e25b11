"""Scenes in which faces are hard to redact, with their ground truth.

The portraits move, turn, shrink, leave the frame and pass behind things, in the dark, with motion
blur, between cuts and flashes.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.clips import RgbImage
from benchmarks.motion import FPS, SIZE, Placed, grainy, scene
from facepaint.records.job import DetectorSpec
from filters.face import Face
from filters.gallery import portrait, portrait_face

Mask = npt.NDArray[np.bool_]

SECONDS = 3.0

SMALLEST_PX = DetectorSpec().min_face * SIZE[1] / 1.28
"""Width of the smallest face that a job must detect: its box is 1.28 times as high."""

OCCLUDER = (70.0, 90.0, 60.0)


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame.

    Attributes:
        squeeze: share of its width that a turned face keeps.
        dim: share of the light.
        smear: px that the face moves while the shutter is open.
        bar: two columns in px; an occluder fills what is between them.
        drawn: show the drawn portrait of the filter gallery instead of the photograph.
    """

    placed: Placed | None
    squeeze: float = 1.0
    dim: float = 1.0
    smear: int = 0
    bar: tuple[float, float] | None = None
    drawn: bool = False

    @property
    def face(self) -> Face | None:
        """The true face."""
        if self.placed is None:
            return None
        if self.drawn:
            return _drawn_face(self.placed)
        face, middle = self.placed.face, self.placed.x
        every = enumerate((*face.box, *face.landmarks))
        numbers = [n if i % 2 else middle + self.squeeze * (n - middle) for i, n in every]
        return replace(
            face, box=(numbers[0], numbers[1], numbers[2], numbers[3]), landmarks=tuple(numbers[4:])
        )

    def frame(self) -> npt.NDArray[np.float32]:
        """The frame without grain: RGB (height, width, 3)."""
        frame = scene([self.placed] if self.placed and not self.drawn else [])
        if self.drawn and self.placed:
            _put_drawn(frame, self.placed)
        if self.squeeze != 1 and self.placed:
            # The background is squeezed too; it is so soft that this does not show.
            middle = self.placed.x - 0.5
            matrix = np.array([[self.squeeze, 0, middle * (1 - self.squeeze)], [0, 1.0, 0]])
            frame = cv2.warpAffine(
                frame, matrix, SIZE, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
            )  # type: ignore[assignment]
        if self.smear > 1:
            frame = cv2.blur(frame, (self.smear, 1))  # type: ignore[assignment]
        if self.bar:
            frame[:, self.columns] = OCCLUDER
        return np.asarray(frame * np.float32(self.dim), np.float32)

    @property
    def columns(self) -> slice:
        """Those that the bar covers."""
        left, right = self.bar or (0.0, 0.0)
        return slice(max(0, round(left)), max(0, round(right)))

    def unobstructed(self) -> Mask:
        """The pixels without the bar: (height, width)."""
        mask = np.ones(SIZE[::-1], np.bool_)
        mask[:, self.columns] = False
        return mask


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip: ``at`` gives the frame at a time in seconds."""

    name: str
    at: Callable[[float], Shot]

    @property
    def shots(self) -> list[Shot]:
        return [self.at(number / FPS) for number in range(round(SECONDS * FPS))]

    def frames(self) -> Iterator[RgbImage]:
        """The frames, with a camera's grain."""
        return grainy(shot.frame() for shot in self.shots)


def _sway(t: float, hertz: float, phase: float = 0.0) -> float:
    return math.sin(2 * math.pi * hertz * t + phase)


def _dashing(t: float) -> Shot:
    """Back and forth at up to 17 face widths a second, with motion blur."""
    return Shot(
        Placed(320 + 210 * _sway(t, 0.9), 170, 70),
        smear=round(18 * abs(_sway(t, 0.9, math.pi / 2))),
    )


def _leaving(t: float) -> Shot:
    """Out over each of the four borders and back, half a face and more."""
    side, out = int(t / SECONDS * 4), abs(_sway(t, 2 / SECONDS))
    x, y = ((-40, 170), (680, 170), (320, -45), (320, 400))[side]
    return Shot(Placed(320 + (x - 320) * out, 170 + (y - 170) * out, 100, mirrored=side % 2 == 1))


def _cuts(t: float) -> Shot:
    """Another place and size every 0.4 s, some with a flash, one without a face."""
    take = int(t / 0.4)
    places = ((150, 120, 60), (450, 200, 140), (300, 150, 35), (520, 90, 90))
    x, y, width = places[take % 4]
    shot = Shot(Placed(x, y, width, 8 * _sway(take, 0.3), mirrored=take % 2 == 1))
    if take % 3 == 2 and t - 0.4 * take < 2 / FPS:
        return replace(shot, dim=2.2)
    return replace(shot, placed=None) if take == 5 else shot


SCENES = (
    Scene(
        "talking",
        lambda t: Shot(
            Placed(320 + 15 * _sway(t, 0.4), 170 + 5 * _sway(t, 0.9), 100, 6 * _sway(t, 0.5))
        ),
    ),
    Scene("dashing", _dashing),
    Scene(
        "shaken camera",
        lambda t: Shot(Placed(320 + 30 * _sway(t, 4.3), 170 + 22 * _sway(t, 5.9), 90), smear=9),
    ),
    Scene("turning", lambda t: Shot(Placed(320, 170, 110), squeeze=0.675 + 0.325 * _sway(t, 0.66))),
    Scene("leaning", lambda t: Shot(Placed(320, 170, 90, 50 * _sway(t, 0.5)))),
    Scene("approaching", lambda t: Shot(Placed(320, 170, SMALLEST_PX * (12 ** (t / SECONDS))))),
    Scene(
        "small",
        lambda t: Shot(
            Placed(200 + 60 * t, 120 + 10 * _sway(t, 1), SMALLEST_PX + 4 + 4 * _sway(t, 0.5))
        ),
    ),
    Scene("leaving the frame", _leaving),
    Scene("behind a pillar", lambda t: Shot(Placed(150 + 110 * t, 170, 80), bar=(285, 345))),
    Scene("behind a hand", lambda t: Shot(Placed(320, 170, 100), bar=(200 + 90 * t, 245 + 90 * t))),
    Scene(
        "in the dark",
        lambda t: Shot(Placed(320 + 60 * _sway(t, 0.4), 170, 90), dim=0.1 + 0.06 * _sway(t, 0.8)),
    ),
    Scene("cuts and flashes", _cuts),
    Scene(
        "a drawn face",
        lambda t: Shot(Placed(250 + 40 * t, 170 + 20 * _sway(t, 0.7), 90), drawn=True),
    ),
)


def _drawn_side(placed: Placed) -> int:
    return round(placed.width * 480 / 174)


def _drawn_corner(placed: Placed) -> tuple[int, int]:
    face = portrait_face(_drawn_side(placed))
    return round(placed.x - face.centre[0]), round(placed.y - face.centre[1])


def _drawn_face(placed: Placed) -> Face:
    face, corner = portrait_face(_drawn_side(placed)), _drawn_corner(placed)
    moved = [n + corner[i % 2] for i, n in enumerate((*face.box, *face.landmarks))]
    return replace(face, box=(moved[0], moved[1], moved[2], moved[3]), landmarks=tuple(moved[4:]))


def _put_drawn(frame: npt.NDArray[np.float32], placed: Placed) -> None:
    """Paste the drawn portrait with its background."""
    x, y = _drawn_corner(placed)
    tile = _tile(_drawn_side(placed))
    rows, columns = (
        slice(max(0, y), max(0, y + tile.shape[0])),
        slice(max(0, x), max(0, x + tile.shape[1])),
    )
    target = frame[rows, columns]
    target[:] = tile[rows.start - y :, columns.start - x :][: target.shape[0], : target.shape[1]]


@cache
def _tile(side: int) -> RgbImage:
    return portrait(1, side)
