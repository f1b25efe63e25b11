"""Association of the candidates of neighbouring frames, as arrays.

An association depends only on what lies near it, never on where a stretch of frames begins or
ends, so overlapping stretches get the same ones. Three steps, each for the candidates that the
steps before left without a partner:

1. Neighbouring frames: the assignment of least cost by position, landmarks and size, without
   ambiguous pairs (two faces at one place). Depends on the two frames.
2. Short gaps and ambiguous neighbours, up to `SHORT_S`: an end and a start whose velocities predict
   each other best, both ways. Depends on `SHORT_S + MOTION_S` beyond the gap's far side.
3. Long gaps up to `GAP_S` in the same way. Depends on `GAP_S + SHORT_S + MOTION_S` from the far
   side, which is within `REACH_S` of every frame in the gap.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from facepaint.records.faces import Candidate, Faces, FrameFaces
from facepaint.records.segment import REACH_S

SCENE_CUT = 0.06
"""Difference of a frame's signature from the one before (mean, 0-1) that begins a new scene. No
association crosses it."""

GAP_S = 0.7
"""Longest time without a detection that is bridged."""

SHORT_S = 0.13
"""Gaps up to this are bridged first, and smoothed over as if a detection were missing by chance."""

MOTION_S = 0.13
"""Time before or after a gap from which the velocity is estimated."""

ROUNDING_S = 1e-6
"""Tolerance of comparisons of times, which are rounded to floats."""

LINK_COST = 0.7
"""Largest cost of a pair of neighbours: the distance of positions and landmarks in face sizes, plus
the difference of the logarithms of the sizes."""

DOUBT_COST = 0.1
"""A pair of neighbours is ambiguous if either has another partner that costs less than this more.
"""

BRIDGE_COST = 0.5
BRIDGE_COST_PER_S = 0.7
"""Largest error of the predictions across a gap, in face sizes, and its growth for each second."""

LATER_COST_PER_S = 0.3
"""Added cost for each second of a gap: of two faces that fit equally well the earlier one is taken.
"""

STILL_COST = 0.15
"""Added cost of a single candidate, whose velocity is unknown. Without it a false candidate within
a gap would take the place of the face behind it."""

MOTION_PRIOR_S2 = 4e-4
"""Square of the noise of a detection (0.02 face sizes) over the expected speed (1 a second). Pulls
velocities that few candidates support to 0."""

PAIRS_AT_ONCE = 1 << 20
"""Pairs of neighbours in memory at once."""

Vector = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of m consecutive frames, n in all, in the order of the frames.

    Args:
        pts: (m,) times of the frames in ticks.
        times: (m,) the same in seconds.
        scene: (m,) number of scene cuts up to each frame.
        row: (n,) the frame of each candidate.
        place: (n,) its position in the frame's list of faces.
        scores: (n,) confidences.
        shapes: (n, 4 or 14) box and landmarks in px; 4 if no candidate has landmarks.
    """

    pts: Indexes
    times: Vector
    scene: Indexes
    row: Indexes
    place: Indexes
    scores: Vector
    shapes: Vector

    @classmethod
    def of(cls, records: Sequence[Faces], time_base: Fraction, discard: float) -> "Candidates":
        """The candidates of consecutive records with at least the confidence ``discard``.

        Candidates with coordinates that are not finite are left out.
        """
        frames = list(chain.from_iterable(record.frames for record in records))
        kept = list(_kept(frames, discard))
        faces = [face for _, _, face in kept]
        return cls(
            pts=np.array([frame.pts for frame in frames], np.int64),
            times=np.array([float(frame.pts * time_base) for frame in frames]),
            scene=np.cumsum(
                [change >= SCENE_CUT for change in scene_changes(records)], dtype=np.int64
            ),
            row=np.array([row for row, _, _ in kept], np.int64),
            place=np.array([place for _, place, _ in kept], np.int64),
            scores=np.array([face.score for face in faces]),
            shapes=_shapes(faces),
        )

    @classmethod
    def join(cls, parts: Sequence["Candidates"], starts_scene: Sequence[bool]) -> "Candidates":
        """Several stretches one after another.

        Args:
            starts_scene: for each part whether its first frame begins a scene.
        """
        # Rows and scenes count within a part, so each part is shifted by what lies before it.
        first_rows = _starts(len(part.times) for part in parts)
        scenes = [part.scene - part.scene[0] for part in parts]
        first_scenes = _starts(scene[-1] for scene in scenes)
        first_scenes += np.cumsum(starts_scene, dtype=np.int64)
        return cls(
            pts=_joined([part.pts for part in parts]),
            times=np.concatenate([np.zeros(0), *(part.times for part in parts)]),
            scene=_shifted(scenes, first_scenes),
            row=_shifted([part.row for part in parts], first_rows),
            place=_joined([part.place for part in parts]),
            scores=np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
            shapes=_joined_shapes(parts),
        )

    def between(self, first: float, last: float) -> "Candidates":
        """The candidates of the frames from one time to another, both included."""
        rows = slice(*np.searchsorted(self.times, [first - ROUNDING_S, last + ROUNDING_S]).tolist())
        nodes = slice(*np.searchsorted(self.row, [rows.start, rows.stop]).tolist())
        return Candidates(
            self.pts[rows],
            self.times[rows],
            self.scene[rows],
            self.row[nodes] - rows.start,
            self.place[nodes],
            self.scores[nodes],
            self.shapes[nodes],
        )


