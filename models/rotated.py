"""Search frames for faces that are turned by a quarter or more: people who lie, hang upside down,
or are filmed sideways.

Detectors are trained on upright heads. Copies of a frame in the three other rotations are searched
at half the size, which costs a quarter of the time each. A rotation in which such a copy shows a
face is then searched at the full size.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from facepaint.errors import UsageError
from facepaint.records.detector_card import thresholds_for
from facepaint.records.faces import Box, Candidate
from models import DetectorModel
from models.boxes import shared_part
from models.detector import Detector, Pixels, size_for, suppress
from models.providers import AUTO, Runtime

TURNS = (1, 2, 3)
"""The quarter turns, counterclockwise, of the copies."""

COARSER = 2
"""How much smaller a copy is at first, in each direction."""

FULL_SIZE_CONFIDENCE = 0.7
"""The confidence from which a face in a copy of the full size counts; it finds smaller faces, and
more that are none."""

SAME_HEAD = 0.5
"""Two faces are on one head if this share of the smaller box lies in the other."""

BgrPlanes = tuple[Pixels, Pixels, Pixels]


class FaceSearch:
    """Searches frames of one size for faces, upright and in rotated copies.

    Args:
        model: the detector.
        frame_size: width and height of the upright frames in px.
        min_face: height of the smallest upright face, as a share of the frame's height; of rotated
            ones it is `COARSER` times that.

    Raises:
        InputError, UsageError, DeviceError: as `Detector`.
    """

    def __init__(
        self,
        model: DetectorModel,
        frame_size: tuple[int, int],
        min_face: float,
        runtime: Runtime = AUTO,
    ) -> None:
        self._model, self._runtime, self._frame_size = model, runtime, frame_size
        self._coarse_size = size_for(model, *frame_size, COARSER * min_face)
        self._accept = thresholds_for(True, model.card).accept
        # What redactions accept would have most videos searched in all rotations.
        self._confidence = (self._accept + thresholds_for(False, model.card).accept) / 2
        self.upright = Detector(model, size_for(model, *frame_size, min_face), runtime)

    def turns_with_faces(self, planes: BgrPlanes, upright: Sequence[Candidate]) -> frozenset[int]:
        """The quarter turns in which copies of a frame, a coarse one and one of the full size, show
        a face that the upright frame does not.

        Args:
            planes: as `Detector.detect` takes them.
            upright: the faces of the upright frame.
        """
        likely = [
            turn
            for turn, faces in self._coarse_faces(planes).items()
            if any(
                face.score >= self._confidence and not self._is_covered(face, upright)
                for face in faces
            )
        ]
        # Half of the findings are none; without this, every frame around would be searched.
        found = self.in_turns(planes, likely, upright)
        return frozenset(turn for turn, faces in zip(likely, found, strict=True) if faces)

    def in_turns(
        self, planes: BgrPlanes, turns: Collection[int], upright: Sequence[Candidate]
    ) -> list[list[Candidate]]:
        """The faces of a frame in some of its rotations at the full size that the upright frame
        does not show.

        Args:
            planes, upright: as for `turns_with_faces`.
        """
        return [
            [face for face in self._in_turn(planes, turn) if not self._is_covered(face, upright)]
            for turn in sorted(turns)
        ]

    def in_all_turns(self, planes: BgrPlanes) -> list[list[Candidate]]:
        """All faces in the rotations that show one at the coarse or at the full size.

        It finds more than `turns_with_faces` and takes several times as long: for still images.
        """
        coarse = self._coarse_faces(planes)
        found = []
        for turn in TURNS:
            faces = self._in_turn(planes, turn)
            is_coarse = any(face.score >= self._accept for face in coarse.get(turn, ()))
            if is_coarse or any(face.score >= FULL_SIZE_CONFIDENCE for face in faces):
                found.append(faces)
        return found

    def _coarse_faces(self, planes: BgrPlanes) -> dict[int, list[Candidate]]:
        """The faces of the coarse copies by quarter turn, in px of the upright frame."""
        if self._coarse is None:
            return {}
        flat, sideways = self._coarse
        size = (self._coarse_size.width, self._coarse_size.height)
        small = _each(planes, lambda plane: cv2.resize(plane, size, interpolation=cv2.INTER_AREA))
        (over,) = flat.detect([rotated(small, 2)])
        left, right = sideways.detect([rotated(small, 1), rotated(small, 3)])
        copies = {1: left, 2: over, 3: right}
        return {turn: self._turned_back(faces, turn) for turn, faces in copies.items()}

    def _in_turn(self, planes: BgrPlanes, turn: int) -> list[Candidate]:
        detector = self.upright if turn == 2 else self._sideways
        if detector is None:
            return []
        (faces,) = detector.detect([rotated(planes, turn)])
        # No fainter ones: three copies have three times the false positives.
        return self._turned_back([face for face in faces if face.score >= self._accept], turn)

    def _turned_back(self, faces: Sequence[Candidate], turn: int) -> list[Candidate]:
        return [turned_back(face, turn, self._frame_size) for face in faces]

    def _is_covered(self, face: Candidate, upright: Sequence[Candidate]) -> bool:
        """Whether a face of a copy is one that the upright frame shows better.

        An upright face often looks like one that is upside down, with less confidence.
        """
        return any(
            other.score >= max(self._accept, face.score)
            and shared_part(face.box, other.box) > SAME_HEAD
            for other in upright
        )

    @cached_property
    def _coarse(self) -> tuple[Detector, Detector] | None:
        """The detectors of half-size copies: upside down, and sideways. None if the network takes
        one size only."""
        try:
            return (
                Detector(self._model, self._coarse_size, self._runtime),
                Detector(self._model, self._coarse_size.sideways, self._runtime),
            )
        except UsageError:
            return None

    @cached_property
    def _sideways(self) -> Detector | None:
        try:
            return Detector(self._model, self.upright.size.sideways, self._runtime)
        except UsageError:
            return None


def rotated(planes: BgrPlanes, turns: int) -> BgrPlanes:
    """The planes turned counterclockwise by a number of quarters."""
    return _each(planes, lambda plane: np.ascontiguousarray(np.rot90(plane, turns)))


def turned_back(face: Candidate, turns: int, frame_size: tuple[int, int]) -> Candidate:
    """A face of a rotated copy in px of the upright frame, whose size is ``frame_size``."""
    width, height = frame_size

    def back(x: float, y: float) -> tuple[float, float]:
        if turns == 1:
            return round(width - y, 2), x
        if turns == 2:
            return round(width - x, 2), round(height - y, 2)
        return y, round(height - x, 2)

    (ax, ay), (bx, by) = back(*face.box[:2]), back(*face.box[2:])
    box: Box = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
    points = zip(face.landmarks[::2], face.landmarks[1::2], strict=True)
    landmarks = tuple(value for point in points for value in back(*point))
    return replace(face, box=box, landmarks=landmarks)


def merged(
    upright: Sequence[Sequence[Candidate]], turned: Sequence[Sequence[Candidate]]
) -> tuple[Candidate, ...]:
    """The faces of several searches of one frame, best first. Of those that overlap one is kept.

    Args:
        upright, turned: the faces of each search in that orientation.
    """
    if len(upright) == 1 and not any(turned):
        return tuple(upright[0])
    faces = [face for found in (*upright, *turned) for face in found]
    if not faces:
        return ()
    # Stable: equal scores keep their order, so every machine stores the same record.
    faces.sort(key=lambda face: -face.score)
    kept = suppress(np.array([face.box for face in faces], np.float64))
    return tuple(faces[row] for row in kept)


def _each(planes: BgrPlanes, change: Callable[[Pixels], Any]) -> BgrPlanes:
    blue, green, red = planes
    return change(blue), change(green), change(red)
