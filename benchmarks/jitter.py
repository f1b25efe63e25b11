"""How far a sticker is from where the true face would put it: jitter, lag and the worst frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.artwork import svg_artwork
from filters.face import Face, pose_of
from filters.layers import layer_to_frame
from filters.pose import HeadPose, head_poses
from filters.stickers_table import STICKERS

Floats = npt.NDArray[np.float64]

MEAN_S = 0.5
"""Slower deviations than a moving average of this length are drift, not jitter."""

LOWEST_HZ = 2.0
"""The second measure of jitter: the deviation above this frequency."""

DELAYS = np.linspace(-4, 4, 161)
"""Candidate lags, in frames."""

SLOWEST = 0.003
"""Below this motion, in face sizes a frame, detector noise is larger than any lag."""


@dataclass(frozen=True, slots=True)
class Jitter:
    """Deviation of a sticker's corners from those on the true face.

    Attributes:
        percent: root mean square of the deviation less its moving average over `MEAN_S`, in % of
            the face's width.
        above_percent: root mean square of the deviation above `LOWEST_HZ`, likewise.
        lag_frames: frames by which the sticker is late (early if negative); NaN if the face hardly
            moves.
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
    return _corners(pose_of(face))


def all_corners(faces: Sequence[Face]) -> Floats:
    """The corners on many faces: n x 4 x 2."""
    unposed = [face for face in faces if face.head is None and face.landmarks]
    boxes = np.array([face.box for face in unposed])
    landmarks = np.array([face.landmarks for face in unposed])
    # One by one, as a painter fits them, the poses would take most of the time.
    poses = iter(head_poses(boxes, landmarks).tolist() if unposed else ())
    return np.stack(
        [
            _corners(
                HeadPose(*next(poses)) if face.head is None and face.landmarks else pose_of(face)
            )
            for face in faces
        ]
    )


def _corners(pose: HeadPose) -> Floats:
    (layer,) = STICKERS["sunglasses"]
    artwork = svg_artwork(layer.asset)
    to_frame = layer_to_frame(layer, pose)
    right, low = artwork.left + artwork.width, artwork.top + artwork.height
    at = ((artwork.left, artwork.top), (right, artwork.top), (right, low), (artwork.left, low))
    return np.array([to_frame.of(*point) for point in at])


def measure_jitter(truth: Sequence[Face], faces: Sequence[Face | None], fps: float) -> Jitter:
    """Compare the faces of successive frames with the true ones, frame by frame."""
    frames = [number for number, face in enumerate(faces) if face is not None]
    if len(frames) < 2:
        return Jitter(math.nan, math.nan, math.nan, math.nan, len(faces))
    true = all_corners(truth)
    shown = all_corners([face for face in faces if face is not None])
    width = np.array([face.width for face in truth])[frames]
    deviation = (shown - true[frames]) / width[:, None, None]
    # A constant offset is a matter of placing, not of jitter.
    deviation -= deviation.mean(0)
    return Jitter(
        100 * _rms(deviation - moving_mean(deviation, round(MEAN_S * fps))),
        100 * _rms(above(deviation, LOWEST_HZ, fps)),
        _lag(true.mean(1), shown.mean(1), np.array(frames), float(width.mean())),
        100 * float(np.linalg.norm(deviation, axis=2).max()),
        len(faces) - len(frames),
    )


def nearest(truth: Face, faces: Sequence[Face]) -> Face | None:
    """The face whose centre is nearest to the true one's, within half its width; else None."""
    close = [face for face in faces if math.dist(face.centre, truth.centre) < truth.width / 2]
    return min(close, key=lambda face: math.dist(face.centre, truth.centre), default=None)


def moving_mean(values: Floats, frames: int) -> Floats:
    """The mean of ``frames`` values around each along the first axis, of fewer at the ends."""
    half = frames // 2
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    counts = (last - first).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((sums[last] - sums[first]) / counts)


def above(values: Floats, hertz: float, fps: float) -> Floats:
    """The part of a signal above a frequency, along the first axis."""
    # Reflected at the end: a slow drift would otherwise wrap around as a jump.
    both = np.concatenate([values, values[::-1]])
    spectrum = np.fft.rfft(both, axis=0)
    spectrum[np.fft.rfftfreq(len(both), 1 / fps) <= hertz] = 0
    return np.asarray(np.fft.irfft(spectrum, len(both), axis=0)[: len(values)])


def _rms(vectors: Floats) -> float:
    return math.sqrt(float(np.mean(np.sum(vectors**2, axis=-1))))


def _lag(true: Floats, shown: Floats, frames: Floats, width: float) -> float:
    """The delay in frames at which the true path fits the shown one best, up to a constant."""
    if _rms(np.gradient(true, axis=0)) < SLOWEST * width:
        return math.nan
    every = np.arange(len(true))
    errors = []
    for delay in DELAYS:
        late = np.stack([np.interp(frames - delay, every, column) for column in true.T], axis=1)
        inside = (frames - delay >= 0) & (frames - delay <= every[-1])
        error = (shown - late)[inside]
        errors.append(_rms(error - error.mean(0)))
    return float(DELAYS[int(np.argmin(errors))])