def _shapes(faces: Sequence[Candidate]) -> Vector:
    # One width for all: the detector of a job gives landmarks always or never.
    width = 14 if any(face.landmarks for face in faces) else 4
    shapes = [[*face.box, *face.landmarks] for face in faces]
    return np.array(shapes).reshape(len(faces), width)


def _kept(frames: Sequence[FrameFaces], discard: float) -> Iterator[tuple[int, int, Candidate]]:
    """The row, the place and the candidate of each one that is used."""
    for row, frame in enumerate(frames):
        for place, face in enumerate(frame.faces):
            if face.score >= discard and _is_finite(face):
                yield row, place, face


def _is_finite(face: Candidate) -> bool:
    return all(map(math.isfinite, (*face.box, *face.landmarks)))


def _starts(lengths: Iterable[int]) -> Indexes:
    """Where each of several consecutive stretches starts."""
    ends = np.cumsum(np.fromiter(lengths, np.int64))
    return np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]


def _shifted(parts: Sequence[Indexes], offsets: Indexes) -> Indexes:
    return _joined([part + offset for part, offset in zip(parts, offsets, strict=True)])


def _joined_shapes(parts: Sequence[Candidates]) -> Vector:
    width = max((part.shapes.shape[1] for part in parts), default=4)
    # A part without candidates may have another width.
    return np.concatenate([np.zeros((0, width)), *(part.shapes for part in parts if len(part.row))])


def _joined(parts: Sequence[Indexes]) -> Indexes:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def scene_changes(records: Sequence[Faces]) -> Iterator[float]:
    """The scene change of each frame.

    Detection knows no frame before a segment's first one, so its score follows from the signatures
    of both segments.
    """
    last: tuple[int, ...] = ()
    for record in records:
        for row, frame in enumerate(record.frames):
            yield (
                scene_change(last, record.first_signature)
                if row == 0 and last
                else frame.scene_change
            )
        if record.frames:
            last = record.last_signature


def scene_change(before: Sequence[int], after: Sequence[int]) -> float:
    """Difference of two frames by their signatures, which are grids of mean luma, 0-255.

    0 is no difference, 1 is black to white.
    """
    if len(before) != len(after) or not before:
        return 0.0
    difference = sum(abs(a - b) for a, b in zip(before, after, strict=True))
    return round(difference / (255 * len(before)), 4)


