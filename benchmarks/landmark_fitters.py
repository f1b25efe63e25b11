"""Two fitters of facial landmarks that know the face's box, for `benchmarks.reference_landmarks`.

MediaPipe's face mesh (a network; 468 points, Kartynnik et al., 2019, arXiv:1907.06724) and dlib's
68 points (an ensemble of regression trees, Kazemi and Sullivan, CVPR 2014), both brought to five
points. Neither is a dependency of
facepaint: see `benchmarks.reference_landmarks` for what to install.
"""

import importlib
import importlib.util
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facepaint.errors import UsageError
from facepaint.records.faces import Box

STEADINESS = 0.1
"""Mean distance in face units by which the mesh may move when its crop is moved, enlarged and
turned a little."""

PRESENCE = 0.5
"""The mesh's own probability (0-1) that there is a face in the crop, from which a fit is looked
at."""

MESH_PX, DLIB_PX = 192, 256
"""Sides of the crops: the mesh's is fixed by its weights, dlib's is ours."""

Pixels = NDArray[Any]
"""A picture or crop, h x w x 3, BGR, 0-255."""

Points = NDArray[np.float64]
"""Five points, 5 x 2, px: right eye, left eye, nose, right mouth corner, left mouth corner (the
subject's)."""

# Indices of each of the five points, which are means: corners and lids of an eye, tip of the nose,
# corner of the mouth.
MESH_POINTS = ((33, 133, 159, 145), (362, 263, 386, 374), (1, 4), (61,), (291,))
DLIB_POINTS = (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,))

INSTALL = "pip install what the first lines of benchmarks/reference_landmarks.py name"

UPRIGHT = np.array([[-0.5, -0.55], [0.5, -0.55], [0.0, 0.0], [-0.4, 0.55], [0.4, 0.55]])
"""The five points of an upright frontal face, up to place and size."""


def face_unit(points: Points) -> float:
    """The length errors are told in, px: the distance of the eyes or, in profile, that of the eyes
    from the mouth."""
    eyes, mouth = points[:2], points[3:]
    return max(
        float(np.linalg.norm(eyes[1] - eyes[0])),
        0.9 * float(np.linalg.norm(mouth.mean(0) - eyes.mean(0))),
    )


def roll(points: Points) -> float:
    """Tilt in degrees, clockwise as seen: the turn that brings `UPRIGHT` nearest (Procrustes);
    defined in profile."""
    here, upright = points - points.mean(0), UPRIGHT - UPRIGHT.mean(0)
    sine = float((upright[:, 0] * here[:, 1] - upright[:, 1] * here[:, 0]).sum())
    return math.degrees(math.atan2(sine, float((upright * here).sum())))


