"""Face selections: everyone, some of the people of a video, or the faces in regions. Pure."""

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
    """A rectangle of the upright frame: its top left corner, its width and its height."""

    x: Length
    y: Length
    width: Length
    height: Length

    def box(self, width: float, height: float) -> Box:
        """x1, y1, x2, y2 in px of a frame of that size.

        A side on the edge of the frame extends to infinity: faces may leave the frame there.
        """
        x1, y1 = _px(self.x, width), _px(self.y, height)
        x2, y2 = x1 + _px(self.width, width), y1 + _px(self.height, height)
        return (
            x1 if x1 > 0 else -INFINITE,
            y1 if y1 > 0 else -INFINITE,
            x2 if x2 < width else INFINITE,
            y2 if y2 < height else INFINITE,
        )

    def intersects(self, width: float, height: float) -> bool:
        """Whether any of it lies within a frame of that size."""
        return _px(self.x, width) < width and _px(self.y, height) < height

    def __str__(self) -> str:
        sides = (self.x, self.y, self.width, self.height)
        return ",".join(side if isinstance(side, str) else f"{side:g}" for side in sides)


@dataclass(frozen=True, slots=True)
class FaceSelection:
    """The faces that a filter applies to.

    All but the people in ``keep``; only those in ``only``; only faces in one of ``regions``. An
    empty field does not restrict. People are numbered as in ``tracks.json``.
    """

    keep: tuple[int, ...] = ()
    only: tuple[int, ...] = ()
    regions: tuple[Region, ...] = ()

    @property
    def people(self) -> tuple[int, ...]:
        """The numbers of all people that it names."""
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
        """Whether a filter with this selection is painted on a face.

        Args:
            identity: the number of the person, None if unknown.
            box: the face in px of the upright frame.
            size: width and height of the frame in px.
            margin: the error of the box to each side in px.
            redacts: whether the filter is a redaction. If so, a face of unknown identity and one
                that touches a region match. Else only a known person and a face whose centre lies
                in a region do.
        """
        if not self._matches_person(identity, redacts=redacts):
            return False
        if not self.regions:
            return True
        x1, y1, x2, y2 = box
        if redacts:
            tested = (x1 - margin, y1 - margin, x2 + margin, y2 + margin)
        else:
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            tested = (x, y, x, y)
        return any(_overlap(tested, region.box(*size)) for region in self.regions)

    def _matches_person(self, identity: int | None, *, redacts: bool) -> bool:
        if identity is None:
            # Fail closed: the face may be one to redact. A sticker on the wrong person is worse
            # than none.
            return redacts or not self.people
        return identity not in self.keep and (not self.only or identity in self.only)

    def __str__(self) -> str:
        named = (("without", self.keep), ("only", self.only))
        words = [f"{name} {', '.join(map(str, people))}" for name, people in named if people]
        words += [f"in {region}" for region in self.regions]
        return " ".join(words)


EVERYONE = FaceSelection()


def parse_selection(
    keep: Iterable[str] = (), only: Iterable[str] = (), regions: Iterable[str] = ()
) -> FaceSelection:
    """Parse the values of ``--keep`` and ``--only`` (numbers, also several with commas) and
    ``--region``.

    Raises:
        UsageError: a value is no number from 1 or no rectangle, or both ``keep`` and ``only`` are
            given.
    """
    selection = FaceSelection(
        _numbers(keep, "--keep"), _numbers(only, "--only"), tuple(map(_region, regions))
    )
    if selection.keep and selection.only:
        raise UsageError("--keep excludes people and --only selects people: give one of the two")
    return replace(selection, regions=tuple(dict.fromkeys(selection.regions)))


def _numbers(texts: Iterable[str], option: str) -> tuple[int, ...]:
    numbers = set()
    for text in texts:
        for number in map(str.strip, text.split(",")):
            if not number.isdecimal() or int(number) < 1:
                raise UsageError(
                    f"{option} {text}: people are numbered from 1; `facepaint faces JOB` lists them"
                )
            numbers.add(int(number))
    return tuple(sorted(numbers))


def _region(text: str) -> Region:
    sides = [_LENGTH.fullmatch(part.strip()) for part in text.split(",")]
    if len(sides) == 4 and all(sides):
        lengths = [_length(float(side[1]), percent=bool(side[2])) for side in sides if side]
        if _size(lengths[2]) > 0 and _size(lengths[3]) > 0:
            return Region(*lengths)
    raise UsageError(
        f"--region {text}: expected x,y,width,height in px of the upright frame or in percent, "
        "such as 0,0,50%,100%"
    )


def _length(value: float, *, percent: bool) -> Length:
    # 0 px and 0 % are equal, and equal looks must have equal ids.
    return f"{value:g}%" if percent and value else value


def _size(length: Length) -> float:
    return float(length.removesuffix("%")) if isinstance(length, str) else length


def _px(length: Length, side: float) -> float:
    return _size(length) * side / 100 if isinstance(length, str) else length


def _overlap(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
