"""A zero-lag smoother of a face's track: what it says at a time follows from the detections before
and after it.

Local polynomial regression (Cleveland, "Robust locally weighted regression", JASA 1979: tricube
weights), with several fits a moment, from a short straight line to one over `LONGEST_S` to both
sides. A long fit is steady, a short one follows. A long one counts where what it leaves over is no
more than the noise, which is measured from high differences of the detections themselves (Gasser,
Sroka, Jennen-Steinmetz, Biometrika 1986). Fits are mixed and not chosen among, so nothing jumps.
Everything is local: at a time nothing depends on detections more than `WINDOW_S` away, so the
result is the same wherever a video was cut.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.pose import BOX_SIDE, HeadPose, head_poses

Floats = npt.NDArray[np.float64]

NEAR_S = 0.2
"""Detections no further away than this tell whether one is an outlier, and how large the noise
is."""

LONGEST_S = 0.4

WINDOW_S = LONGEST_S + NEAR_S
"""At a time nothing depends on detections further away, unless the time lies in a gap of the
detections."""

BEYOND_GAP_S = 0.1
"""In a gap from a to b the result also depends on what lies this much, and `NEAR_S`, before a and
after b."""

FITS = ((1, 0.05), (2, 0.15), (2, 0.25), (2, LONGEST_S), (1, LONGEST_S))
"""Order of the polynomial and seconds to each side of each fit, from the one that follows to the
one that is steady."""

MISFIT = (1.2, 4.0)
"""Up to the first, mean squares left over in units of the noise's, a fit counts in full; from the
second not at all."""

RIDGE = (0.0, 1e-3, 2e-3)
"""Holds slope and curvature back where they are badly known: at a track's ends the fits are nearly
straight."""

BRIDGED_S = (0.1, 0.3)
"""From the first to the second distance to the further end of a gap, straight lines over it take
the fits' place."""

EXTRAPOLATED_S = 0.05
"""Within this of a gap's nearer end the line takes over from the fits."""

MEAN_ROOT = 0.676
"""The squared mean of the root of the absolute value of a normal variable of deviation 1."""

OUTLIER = 3.0
"""A detection this many times as far from its neighbours as these from each other counts half."""

ROUNDING_S = 1e-6
"""Times are rounded to floats; what lies no further than this apart is at the same time."""

AT_ONCE = 256
"""Moments worked on together, which bounds the memory of a long track."""


def smoothed(
    times: Floats,
    values: Floats,
    weights: Floats,
    at: Floats,
    noise: Floats | None = None,
    groups: npt.NDArray[np.intp] | None = None,
) -> Floats:
    """Values of a track smoothed from both sides.

    Args:
        times: (n,) seconds of the detections, ascending, n at least 1.
        values: (n, k) what was measured then.
        weights: (n,) positive; how much each detection counts.
        at: (m,) seconds to give values for; before the first detection and after the last they
            stand still.
        noise: (n, k) differences, in the values' units, that are too small to be followed.
        groups: (k,) numbers; columns of one number are followed together. All are by default.

    Returns:
        (m, k) values.
    """
    noise = np.full_like(values, 1e-9) if noise is None else noise
    groups = np.zeros(values.shape[1], np.intp) if groups is None else groups
    detections = _Detections(
        times,
        values,
        weights * _trust(times, values / noise),
        noise,
        _differences(times, values),
        groups,
    )
    at = np.clip(at, times[0], times[-1])
    parts = [
        _smoothed(detections, at[start : start + AT_ONCE]) for start in range(0, len(at), AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, values.shape[1]))


@dataclass(frozen=True, slots=True)
class _Detections:
    """Times (n,), values (n, k), weights (n,), noise (n, k), differences (n, k) as of
    `_differences`, groups (k,)."""

    times: Floats
    values: Floats
    weights: Floats
    noise: Floats
    differences: Floats
    groups: npt.NDArray[np.intp]


def _smoothed(detections: _Detections, at: Floats) -> Floats:
    since, until = _gap(detections.times, at)
    closest = np.minimum(since, until)
    longest = np.maximum(LONGEST_S, 2 * closest)
    rows, offsets = _windows(detections.times, at, longest)
    nearest = detections.values[
        np.take_along_axis(rows, np.abs(offsets).argmin(axis=1)[:, None], 1)
    ]
    weights, values = detections.weights[rows], detections.values[rows] - nearest
    variance = _variance(detections, rows, weights * _tricube(offsets / longest[:, None]))
    result = np.zeros((len(at), values.shape[2]))
    for number, (order, seconds) in enumerate(FITS):
        reach = np.maximum(seconds, 2 * closest)[:, None]
        estimate, left_over = _fit(order, offsets / reach, weights, values)
        share = _share(left_over / variance, detections.groups) if number else 1.0
        result += share * (estimate - result)
    result += nearest[:, 0]
    first, last = BRIDGED_S
    bridged = _rising((np.maximum(since, until) - first) / (last - first)) * _rising(
        closest / EXTRAPOLATED_S
    )
    wide = np.flatnonzero(bridged)
    result[wide] += bridged[wide, None] * (
        _bridge(detections, at[wide], since[wide], until[wide]) - result[wide]
    )
    return result


