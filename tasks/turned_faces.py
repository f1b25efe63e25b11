"""Find turned faces in video: some frames are probed for them, and those around a finding are
searched."""

from fractions import Fraction

from facepaint.records.faces import Candidate
from models.rotated import BgrPlanes, FaceSearch

PROBE_EVERY_S = Fraction(1, 3)
"""Frames are probed this often, and at both ends of a segment."""


class TurnedFaces:
    """The turned faces of the frames of a segment, frame by frame.

    Times are counted from the start of time, not of the segment, so nearly the same frames are
    probed wherever the video was cut.

    Attributes:
        found: by pts, the faces of each rotation that was searched.
    """

    def __init__(self, search: FaceSearch, time_base: Fraction) -> None:
        self._search, self._time_base = search, time_base
        self._waiting: list[tuple[int, BgrPlanes, tuple[Candidate, ...]]] = []
        self._interval: int | None = None
        self._turns: frozenset[int] = frozenset()
        self.found: dict[int, list[list[Candidate]]] = {}

    def add(self, pts: int, planes: BgrPlanes, upright: tuple[Candidate, ...]) -> None:
        """Take the next frame.

        Args:
            planes: as `Detector.detect` takes them.
            upright: the faces of the upright frame.
        """
        self._waiting.append((pts, planes, upright))
        interval = int(pts * self._time_base // PROBE_EVERY_S)
        if interval != self._interval:
            self._interval = interval
            self._probe_last()

    def finish(self) -> None:
        """Search the rest."""
        if self._waiting:
            self._probe_last()

    def _probe_last(self) -> None:
        """Probe the last waiting frame, and search all that wait.

        A face may have turned at any time since the probe before.
        """
        _, planes, upright = self._waiting[-1]
        turns = self._search.turns_with_faces(planes, upright)
        if around := self._turns | turns:
            for pts, planes, upright in self._waiting:
                self.found[pts] = self._search.in_turns(planes, around, upright)
        self._turns = turns
        self._waiting.clear()
