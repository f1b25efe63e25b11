"""The records of person tracking, written by the track task.

``tracks/<n>.json`` has the tracked faces of a segment, ``tracks.json`` the people. The latter is
written last and makes the others valid. People are numbered from 1 in order of appearance, then
from left to right; people of low confidence come last.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from facepaint.records.faces import Box

MAX_PORTRAITS = 200
"""The most people that get portraits."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """One face of a frame, in px of the upright frame.

    Args:
        person: the person's number.
        row: the index of the face among the frame's candidates in the segment's `Faces`; None if
            it was not detected in this frame but interpolated or extrapolated.
        box, landmarks: smoothed over time.
        yaw, pitch, roll: head pose in degrees; None without landmarks.
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

    ``faces`` is the sha256 of the segment's stored `Faces`, in hexadecimal, or empty if there were
    none. After another detection the rows of the tracked faces are no longer valid.
    """

    index: int
    frames: tuple[TrackedFrame, ...]
    faces: str = ""
    schema: Literal[1] = 1

    BULKY: ClassVar = True


@dataclass(frozen=True, slots=True)
class Person:
    """A person of the video.

    Args:
        first, last: pts of the first and the last frame with the face.
        frames: number of frames with the face.
        score: the highest confidence.
        best_segment, best_pts, best_box: the frame that shows the face best, and its place there.
        low_confidence: no detection reaches the accept threshold of stickers, so it may not be a
            face.
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
    """``tracks.json``: the people of the video.

    Numbers up to ``given`` have been assigned once. They are never assigned to someone else, since
    looks may name them.
    """

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
        """The people that get portraits: those of the highest confidence."""
        by_confidence = sorted(
            self.people, key=lambda person: (person.low_confidence, -person.score, person.number)
        )
        return tuple(by_confidence[:MAX_PORTRAITS])


PersonLookup = Callable[[int, int], int | None]
"""Maps a candidate, by the pts of its frame and its row there, to the number of its person. None if
its identity is unknown."""


def person_lookup(segments: Iterable[TrackedSegment]) -> PersonLookup:
    """A lookup of the candidates of some segments."""
    # Interpolated faces have no candidate.
    numbers = {
        (frame.pts, face.row): face.person
        for segment in segments
        for frame in segment.frames
        for face in frame.faces
        if face.row is not None
    }
    return lambda pts, row: numbers.get((pts, row))
