"""How far a sticker is from where the true face would put it: trembling, lag and the worst moment."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.artwork import svg_artwork
from filters.face import Face, pose_of
from filters.stickers import STICKERS, placed

Floats = npt.NDArray[np.float64]

MEAN_S = 0.5
"""What is slower than a moving average of this length is no trembling."""

LOWEST_HZ = 2.0
"""The other definition of trembling: what is left above this frequency."""


@dataclass(frozen=True, slots=True)
class Trembling:
    """Of a sticker's corners, against those of the true face.

    Attributes:
        percent: root mean square of the deviation less its moving average over `MEAN_S`, in % of the face's width.
        above_percent: root mean square of the deviation above `LOWEST_HZ`, likewise.
        lag_frames: by how many frames the sticker comes late (early if negative); NaN where the face hardly moves.
        worst_percent: the largest deviation less its mean over the clip, in % of the face's width.
        missing: frames without a face.
    """

    percent: float
    above_percent: float
    lag_frames: float
    worst_percent: float
    missing: int


def corners(face: Face) -> Floats:
    """The four corners of the sunglasses' artwork on a face, in px: 4 x 2."""
    (part,) = STICKERS["sunglasses"]
    artwork = svg_artwork(part.asset)
    to_frame = placed(part, pose_of(face))
    right, low = artwork.left + artwork.width, artwork.top + artwork.height
    at = ((artwork.left, artwork.top), (right, artwork.top), (right, low), (artwork.left, low))
    return np.array([to_frame.of(*point) for point in at])


def trembling(truth: Sequence[Face], found: Sequence[Face | None], fps: float) -> Trembling:
    """Compare the faces found in successive frames with the true ones; both in the frames' order."""
    here = [number for number, face in enumerate(found) if face is not None]
    if len(here) < 2:
        return Trembling(math.nan, math.nan, math.nan, math.nan, len(found))
    true = np.stack([corners(face) for face in truth])
    seen = np.stack([corners(face) for face in found if face is not None])
    width = np.array([face.width for face in truth])[here]
    deviation = (seen - true[here]) / width[:, None, None]
    off = deviation - deviation.mean(0)
    return Trembling(
        100 * _rms(off - moving_mean(off, round(MEAN_S * fps))),
        100 * _rms(above(off, LOWEST_HZ, fps)),
        _lag(true[here].mean(1) / width[:, None], deviation.mean(1)),
        100 * float(np.linalg.norm(off, axis=2).max()),
        len(found) - len(here),
    )


def nearest(truth: Face, faces: Sequence[Face]) -> Face | None:
    """The face that is the true one, or None: the centres are no further apart than half its width."""
    close = [face for face in faces if math.dist(face.centre, truth.centre) < truth.width / 2]
    return min(close, key=lambda face: math.dist(face.centre, truth.centre), default=None)


def moving_mean(values: Floats, frames: int) -> Floats:
    """The mean of ``frames`` values about each along the first axis, of fewer at the ends."""
    half = frames // 2
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    counts = (last - first).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((sums[last] - sums[first]) / counts)


def above(values: Floats, hertz: float, fps: float) -> Floats:
    """What is in values above a frequency, along the first axis."""
    # Reflected at the ends: without it a slow drift would look like a jump from the last value to the first.
    both = np.concatenate([values, values[::-1]])
    spectrum = np.fft.rfft(both, axis=0)
    spectrum[np.fft.rfftfreq(len(both), 1 / fps) <= hertz] = 0
    return np.asarray(np.fft.irfft(spectrum, len(both), axis=0)[: len(values)])


def _rms(vectors: Floats) -> float:
    return math.sqrt(float(np.mean(np.sum(vectors**2, axis=-1))))


def _lag(way: Floats, deviation: Floats) -> float:
    """The delay in frames that explains most of the deviation: least squares over the velocity."""
    velocity = np.gradient(way, axis=0)
    # Slower ways are lost in the slow wander of what the detector finds.
    if _rms(velocity) < 0.003:
        return math.nan
    centred = deviation - deviation.mean(0)
    return float(-np.sum(velocity * centred) / np.sum(velocity**2))