@dataclass(frozen=True, slots=True)
class Velocity:
    """Velocity of each candidate, from those up to `MOTION_S` on one side of it.

    Args:
        at: (n, 2) px, the fitted position.
        velocity: (n, 2) px a second.
        count: (n,) candidates that were fitted.
    """

    at: Vector
    velocity: Vector
    count: Indexes


@dataclass(frozen=True, slots=True)
class Associations:
    """The next candidate of the same face for each candidate; -1 is none. All (n,) int64.

    Args:
        near: in the next frame.
        short: over a short gap at most.
        after: over any gap.
        past, future: velocities before and after each candidate.
    """

    near: Indexes
    short: Indexes
    after: Indexes
    past: Velocity
    future: Velocity


def associate(candidates: Candidates) -> Associations:
    """Associate the candidates of a stretch of frames."""
    near = _associate_neighbours(candidates)
    past, future = _velocities(candidates, inverse(near)), _velocities(candidates, near)
    short = _bridge_gaps(candidates, near, past, future, SHORT_S)
    after = _bridge_gaps(candidates, short, past, future, GAP_S)
    return Associations(near, short, after, past, future)


def inverse(after: Indexes) -> Indexes:
    """The previous candidate of each one, from the next candidate of each one."""
    before = np.full(len(after), -1, np.int64)
    associated = np.flatnonzero(after >= 0)
    before[after[associated]] = associated
    return before


def sizes(shapes: Vector) -> Vector:
    """The side in px of a square as large as each box: (n,)."""
    return np.sqrt(np.maximum((shapes[:, 2] - shapes[:, 0]) * (shapes[:, 3] - shapes[:, 1]), 1.0))


def centres(shapes: Vector) -> Vector:
    """The centre of each box: (n, 2)."""
    return (shapes[:, :2] + shapes[:, 2:4]) / 2


def _associate_neighbours(candidates: Candidates) -> Indexes:
    """Associate candidates of neighbouring frames, without ambiguous pairs."""
    after = np.full(len(candidates.row), -1, np.int64)
    is_adjacent = np.diff(candidates.times) <= REACH_S + ROUNDING_S
    is_adjacent &= np.diff(candidates.scene) == 0
    first = np.searchsorted(candidates.row, np.arange(len(candidates.times) + 1))
    counts = np.diff(first)
    frames = np.flatnonzero(is_adjacent & (counts[:-1] > 0) & (counts[1:] > 0))
    # A crowd has millions of pairs, so memory holds those of a few frames at a time.
    batch = np.cumsum(counts[frames] * counts[frames + 1]) // PAIRS_AT_ONCE
    for rows in np.split(frames, np.flatnonzero(np.diff(batch)) + 1):
        nodes = np.flatnonzero(np.isin(candidates.row, rows))
        following = candidates.row[nodes] + 1
        later = _ranges(first[following], first[following + 1])
        earlier = np.repeat(nodes, counts[following])
        _assign(candidates, earlier, later, after)
    return after


def _assign(candidates: Candidates, earlier: Indexes, later: Indexes, after: Indexes) -> None:
    """Fill in ``after`` for all pairs of some frames and the frames that follow them."""
    cost = _dissimilarity(candidates.shapes, earlier, later)
    is_near = cost <= LINK_COST
    earlier, later, cost = earlier[is_near], later[is_near], cost[is_near]
    rivals = np.minimum(runner_up(earlier, cost), runner_up(later, cost))
    # Most faces have one partner only; the assignment is solved for the others alone.
    is_single = np.isinf(rivals)
    after[earlier[is_single]] = later[is_single]
    rest = ~is_single
    earlier, later, cost, rivals = earlier[rest], later[rest], cost[rest], rivals[rest]
    is_clear = rivals >= cost + DOUBT_COST
    for frame in _groups(candidates.row[earlier]):
        _assign_frame(earlier[frame], later[frame], cost[frame], is_clear[frame], after)