def disagreement(one: Points, other: Points) -> float:
    """Mean distance of the five points of two fits, in face units of their mean."""
    return float(np.linalg.norm(one - other, axis=1).mean()) / face_unit((one + other) / 2)


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a picture: ``centre`` (2) and ``side`` in px, turned by ``roll`` degrees.

    Coordinates are those of labels: 0, 0 is the outer corner of the first pixel, not its centre.
    """

    centre: NDArray[np.float64]
    side: float
    roll: float

    def cut(self, picture: Pixels, size: int) -> Pixels:
        """The square as ``size`` x ``size`` x 3, grey where it leaves the picture."""
        # Drawn larger and averaged down where the face is large: sampling it straight would alias.
        drawn = size * max(1, math.ceil(self.side / size))
        scale, shift = self._transform(drawn)
        shift = shift + scale @ np.full(2, 0.5) - 0.5  # OpenCV counts from the first pixel's centre
        crop = cv2.warpAffine(
            picture,
            np.column_stack([scale, shift]),
            (drawn, drawn),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderValue=(114, 114, 114),
        )
        return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)

    def for_still(self, points: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        """Points (n x 2) of a crop of ``size`` in px of the picture."""
        scale, shift = self._transform(size)
        return points @ scale.T + shift

    def moved(self, across: float, down: float, larger: float, turned: float) -> "Square":
        """Moved by shares of its side, ``larger`` times as large, ``turned`` by degrees more."""
        return Square(
            self.centre + self.side * np.array([across, down]),
            self.side * larger,
            self.roll + turned,
        )

    def _transform(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        angle = math.radians(self.roll)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        scale = turn * (self.side / size)
        return scale, self.centre - scale @ np.full(2, size / 2)


@dataclass(frozen=True, slots=True)
class MeshFit:
    """The five points the mesh found in a crop, its own probability of a face, and the square about
    its outline."""

    points: Points
    presence: float
    square: Square


class FaceMesh:
    """MediaPipe's face mesh without MediaPipe's detector: the box is known, and the crops are ours
    to turn."""

    STARTS = (0.0, 40.0, -40.0, 85.0, -85.0)
    """Tilts in degrees that fits start from; a fit turns its crop by what it finds, so these need
    not be dense."""

    JITTER = (
        (0.03, 0.03, 0.94, 6.0),
        (-0.03, 0.03, 1.06, -6.0),
        (0.0, -0.04, 1.0, 12.0),
        (0.0, 0.0, 1.0, -12.0),
    )
    """Moves of the crop (see `Square.moved`) over which a fit is averaged."""

    def __init__(self) -> None:
        litert = needed("ai_edge_litert.interpreter", "ai-edge-litert")
        weights = folder_of("mediapipe") / "modules/face_landmark/face_landmark.tflite"
        self._net: Any = litert.Interpreter(str(weights), num_threads=1)
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]["index"]
        self._mesh, self._presence = (one["index"] for one in self._net.get_output_details())

    def fit(self, picture: Pixels, box: Box) -> Points | None:
        """The five points of the face in a box of a picture (h x w x 3, BGR), None where the mesh
        is not sure."""
        fits: list[MeshFit] = []
        for start in self.STARTS:
            fits += self._settle(picture, box, start)
            if fits and fits[-1].presence > 0.99:
                break
        if not fits:
            return None
        square = max(fits, key=lambda one: one.presence).square
        points = np.stack([self._run(picture, square.moved(*move)).points for move in self.JITTER])
        middle: Points = points.mean(0)
        moved = float(np.linalg.norm(points - middle, axis=2).mean()) / face_unit(middle)
        return middle if moved < STEADINESS else None

    def _settle(self, picture: Pixels, box: Box, start: float) -> Iterator[MeshFit]:
        """The fit that a start leads to, if any: the crop follows the mesh until the face stands
        upright in it."""
        square = square_about(box, 1.5, start)
        for _ in range(4):
            fit = self._run(picture, square)
            if fit.presence < PRESENCE:
                return
            turned = abs((fit.square.roll - square.roll + 180) % 360 - 180)
            square = fit.square
            if turned < 4:
                yield fit
                return

    def _run(self, picture: Pixels, square: Square) -> MeshFit:
        crop = square.cut(picture, MESH_PX)[:, :, ::-1].astype(np.float32) / 255
        self._net.set_tensor(self._input, crop[None])
        self._net.invoke()
        mesh = self._net.get_tensor(self._mesh).reshape(468, 3)[:, :2].astype(np.float64)
        presence = 1 / (1 + math.exp(-float(self._net.get_tensor(self._presence).item())))
        middle, extent = (mesh.min(0) + mesh.max(0)) / 2, np.ptp(mesh, axis=0).max()
        points = square.for_still(five(mesh, MESH_POINTS), MESH_PX)
        centre = square.for_still(middle[None], MESH_PX)[0]
        return MeshFit(
            points, presence, Square(centre, 1.5 * extent * square.side / MESH_PX, roll(points))
        )


class ShapePredictor:
    """dlib's 68 points."""

    SHARES, DOWN = (0.42, 0.46, 0.50), 0.02
    """Sides of dlib's own box, and how far below the label's middle it lies, in sides of the crop:
    where the fits of 205 faces of WIDER FACE came nearest to the mesh's."""

    def __init__(self) -> None:
        self._dlib: Any = needed("dlib", "dlib-bin")
        weights = (
            folder_of("face_recognition_models") / "models/shape_predictor_68_face_landmarks.dat"
        )
        self._predict = self._dlib.shape_predictor(str(weights))

    def fit(self, picture: Pixels, box: Box, tilt: float) -> Points:
        """The five points of the face in a box, tilted by so many degrees: mean over three sizes of
        dlib's own box."""
        square = square_about(box, 2.0, tilt)
        crop = np.ascontiguousarray(square.cut(picture, DLIB_PX)[:, :, ::-1])
        fits = []
        for share in self.SHARES:
            half, down = share * DLIB_PX / 2, self.DOWN * DLIB_PX
            left, top = round(DLIB_PX / 2 - half), round(DLIB_PX / 2 - half + down)
            shape = self._predict(
                crop, self._dlib.rectangle(left, top, left + round(2 * half), top + round(2 * half))
            )
            points = np.array([[point.x + 0.5, point.y + 0.5] for point in shape.parts()])
            fits.append(five(points, DLIB_POINTS))
        return square.for_still(np.mean(fits, axis=0), DLIB_PX)


def five(points: NDArray[np.float64], indices: tuple[tuple[int, ...], ...]) -> Points:
    """The five points from a fitter's own (n x 2)."""
    return np.stack([points[list(some)].mean(0) for some in indices])


def square_about(box: Box, share: float, tilt: float) -> Square:
    """A square about the middle of a box, ``share`` times its longer side, turned by ``tilt``
    degrees."""
    x1, y1, x2, y2 = box
    return Square(np.array([x1 + x2, y1 + y2]) / 2, share * max(x2 - x1, y2 - y1), tilt)


def needed(module: str, package: str) -> ModuleType:
    """A module that is none of facepaint's dependencies.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise UsageError(f"{package} is not installed ({exc}); {INSTALL}") from exc


def folder_of(package: str) -> Path:
    """Where a package lies, without importing it; see `needed` for errors."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"{package} is not installed; {INSTALL}")
    return Path(spec.submodule_search_locations[0])