def _bridge(detections: _Detections, at: Floats, since: Floats, until: Floats) -> Floats:
    """The straight line over a gap, between what each end's last moments say about it."""
    ends = []
    for end, side in ((at - since, -1), (at + until, 1)):
        rows, offsets = _windows(detections.times, end, np.full(len(end), BEYOND_GAP_S))
        weights = detections.weights[rows] * (side * offsets > -ROUNDING_S)
        nearest = detections.values[
            np.take_along_axis(rows, np.abs(offsets).argmin(axis=1)[:, None], 1)
        ]
        estimate, _ = _fit(1, offsets / BEYOND_GAP_S, weights, detections.values[rows] - nearest)
        ends.append(estimate + nearest[:, 0])
    along = (since / (since + until))[:, None]
    return np.asarray(ends[0] + along * (ends[1] - ends[0]))


def _fit(order: int, offsets: Floats, weights: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The value at offset 0 (m, k) of polynomials fitted to windows, and the variance (m, k) they
    leave over.

    Offsets (m, w) are in units of the reach, weights (m, w), values (m, w, k).
    """
    weights = weights * _tricube(offsets)
    powers = np.where(np.isfinite(offsets), offsets, 0.0)[..., None] ** np.arange(order + 1)
    weighed = (powers * weights[..., None]).transpose(0, 2, 1)
    total = weights.sum(axis=1)
    moments, sums, squared = (
        weighed @ powers,
        weighed @ values,
        weighed @ weighed.transpose(0, 2, 1),
    )
    held = moments + np.diag(RIDGE[: order + 1]) * total[:, None, None]
    solved = np.linalg.solve(held, np.concatenate([sums, squared], axis=2))
    coefficients, taken = (
        solved[..., : values.shape[2]],
        np.trace(solved[..., values.shape[2] :], axis1=1, axis2=2),
    )
    squares = (weights[:, None] @ values**2)[:, 0]
    squares += (coefficients * (moments @ coefficients - 2 * sums)).sum(axis=1)
    # Noise alone leaves over as much as the weights are, less what the fit takes up.
    free = np.maximum(total - taken, 1e-3 * total)
    return coefficients[:, 0], np.maximum(squares, 0.0) / free[:, None]


def _share(misfit: Floats, groups: npt.NDArray[np.intp]) -> Floats:
    """How much a fit counts (m, k), by the mean misfit (m, k) of each column's group: 1 down to 0,
    without a kink."""
    member = (groups[:, None] == groups).astype(np.float64)
    together = misfit @ (member / member.sum(axis=0))
    return _rising((MISFIT[1] - together) / (MISFIT[1] - MISFIT[0]))


def _variance(detections: _Detections, rows: npt.NDArray[np.intp], weights: Floats) -> Floats:
    """The variance of the noise (m, k) about each moment, from mean roots of differences: outliers
    hardly move them."""
    differences = detections.differences[rows]
    known = np.asarray(np.isfinite(differences[..., :1]))
    counts = weights[..., None] * known
    roots = (counts * np.sqrt(np.abs(np.where(known, differences, 0.0)))).sum(axis=1)
    deviation = (roots / np.maximum(counts.sum(axis=1), 1e-12)) ** 2 / MEAN_ROOT
    floor = (
        np.einsum("mw,mwk->mk", weights, detections.noise[rows] ** 2) / weights.sum(axis=1)[:, None]
    )
    return np.asarray(deviation**2 + floor)


def _differences(times: Floats, values: Floats) -> Floats:
    """Of each detection (n, k) the fourth difference with its two neighbours to each side, which no
    motion of third order enters, in units in which noise has its own deviation; NaN where there are
    none near."""
    differences = np.full_like(values, np.nan)
    middle = _with_neighbours(times)
    points = times[middle[:, None] + np.arange(-2, 3)]
    apart = points[:, :, None] - points[:, None] + np.eye(5)
    factors = 1 / apart.prod(axis=2)
    factors /= np.linalg.norm(factors, axis=1)[:, None]
    differences[middle] = np.einsum(
        "np,npk->nk", factors, values[middle[:, None] + np.arange(-2, 3)]
    )
    return differences


def _trust(times: Floats, values: Floats) -> Floats:
    """How much each detection can be trusted (n,), 0-1: little where it is far from neighbours that
    agree."""
    trust = np.ones(len(times))
    middle = _with_neighbours(times)

    def apart(a: int, b: int) -> Floats:
        return np.asarray(np.sqrt(((values[middle + a] - values[middle + b]) ** 2).mean(axis=1)))

    after = (times[middle] - times[middle - 1]) / (times[middle + 1] - times[middle - 1])
    between = values[middle - 1] + after[:, None] * (values[middle + 1] - values[middle - 1])
    off = np.sqrt(((values[middle] - between) ** 2).mean(axis=1))
    usual = 1.0 + (apart(-2, -1) + apart(-1, 1) + apart(1, 2)) / 3
    trust[middle] = np.maximum(1e-3, 1 / (1 + (off / (OUTLIER * usual)) ** 4))
    return trust


def _with_neighbours(times: Floats) -> npt.NDArray[np.intp]:
    """The detections that have two on each side within `NEAR_S`."""
    if len(times) < 5:
        return np.zeros(0, np.intp)
    near = np.maximum(times[2:-2] - times[:-4], times[4:] - times[2:-2]) <= NEAR_S + ROUNDING_S
    return np.flatnonzero(near) + 2


def _gap(times: Floats, at: Floats) -> tuple[Floats, Floats]:
    """The seconds since the detection before each moment (m,) and until the one after; 0 at a
    detection."""
    after = np.searchsorted(times, at - ROUNDING_S)
    here = np.abs(times[after] - at) <= ROUNDING_S
    return np.where(here, 0.0, at - times[after - 1]), np.where(here, 0.0, times[after] - at)


def _windows(times: Floats, at: Floats, reach: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """The detections within reach of each moment: rows (m, w) and seconds from it (infinite: none
    any more)."""
    first, last = np.searchsorted(times, at - reach), np.searchsorted(times, at + reach, "right")
    rows = first[:, None] + np.arange((last - first).max(initial=1))
    inside, rows = rows < last[:, None], np.minimum(rows, len(times) - 1)
    return rows, np.where(inside, times[rows] - at[:, None], np.inf)


def _rising(x: Floats) -> Floats:
    """From 0 at 0 to 1 at 1, without a kink."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))


def _tricube(offsets: Floats) -> Floats:
    return np.asarray((1 - np.minimum(1.0, np.abs(offsets)) ** 3) ** 3)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a face is at a moment, px: box, landmarks (none if the detector gives none), and how
    the head stands."""

    box: tuple[float, float, float, float]
    landmarks: tuple[float, ...]
    head: HeadPose | None


SLOW_ERRORS = 0.015
"""By how much a detector's numbers are off for several frames on end, in eye distances: differences
do not show it, and it is not to be followed. Found on clips of known motion, as where stickers
stray least (benchmarks/quality.py)."""

SLOW_ERRORS_DEGREES = 1.5


def smoothed_faces(
    times: Floats, boxes: Floats, landmarks: Floats, weights: Floats, at: Floats
) -> list[Placed]:
    """A track's boxes, landmarks and head poses smoothed together; see `smoothed`.

    Poses are told from each detection and then smoothed: a head's angles move less than its place,
    so they can be held stiller than landmarks can. Place, size with roll, the other angles, and the
    landmarks about their place are followed each as fast as it moves itself.

    Args:
        times: (n,) seconds.
        boxes: (n, 4) px.
        landmarks: (n, 10) px, or (n, 0).
        weights: (n,).
        at: (m,) seconds.
    """
    unit = np.sqrt(np.maximum(1.0, boxes[:, 2:] - boxes[:, :2]).prod(axis=1))[:, None] / BOX_SIDE
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    if not landmarks.shape[1]:
        noise = np.repeat(SLOW_ERRORS * unit, 4, axis=1)
        columns = smoothed(
            times, np.hstack([centre, sides]), weights, at, noise, np.array([0, 0, 1, 1])
        )
        return [Placed(_box(row), (), None) for row in columns.tolist()]
    heads = head_poses(boxes, landmarks)
    place, size, angles, roll = heads[:, :2], heads[:, 2:3], heads[:, 3:5], np.radians(heads[:, 5:])
    # Size and roll as one vector in the plane, which has no jump from 180 to -180 degrees.
    upright = np.hstack([size * np.cos(roll), size * np.sin(roll)])
    about = landmarks - np.tile(place, 5)
    values = np.hstack([centre, place, sides, upright, angles, about])
    groups = np.repeat([0, 1, 2, 3], [4, 4, 2, 10])
    noise = np.where(groups == 2, SLOW_ERRORS_DEGREES, SLOW_ERRORS * unit)
    columns = smoothed(times, values, weights, at, noise, groups)
    columns[:, 10:] += np.tile(columns[:, 2:4], 5)
    return [
        Placed(_box([*row[:2], *row[4:6]]), tuple(row[10:]), _head(*row[2:4], *row[6:10]))
        for row in columns.tolist()
    ]


def _box(row: list[float]) -> tuple[float, float, float, float]:
    x, y, width, height = row
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _head(x: float, y: float, along: float, aside: float, yaw: float, pitch: float) -> HeadPose:
    return HeadPose(
        x, y, math.hypot(along, aside), yaw, pitch, math.degrees(math.atan2(aside, along))
    )