def _assign_frame(
    earlier: Indexes,
    later: Indexes,
    cost: Vector,
    is_clear: npt.NDArray[np.bool_],
    after: Indexes,
) -> None:
    """Solve the assignment of one frame's pairs. Those that are not clear take part and are dropped
    from the result, or their partners would go to others."""
    left, i = np.unique(earlier, return_inverse=True)
    right, j = np.unique(later, return_inverse=True)
    costs = np.full((len(left), len(right)), LINK_COST)
    clear = np.zeros(costs.shape, bool)
    costs[i, j], clear[i, j] = cost, is_clear
    for row, column in zip(*linear_sum_assignment(costs), strict=True):
        if clear[row, column]:
            after[left[row]] = right[column]


def _dissimilarity(shapes: Vector, earlier: Indexes, later: Indexes) -> Vector:
    """The cost of pairs by position, landmarks and size, in face sizes: (pairs,)."""
    size, centre = sizes(shapes), centres(shapes)
    apart = np.hypot(*(centre[later] - centre[earlier]).T)
    if shapes.shape[1] > 4:
        steps = (shapes[later, 4:] - shapes[earlier, 4:]).reshape(len(earlier), 5, 2)
        apart = (apart + np.hypot(steps[..., 0], steps[..., 1]).mean(1)) / 2
    scale = (size[earlier] + size[later]) / 2
    return np.asarray(apart / scale + np.abs(np.log(size[later] / size[earlier])))


def runner_up(keys: Indexes, cost: Vector) -> Vector:
    """For each pair the lowest cost among the other pairs of the same key; infinite if there is
    none."""
    order = np.lexsort((cost, keys))
    begins = np.flatnonzero(np.diff(keys[order], prepend=-1))
    lengths = np.diff(begins, append=len(keys))
    sorted_cost = np.append(cost[order], np.inf)

    # The place in the order of each key's best pair, and the cost of its second best.
    best = np.zeros(len(keys), np.int64)
    best[order] = np.repeat(begins, lengths)
    second_cost = sorted_cost[np.minimum(begins + 1, len(keys))]
    second = np.full(len(keys), np.inf)
    second[order] = np.repeat(np.where(lengths > 1, second_cost, np.inf), lengths)

    place = np.empty(len(keys), np.int64)
    place[order] = np.arange(len(keys))
    return np.where(place == best, second, sorted_cost[best])


def _velocities(candidates: Candidates, towards: Indexes) -> Velocity:
    """Fit a line of least squares to each candidate and those up to `MOTION_S` to one side of it.

    Args:
        towards: the neighbour of each candidate on that side, or -1.
    """
    at, now = centres(candidates.shapes), candidates.times[candidates.row]
    nodes = np.arange(len(now))
    current, count = nodes.copy(), np.ones(len(now), np.int64)
    # Sums of times and positions relative to the candidate: small numbers, whose rounding does not
    # depend on what came before.
    seconds, squares = np.zeros(len(now)), np.zeros(len(now))
    moves, products = np.zeros((len(now), 2)), np.zeros((len(now), 2))
    while len(nodes):
        current = towards[current]
        is_within = np.abs(now[current] - now[nodes]) <= MOTION_S + ROUNDING_S
        is_within &= current >= 0
        nodes, current = nodes[is_within], current[is_within]
        apart, moved = now[current] - now[nodes], at[current] - at[nodes]
        seconds[nodes] += apart
        squares[nodes] += apart**2
        moves[nodes] += moved
        products[nodes] += apart[:, None] * moved
        count[nodes] += 1
    n = count[:, None]
    spread = squares[:, None] - seconds[:, None] ** 2 / n + MOTION_PRIOR_S2
    velocity = (products - seconds[:, None] * moves / n) / spread
    return Velocity(at + (moves - velocity * seconds[:, None]) / n, velocity, count)


