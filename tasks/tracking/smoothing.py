"""A zero-lag smoother of a face's track, from the detections before and after each position.

Local polynomial regression (Cleveland, "Robust locally weighted regression", JASA 1979: tricube
weights) with several fits at each time, from a short straight line to one over `LONGEST_S` to both
sides. A long fit is steady, a short one follows fast motion. A long one counts where its residual
is no more than the noise, which is estimated from high differences of the detections themselves
(Gasser, Sroka, Jennen-Steinmetz, Biometrika 1986). Fits are blended and not selected, so nothing
jumps. A position depends on no detection more than `WINDOW_S` away, so the result is the same
wherever a video was cut.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.pose import BOX_SIDE, HeadPose, head_poses

Floats = npt.NDArray[np.float64]

NEAR_S = 0.2
"""Distance of the detections that decide whether one is an outlier, and how large the noise is."""

LONGEST_S = 0.4
"""Seconds to each side of the longest fit."""

WINDOW_S = LONGEST_S + NEAR_S
"""A position depends on no detection further away, unless it lies in a gap of the detections."""

BEYOND_GAP_S = 0.1
"""In a gap from a to b positions also depend on detections up to this, plus `NEAR_S`, before a and
after b."""

FITS = ((1, 0.05), (2, 0.15), (2, 0.25), (2, LONGEST_S), (1, LONGEST_S))
"""Order of the polynomial and seconds to each side of each fit, from the fastest to the steadiest.
"""

MISFIT = (1.2, 4.0)
"""Residual variance over noise variance: up to the first value a fit counts in full, from the
second not at all."""

RIDGE = (0.0, 1e-3, 2e-3)
"""Regularization of value, slope and curvature. At a track's ends, where the last two are poorly
determined, the fits are nearly straight."""

BRIDGED_S = (0.1, 0.3)
"""From the first to the second distance to the farther end of a gap, a straight line across it
replaces the fits."""

EXTRAPOLATED_S = 0.05
"""Distance from a gap's nearer end over which the line takes over from the fits."""

MEAN_ROOT = 0.676
"""The squared mean of the root of the absolute value of a standard normal variable."""

OUTLIER = 3.0
"""A detection counts half if it is this many times as far from its neighbours as they are from each
other."""

ROUNDING_S = 1e-6
"""Tolerance of comparisons of times, which are rounded to floats."""

AT_ONCE = 256
"""Times evaluated together, which bounds the memory of a long track."""


def smoothed(
    times: Floats,
    values: Floats,
    weights: Floats,
    at: Floats,
    noise: Floats | None = None,
    groups: npt.NDArray[np.intp] | None = None,
) -> Floats:
    """Smooth the values of a track from both sides.

    Args:
        times: (n,) seconds of the detections, ascending, n at least 1.
        values: (n, k) measurements.
        weights: (n,) positive.
        at: (m,) seconds to evaluate at. Before the first detection and after the last the values
            are constant.
        noise: (n, k) differences, in the values' units, that are not followed.
        groups: (k,) numbers; columns of one number get the same blend of fits. By default all do.

    Returns:
        (m, k) values.
    """
    # Not 0: values are divided by it.
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
    # Beyond the ends a polynomial would run away.
    at = np.clip(at, times[0], times[-1])
    parts = [
        _smoothed(detections, at[start : start + AT_ONCE]) for start in range(0, len(at), AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, values.shape[1]))


@dataclass(frozen=True, slots=True)
class _Detections:
    """Times (n,), values (n, k), weights (n,), noise (n, k), differences (n, k) of `_differences`,
    groups (k,)."""

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
    # Values relative to the nearest detection: small numbers lose less to rounding.
    nearest = _nearest_values(detections, rows, offsets)
    weights, values = detections.weights[rows], detections.values[rows] - nearest
    variance = _variance(detections, rows, weights * _tricube(offsets / longest[:, None]))
    result = np.zeros((len(at), values.shape[2]))
    for number, (order, seconds) in enumerate(FITS):
        # In a gap even the shortest fit has to reach the nearest detection.
        reach = np.maximum(seconds, 2 * closest)[:, None]
        # The shortest fit counts in full; each longer one by how well it fits.
        estimate, residual = _fit(order, offsets / reach, weights, values)
        share = _share(residual / variance, detections.groups) if number else 1.0
        result += share * (estimate - result)
    result += nearest[:, 0]
    first, last = BRIDGED_S
    bridged = _smoothstep((np.maximum(since, until) - first) / (last - first))
    bridged *= _smoothstep(closest / EXTRAPOLATED_S)
    wide = np.flatnonzero(bridged)
    line = _bridge(detections, at[wide], since[wide], until[wide])
    result[wide] += bridged[wide, None] * (line - result[wide])
    return result


