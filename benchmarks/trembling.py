"""How far a sticker is from where the true face would put it: trembling, lag and the worst
moment."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.artwork import svg_artwork
from filters.face import Face, pose_of
from filters.layers import placed
from filters.pose import HeadPose, head_poses
from filters.stickers_table import STICKERS

Floats = npt.NDArray[np.float64]

MEAN_S = 0.5
"""What is slower than a moving average of this length is no trembling."""

LOWEST_HZ = 2.0
"""The other definition of trembling: what is left above this frequency."""


DELAYS = np.linspace(-4, 4, 161)
"""Lags that are tried, in frames."""

SLOWEST = 0.003
"""Of a face that moves by less than this share of itself a frame, the lag drowns in the wander of
what was found."""


@dataclass(frozen=True, slots=True)
class Trembling:
    """Of a sticker's corners, against those of the true face.

    Attributes:
        percent: root mean square of the deviation less its moving average over `MEAN_S`, in % of
            the face's width.
        above_percent: root mean square of the deviation above `LOWEST_HZ`, likewise.
        lag_frames: by how many frames the sticker comes late (early if negative); NaN where the
            face hardly moves.
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
    """The same of many faces at once: n x 4 x 2."""
    alone = [face for face in faces if face.head is None and face.landmarks]
    boxes, landmarks = (
        np.array([face.box for face in alone]),
        np.array([face.landmarks for face in alone]),
    )
    fitted = iter(head_poses(boxes, landmarks).tolist() if alone else ())
    # Fitted one by one, as a painter does, they would take most of the time.
    return np.stack(
        [
            _corners(
                HeadPose(*next(fitted)) if face.head is None and face.landmarks else pose_of(face)
            )
            for face in faces
        ]
    )


def _corners(pose: HeadPose) -> Floats:
    (part,) = STICKERS["sunglasses"]
    artwork = svg_artwork(part.asset)
    to_frame = placed(part, pose)
    right, low = artwork.left + artwork.width, artwork.top + artwork.height
    at = ((artwork.left, artwork.top), (right, artwork.top), (right, low), (artwork.left, low))
    return np.array([to_frame.of(*point) for point in at])


def trembling(truth: Sequence[Face], found: Sequence[Face | None], fps: float) -> Trembling:
    """Compare the faces found in successive frames with the true ones; both in the frames'
    order."""
    here = [number for number, face in enumerate(found) if face is not None]
    if len(here) < 2:
        return Trembling(math.nan, math.nan, math.nan, math.nan, len(found))
    true = all_corners(truth)
    seen = all_corners([face for face in found if face is not None])
    width = np.array([face.width for face in truth])[here]
    deviation = (seen - true[here]) / width[:, None, None]
    off = deviation - deviation.mean(0)
    return Trembling(
        100 * _rms(off - moving_mean(off, round(MEAN_S * fps))),
        100 * _rms(above(off, LOWEST_HZ, fps)),
        _lag(true.mean(1), seen.mean(1), np.array(here), float(width.mean())),
        100 * float(np.linalg.norm(off, axis=2).max()),
        len(found) - len(here),
    )


def nearest(truth: Face, faces: Sequence[Face]) -> Face | None:
    """The face that is the true one, or None: the centres are no further apart than half its
    width."""
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
    # Reflected at the ends: without it a slow drift would look like a jump from the last value to
    # the first.
    both = np.concatenate([values, values[::-1]])
    spectrum = np.fft.rfft(both, axis=0)
    spectrum[np.fft.rfftfreq(len(both), 1 / fps) <= hertz] = 0
    return np.asarray(np.fft.irfft(spectrum, len(both), axis=0)[: len(values)])


def _rms(vectors: Floats) -> float:
    return math.sqrt(float(np.mean(np.sum(vectors**2, axis=-1))))


def _lag(true: Floats, seen: Floats, here: Floats, width: float) -> float:
    """The delay in frames at which the true way is most like the one seen (middles, in px), but for
    a constant."""
    if _rms(np.gradient(true, axis=0)) < SLOWEST * width:
        return math.nan
    frames = np.arange(len(true))
    apart = []
    for delay in DELAYS:
        late = np.stack([np.interp(here - delay, frames, column) for column in true.T], axis=1)
        inside = (here - delay >= 0) & (here - delay <= frames[-1])
        off = (seen - late)[inside]
        apart.append(_rms(off - off.mean(0)))
    return float(DELAYS[int(np.argmin(apart))])