def _bridge_gaps(
    candidates: Candidates, after: Indexes, past: Velocity, future: Velocity, longest: float
) -> Indexes:
    """Associate ends and starts across gaps up to ``longest`` seconds, each with its best match if
    that is mutual."""
    ends, starts = np.flatnonzero(after < 0), np.flatnonzero(inverse(after) < 0)
    earlier, later, cost, seconds = plausible_pairs(candidates, ends, starts, past, future, longest)
    single = (past.count[earlier] == 1).astype(float) + (future.count[later] == 1)
    cost = cost + LATER_COST_PER_S * seconds + STILL_COST * single
    # Of equal costs none is taken: which comes first may depend on where the stretch begins.
    is_best = (cost < runner_up(earlier, cost)) & (cost < runner_up(later, cost))
    bridged = after.copy()
    bridged[earlier[is_best]] = later[is_best]
    return bridged


def plausible_pairs(
    candidates: Candidates,
    ends: Indexes,
    starts: Indexes,
    past: Velocity,
    future: Velocity,
    longest: float,
) -> tuple[Indexes, Indexes, Vector, Vector]:
    """Every end and start up to ``longest`` seconds apart that may be of one face.

    Returns:
        ends, starts, prediction errors in face sizes, and the seconds between: (pairs,) each.
    """
    earlier, later = pairs_across_gaps(candidates, ends, starts, longest)
    cost = _prediction_error(candidates, earlier, later, past, future)
    seconds = candidates.times[candidates.row[later]] - candidates.times[candidates.row[earlier]]
    fits = cost <= BRIDGE_COST + BRIDGE_COST_PER_S * seconds
    return earlier[fits], later[fits], cost[fits], seconds[fits]


def pairs_across_gaps(
    candidates: Candidates, ends: Indexes, starts: Indexes, longest: float
) -> tuple[Indexes, Indexes]:
    """Every end with every start up to ``longest`` seconds after it in the same scene: (pairs,)
    each."""
    now, scene = candidates.times[candidates.row], candidates.scene[candidates.row]
    lows = np.searchsorted(candidates.row[starts], candidates.row[ends], "right")
    highs = np.searchsorted(now[starts], now[ends] + longest + ROUNDING_S, "right")
    highs = np.maximum(lows, highs)
    earlier, later = np.repeat(ends, highs - lows), starts[_ranges(lows, highs)]
    same = scene[earlier] == scene[later]
    return earlier[same], later[same]


def _prediction_error(
    candidates: Candidates, earlier: Indexes, later: Indexes, past: Velocity, future: Velocity
) -> Vector:
    """Mean error of the forward and backward prediction of each pair, in face sizes, plus the
    difference of the logarithms of the sizes: (pairs,).

    Velocities count for `GAP_S` at most: in longer gaps people turn or stop.
    """
    size = sizes(candidates.shapes)
    seconds = candidates.times[candidates.row[later]] - candidates.times[candidates.row[earlier]]
    seconds = np.minimum(seconds, GAP_S)[:, None]
    between = future.at[later] - past.at[earlier]
    forward = np.hypot(*(between - past.velocity[earlier] * seconds).T)
    backward = np.hypot(*(between - future.velocity[later] * seconds).T)
    growth = np.abs(np.log(size[later] / size[earlier]))
    return np.asarray((forward + backward) / (size[earlier] + size[later]) + growth)


def _ranges(firsts: Indexes, ends: Indexes) -> Indexes:
    """The numbers of several ranges one after another."""
    lengths = ends - firsts
    offsets = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(lengths.sum()) + np.repeat(firsts - offsets, lengths), np.int64)


def _groups(keys: Indexes) -> list[Indexes]:
    """The places of equal keys, which come one after another."""
    return np.split(np.arange(len(keys)), np.flatnonzero(np.diff(keys)) + 1) if len(keys) else []
