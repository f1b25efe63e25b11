"""What a detector's faces differ from the true ones by, and made-up detections that differ in the
same way."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.motion import FPS, Motion
from benchmarks.trembling import MEAN_S, moving_mean
from facepaint.records.faces import Candidate, Faces, FrameFaces
from filters.face import Face

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """Of one kind of coordinates (the box's sides, or the landmarks), in % of the face's width.

    ``bias`` is the root mean square of the coordinates' means, ``slow`` and ``fast`` the standard
    deviations of the moving average over half a second and of what is left; ``kept`` the
    correlation of successive frames.
    """

    bias: float
    slow: float
    fast: float
    kept: float


@dataclass(frozen=True, slots=True)
class Residuals:
    """A detector's errors on one clip. ``missed`` is the share of the frames in which the face was
    not found."""

    box: Part
    landmarks: Part
    missed: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Errors to make up, each coordinate by itself: standard deviations in shares of the face's
    width.

    ``kept`` is the correlation of successive frames (an autoregressive process of first order),
    ``missed`` the share of frames without the face.
    """

    box: float
    landmarks: float
    kept: float
    missed: float = 0.0


STILL = Noise(box=0.0045, landmarks=0.003, kept=0.35)
"""Measured on faces of 80 and 160 px that do not move."""

WANDERING = Noise(box=0.017, landmarks=0.013, kept=0.8)
"""Measured on someone who talks: what is found depends on how the face lies on the detector's
grid."""

FAST = Noise(box=0.015, landmarks=0.011, kept=0.1)
"""Measured at up to three faces a second."""


def residuals(truth: Sequence[Face], found: Sequence[Face | None]) -> Residuals:
    """Compare the faces found in successive frames with the true ones."""
    there = [number for number, face in enumerate(found) if face is not None]
    rows = [
        (np.array([*face.box, *face.landmarks]) - [*truth[number].box, *truth[number].landmarks])
        / truth[number].width
        for number, face in enumerate(found)
        if face is not None
    ]
    missed = 1 - len(there) / len(found)
    if len(rows) < 2:
        nothing = Part(math.nan, math.nan, math.nan, math.nan)
        return Residuals(nothing, nothing, missed)
    errors = np.stack(rows)
    return Residuals(_part(errors[:, :4]), _part(errors[:, 4:]), missed)


def _part(errors: Floats) -> Part:
    bias = errors.mean(0)
    off = errors - bias
    slow = moving_mean(off, round(MEAN_S * FPS))
    kept = float(np.sum(off[1:] * off[:-1]) / max(1e-12, np.sum(off**2)))
    return Part(_percent(bias), _percent(slow), _percent(off - slow), kept)


def _percent(values: Floats) -> float:
    return 100 * float(np.sqrt(np.mean(values**2)))


def made_up(motion: Motion, noise: Noise, seed: int = 0) -> Faces:
    """The record of a clip that was never drawn: the true faces with errors; one pts a frame."""
    rng = np.random.default_rng(seed)
    deviation = np.repeat([noise.box, noise.landmarks], [4, 10])
    error = rng.normal(0, 1, 14)
    frames = []
    for pts, face in enumerate(motion.faces):
        if pts:
            error = noise.kept * error + math.sqrt(1 - noise.kept**2) * rng.normal(0, 1, 14)
        values = np.array([*face.box, *face.landmarks]) + error * deviation * face.width
        x1, y1, x2, y2, *landmarks = values.round(2).tolist()
        seen = rng.uniform() >= noise.missed
        frames.append(
            FrameFaces(
                pts, faces=(Candidate(0.9, (x1, y1, x2, y2), tuple(landmarks)),) if seen else ()
            )
        )
    return Faces(0, tuple(frames), "made up", "cpu")