def _nearest_values(detections: _Detections, rows: npt.NDArray[np.intp], offsets: Floats) -> Floats:
    """The values of the detection nearest to each time: (m, 1, k)."""
    nearest = np.abs(offsets).argmin(axis=1)[:, None]
    return np.asarray(detections.values[np.take_along_axis(rows, nearest, 1)])


def _bridge(detections: _Detections, at: Floats, since: Floats, until: Floats) -> Floats:
    """The straight line across a gap, between the fits of the detections at both ends."""
    ends = []
    for end, side in ((at - since, -1), (at + until, 1)):
        rows, offsets = _windows(detections.times, end, np.full(len(end), BEYOND_GAP_S))
        weights = detections.weights[rows] * (side * offsets > -ROUNDING_S)
        nearest = _nearest_values(detections, rows, offsets)
        estimate, _ = _fit(1, offsets / BEYOND_GAP_S, weights, detections.values[rows] - nearest)
        ends.append(estimate + nearest[:, 0])
    along = (since / (since + until))[:, None]
    return np.asarray(ends[0] + along * (ends[1] - ends[0]))


def _fit(order: int, offsets: Floats, weights: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Fit polynomials to windows of w detections.

    Args:
        offsets: (m, w) in units of the reach.
        weights: (m, w).
        values: (m, w, k).

    Returns:
        The values at offset 0 and the residual variances: (m, k) each.
    """
    weights = weights * _tricube(offsets)
    powers = np.where(np.isfinite(offsets), offsets, 0.0)[..., None] ** np.arange(order + 1)
    weighted = (powers * weights[..., None]).transpose(0, 2, 1)
    total = weights.sum(axis=1)
    moments, sums = weighted @ powers, weighted @ values
    squared = weighted @ weighted.transpose(0, 2, 1)
    ridge = moments + np.diag(RIDGE[: order + 1]) * total[:, None, None]
    solved = np.linalg.solve(ridge, np.concatenate([sums, squared], axis=2))
    coefficients = solved[..., : values.shape[2]]
    used = np.trace(solved[..., values.shape[2] :], axis1=1, axis2=2)
    squares = (weights[:, None] @ values**2)[:, 0]
    squares += (coefficients * (moments @ coefficients - 2 * sums)).sum(axis=1)
    # The degrees of freedom of the residual: the sum of the weights less those that the fit uses.
    free = np.maximum(total - used, 1e-3 * total)
    return coefficients[:, 0], np.maximum(squares, 0.0) / free[:, None]


def _share(misfit: Floats, groups: npt.NDArray[np.intp]) -> Floats:
    """The share of a fit, 1 to 0, by the mean misfit of each column's group: (m, k)."""
    member = (groups[:, None] == groups).astype(np.float64)
    together = misfit @ (member / member.sum(axis=0))
    return _smoothstep((MISFIT[1] - together) / (MISFIT[1] - MISFIT[0]))


def _variance(detections: _Detections, rows: npt.NDArray[np.intp], weights: Floats) -> Floats:
    """The variance of the noise around each time: (m, k).

    It is estimated from mean roots of differences, which outliers hardly move.
    """
    differences = detections.differences[rows]
    is_finite = np.asarray(np.isfinite(differences[..., :1]))
    counts = weights[..., None] * is_finite
    roots = (counts * np.sqrt(np.abs(np.where(is_finite, differences, 0.0)))).sum(axis=1)
    deviation = (roots / np.maximum(counts.sum(axis=1), 1e-12)) ** 2 / MEAN_ROOT
    floor = (
        np.einsum("mw,mwk->mk", weights, detections.noise[rows] ** 2) / weights.sum(axis=1)[:, None]
    )
    return np.asarray(deviation**2 + floor)


def _differences(times: Floats, values: Floats) -> Floats:
    """The fourth difference of each detection with its two neighbours to each side: (n, k).

    Motion up to the third order cancels out. Scaled so that its deviation is that of the noise; NaN
    without neighbours near by.
    """
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
    """The weight of each detection, 0-1: low if it is far from neighbours that agree: (n,)."""
    trust = np.ones(len(times))
    middle = _with_neighbours(times)

    def apart(a: int, b: int) -> Floats:
        return np.asarray(np.sqrt(((values[middle + a] - values[middle + b]) ** 2).mean(axis=1)))

    after = (times[middle] - times[middle - 1]) / (times[middle + 1] - times[middle - 1])
    between = values[middle - 1] + after[:, None] * (values[middle + 1] - values[middle - 1])
    error = np.sqrt(((values[middle] - between) ** 2).mean(axis=1))
    usual = 1.0 + (apart(-2, -1) + apart(-1, 1) + apart(1, 2)) / 3
    trust[middle] = np.maximum(1e-3, 1 / (1 + (error / (OUTLIER * usual)) ** 4))
    return trust


def _with_neighbours(times: Floats) -> npt.NDArray[np.intp]:
    """The detections that have two on each side within `NEAR_S`."""
    if len(times) < 5:
        return np.zeros(0, np.intp)
    near = np.maximum(times[2:-2] - times[:-4], times[4:] - times[2:-2]) <= NEAR_S + ROUNDING_S
    return np.flatnonzero(near) + 2


def _gap(times: Floats, at: Floats) -> tuple[Floats, Floats]:
    """The seconds since the detection before each time and until the one after; 0 at a detection:
    (m,) each."""
    after = np.searchsorted(times, at - ROUNDING_S)
    here = np.abs(times[after] - at) <= ROUNDING_S
    return np.where(here, 0.0, at - times[after - 1]), np.where(here, 0.0, times[after] - at)


def _windows(times: Floats, at: Floats, reach: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """The detections within reach of each time: rows and seconds from it, (m, w) each.

    Windows with fewer than w detections are filled up with infinite distances.
    """
    first, last = np.searchsorted(times, at - reach), np.searchsorted(times, at + reach, "right")
    rows = first[:, None] + np.arange((last - first).max(initial=1))
    inside, rows = rows < last[:, None], np.minimum(rows, len(times) - 1)
    return rows, np.where(inside, times[rows] - at[:, None], np.inf)


def _smoothstep(x: Floats) -> Floats:
    """From 0 at 0 to 1 at 1, with a continuous derivative."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))


def _tricube(offsets: Floats) -> Floats:
    return np.asarray((1 - np.minimum(1.0, np.abs(offsets)) ** 3) ** 3)


@dataclass(frozen=True, slots=True)
class SmoothedFace:
    """A smoothed position: box and landmarks in px, and the head pose.

    Without landmarks from the detector there are none here, and no pose.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[float, ...]
    head: HeadPose | None


SLOW_ERRORS = 0.015
"""Error of a detector that lasts for several frames, in eye distances. Differences of neighbours do
not show it, and it is not to be followed. Measured on clips of known motion: stickers deviate least
with this value (benchmarks/quality.py)."""

SLOW_ERRORS_DEGREES = 1.5
"""The same of yaw and pitch."""


def smoothed_faces(
    times: Floats, boxes: Floats, landmarks: Floats, weights: Floats, at: Floats
) -> list[SmoothedFace]:
    """Smooth a track's boxes, landmarks and head poses together; see `smoothed`.

    Poses are estimated from each detection and then smoothed: a head's angles change less than its
    position, so they can be smoothed more than landmarks can. Position, size with roll, the other
    angles, and the landmarks relative to the position each get a blend of fits of their own.

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
        return [SmoothedFace(_box(row), (), None) for row in columns.tolist()]
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
        SmoothedFace(_box([*row[:2], *row[4:6]]), tuple(row[10:]), _head(*row[2:4], *row[6:10]))
        for row in columns.tolist()
    ]


def _box(row: list[float]) -> tuple[float, float, float, float]:
    x, y, width, height = row
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _head(x: float, y: float, along: float, aside: float, yaw: float, pitch: float) -> HeadPose:
    return HeadPose(
        x, y, math.hypot(along, aside), yaw, pitch, math.degrees(math.atan2(aside, along))
    )
