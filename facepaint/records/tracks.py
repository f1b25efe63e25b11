"""The records of person tracking, written by the track task.

``tracks/<n>.json`` holds the tracked faces of a segment, ``tracks.json`` the people; it is written
last and makes the others valid. People are numbered from 1 in the order in which they appear, then
from left to right; people of low confidence come last. Pure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from facepaint.records.faces import Box

PORTRAITS_MOST = 200
"""Portraits are made of this many people, those of the highest confidence."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """One face of a frame, in px of the upright frame.

    ``person`` is its number. ``row`` counts the candidates of the frame in the segment's `Faces`
    record from 0 and says which of them this is; None where the face was not found in this frame
    and its place follows from others.
    ``box`` and ``landmarks`` are smoothed over time; ``yaw``, ``pitch`` and ``roll`` are the
    head's, in degrees, None where there are no landmarks to tell them.
    """

    person: int
    row: int | None
    score: float
    box: Box
    landmarks: tuple[float, ...] = ()
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """The tracked faces of the frame shown at ``pts``."""

    pts: int
    faces: tuple[TrackedFace, ...] = ()


@dataclass(frozen=True, slots=True)
class TrackedSegment:
    """``tracks/<n>.json``.

    ``faces`` is the sha256 of the segment's `Faces` as they were stored, in hexadecimal: of others,
    found again meanwhile, the rows may mean someone else. It is empty where there were none.
    """

    index: int
    frames: tuple[TrackedFrame, ...]
    faces: str = ""
    schema: Literal[1] = 1

    BULKY: ClassVar = True


@dataclass(frozen=True, slots=True)
class Person:
    """Someone in the video, and where the face is seen best: the frame at ``best_pts`` of segment
    ``best_segment``.

    ``first`` and ``last`` are the pts of the first and last frame; ``frames`` counts those with the
    face; ``score`` is the best of it. ``low_confidence`` is one who is never seen as surely as a
    sticker's working point asks: perhaps no face.
    """

    number: int
    first: int
    last: int
    frames: int
    score: float
    best_segment: int
    best_pts: int
    best_box: Box
    low_confidence: bool = False


@dataclass(frozen=True, slots=True)
class People:
    """``tracks.json``: everyone in the video. No number up to ``given`` is ever anybody else's:
    looks may name it."""

    people: tuple[Person, ...]
    segments: int
    given: int = 0
    schema: Literal[1] = 1

    @property
    def confident(self) -> tuple[Person, ...]:
        """The people without those of low confidence."""
        return tuple(person for person in self.people if not person.low_confidence)

    def shown(self, *, low_confidence: bool) -> tuple[Person, ...]:
        """The people of a list, table or export; all of them with ``low_confidence``."""
        return self.people if low_confidence else self.confident

    @property
    def portrayed(self) -> tuple[Person, ...]:
        """Those of whom there are portraits."""
        surest = sorted(
            self.people, key=lambda person: (person.low_confidence, -person.score, person.number)
        )
        return tuple(surest[:PORTRAITS_MOST])


PersonLookup = Callable[[int, int], int | None]
"""The number of the person that a candidate is, by its frame's pts and its row in that; None where
nobody knows."""


def person_lookup(segments: Iterable[TrackedSegment]) -> PersonLookup:
    """Who the candidates of some segments are."""
    known = {
        (frame.pts, face.row): face.person
        for segment in segments
        for frame in segment.frames
        for face in frame.faces
        if face.row is not None
    }
    return lambda pts, row: known.get((pts, row))
