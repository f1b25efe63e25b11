"""Whom a filter is for: everyone, some of the people of a video, or the faces in a part of the
picture. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from facepaint.errors import UsageError
from facepaint.records.faces import Box

Length = float | str
"""Px of the upright frame, or a share of its width or height such as ``50%``."""

INFINITE = float("inf")

_LENGTH = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(%?)")


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the upright frame: its upper left corner, its width and its height."""

    x: Length
    y: Length
    width: Length
    height: Length

    def box(self, width: float, height: float) -> Box:
        """x1, y1, x2, y2 in px of a frame of that size; a side on the frame's edge takes in all
        that lies beyond."""
        x1, y1 = _px(self.x, width), _px(self.y, height)
        x2, y2 = x1 + _px(self.width, width), y1 + _px(self.height, height)
        return (
            x1 if x1 > 0 else -INFINITE,
            y1 if y1 > 0 else -INFINITE,
            x2 if x2 < width else INFINITE,
            y2 if y2 < height else INFINITE,
        )

    def intersects(self, width: float, height: float) -> bool:
        """Whether any of it lies in a frame of that size."""
        return _px(self.x, width) < width and _px(self.y, height) < height

    def __str__(self) -> str:
        sides = (self.x, self.y, self.width, self.height)
        return ",".join(side if isinstance(side, str) else f"{side:g}" for side in sides)


@dataclass(frozen=True, slots=True)
class FaceSelection:
    """The faces a filter is for: everyone but the people in ``keep``; only those in ``only``; only
    those in a region.

    People are called by their numbers in ``tracks.json``. What is not said excludes nobody.
    """

    keep: tuple[int, ...] = ()
    only: tuple[int, ...] = ()
    regions: tuple[Region, ...] = ()

    @property
    def people(self) -> tuple[int, ...]:
        """Every number it names."""
        return self.keep + self.only

    def matches(
        self,
        identity: int | None,
        box: Box,
        size: tuple[int, int],
        margin: float = 0.0,
        *,
        redacts: bool,
    ) -> bool:
        """Whether a face of a frame of that width and height is meant.

        Args:
            identity: the person's number, None where it is not known.
            box: in px of the upright frame; it may be off by ``margin`` px to each side.
            hides: who may be meant is meant: one who is not known, and a face that touches a
                region. Else it must be certain, and the middle of the face lie in a region.
        """
        if identity is None:
            meant = redacts or not self.people
        else:
            meant = identity not in self.keep and (not self.only or identity in self.only)
        if not meant or not self.regions:
            return meant
        x1, y1, x2, y2 = box
        if redacts:
            seen = (x1 - margin, y1 - margin, x2 + margin, y2 + margin)
        else:
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            seen = (x, y, x, y)
        return any(_meet(seen, region.box(*size)) for region in self.regions)

    def __str__(self) -> str:
        said = [
            f"{name} {', '.join(map(str, people))}"
            for name, people in _named(self.keep, self.only)
            if people
        ]
        said += [f"in {region}" for region in self.regions]
        return " ".join(said)


EVERYONE = FaceSelection()


def parse_selection(
    keep: Iterable[str] = (), only: Iterable[str] = (), regions: Iterable[str] = ()
) -> FaceSelection:
    """Parse the values of ``--keep`` and ``--only`` (numbers, also several with commas) and
    ``--region``.

    Raises:
        UsageError: something is no number from 1 on or no rectangle, or both ``keep`` and ``only``
            name somebody.
    """
    selection = FaceSelection(
        _numbers(keep, "--keep"), _numbers(only, "--only"), tuple(map(_region, regions))
    )
    if selection.keep and selection.only:
        raise UsageError(
            "--keep leaves people out and --only names those that are meant: give one of them"
        )
    return replace(selection, regions=tuple(dict.fromkeys(selection.regions)))


def _numbers(texts: Iterable[str], option: str) -> tuple[int, ...]:
    found = set()
    for text in texts:
        for part in text.split(","):
            number = part.strip()
            if not number.isdecimal() or int(number) < 1:
                raise UsageError(
                    f"{option} {text}: people have numbers from 1 on; `facepaint faces JOB` "
                    "shows them"
                )
            found.add(int(number))
    return tuple(sorted(found))


def _region(text: str) -> Region:
    sides = [_LENGTH.fullmatch(part.strip()) for part in text.split(",")]
    if len(sides) == 4 and all(sides):
        lengths = [_length(float(side[1]), percent=bool(side[2])) for side in sides if side]
        if _size(lengths[2]) > 0 and _size(lengths[3]) > 0:
            return Region(*lengths)
    raise UsageError(
        f"--region {text}: it is x,y,width,height in px of the upright frame or percent, as "
        "0,0,50%,100%"
    )


def _length(value: float, *, percent: bool) -> Length:
    # Nothing is nothing in either unit, and equal looks must have equal names.
    return f"{value:g}%" if percent and value else value


def _size(length: Length) -> float:
    return float(length.removesuffix("%")) if isinstance(length, str) else length


def _px(length: Length, side: float) -> float:
    return _size(length) * side / 100 if isinstance(length, str) else length


def _named(keep: tuple[int, ...], only: tuple[int, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return (("without", keep), ("only", only))


def _meet(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
