"""Who is who from frame to frame: candidates linked to one another, as arrays.

Every link depends only on what lies near it, never on where a stretch of frames begins or ends, so
that whoever sees the same neighbourhood finds the same links. In three steps, each of which only
looks at what the one before left loose:

1. Neighbouring frames: the assignment of least cost by position, landmarks and size, without what
could as well be
   meant otherwise (two faces at one place). A link depends on its two frames.
2. Short gaps and doubtful neighbours, up to `SHORT_S`: the end of one stretch and the beginning of
another whose
   motions foretell each other best, both ways. Depends on `SHORT_S + MOTION_S` beyond the gap's far
   side.
3. Long gaps up to `GAP_S` in the same way. Depends on `GAP_S + SHORT_S + MOTION_S` from the far
side, which is within
   `REACH_S` of every frame in the gap.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from facepaint.records.faces import Candidate, Faces
from facepaint.records.segment import REACH_S

CUT = 0.06
"""A frame whose signature differs this much (mean, 0-1) from the one before begins a new scene: no
link crosses it."""

GAP_S = 0.7
"""Longest stretch without a detection that is bridged."""

SHORT_S = 0.13
"""Gaps up to this are bridged first, and smoothed over as if a detection had just been missed."""

MOTION_S = 0.13
"""How much of a stretch before or after a gap tells its motion."""

ROUNDING_S = 1e-6
"""Times are rounded to floats; what lies no further than this beyond a limit lies within it."""

LINK_COST = 0.7
"""The farthest apart two neighbours may be, in face sizes: of position and landmarks, and the
logarithm of the size."""

DOUBT_COST = 0.1
"""A link of neighbours is doubtful if either could have another partner that costs less than this
more."""

BRIDGE_COST = 0.5
BRIDGE_COST_PER_S = 0.7
"""How far beside the foretold place a bridged face may be, in face sizes: the longer the gap the
more."""

LATER_COST_PER_S = 0.3
"""Of two faces that fit as well the earlier one is meant."""

STILL_COST = 0.15
"""What comes alone tells no motion: better bridged over than bridged to."""

MOTION_PRIOR_S2 = 4e-4
"""Noise of a detection (0.02 face sizes) over the speed to be expected (1 a second), squared: few
tell little."""

PAIRS_AT_ONCE = 1 << 20

Vector = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of a stretch of frames, in the order of frames, as arrays; m frames, n
    candidates.

    ``times`` (m,) are the frames' in seconds, ``pts`` theirs in ticks, ``scene`` (m,) counts cuts.
    ``row`` (n,) says which frame a candidate is in, ``place`` which of the frame's faces it is,
    ``shapes`` (n, 4 or 14) are box and landmarks in px (of all candidates or of none), ``scores``
    (n,) float64.
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
        """The candidates of consecutive records from confidence ``discard`` on.

        Candidates with coordinates that are not finite are left out.
        """
        frames = [frame for record in records for frame in record.frames]
        kept = [
            (row, place, face)
            for row, frame in enumerate(frames)
            for place, face in enumerate(frame.faces)
            if face.score >= discard and _is_finite(face)
        ]
        rows, places, faces = zip(*kept, strict=True) if kept else ((), (), ())
        shapes = [[*face.box, *face.landmarks] for face in faces]
        wide = 14 if any(face.landmarks for face in faces) else 4
        return cls(
            np.array([frame.pts for frame in frames], np.int64),
            np.array([float(frame.pts * time_base) for frame in frames]),
            np.cumsum([cut >= CUT for cut in cuts(records)], dtype=np.int64),
            np.array(rows, np.int64),
            np.array(places, np.int64),
            np.array([face.score for face in faces]),
            np.array(shapes).reshape(len(faces), wide),
        )

    @classmethod
    def joined(cls, parts: Sequence["Candidates"], cut: Sequence[bool]) -> "Candidates":
        """Several one after another; ``cut`` says of each whether a scene begins with it."""
        rows = np.cumsum([0] + [len(part.times) for part in parts])
        scenes = np.cumsum([0] + [part.scene[-1] - part.scene[0] for part in parts]) + np.cumsum(
            [*cut, False]
        )
        wide = max((part.shapes.shape[1] for part in parts), default=4)
        return cls(
            np.concatenate([np.zeros(0, np.int64), *(part.pts for part in parts)]),
            np.concatenate([np.zeros(0), *(part.times for part in parts)]),
            np.concatenate(
                [
                    np.zeros(0, np.int64),
                    *(
                        part.scene - part.scene[0] + scene
                        for part, scene in zip(parts, scenes[:-1], strict=True)
                    ),
                ]
            ),
            np.concatenate(
                [
                    np.zeros(0, np.int64),
                    *(part.row + row for part, row in zip(parts, rows[:-1], strict=True)),
                ]
            ),
            np.concatenate([np.zeros(0, np.int64), *(part.place for part in parts)]),
            np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
            np.concatenate(
                [np.zeros((0, wide)), *(part.shapes for part in parts if len(part.row))]
            ),
        )

    def between(self, first: float, last: float) -> "Candidates":
        """Those of the frames from one time to another, both included."""
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


def _is_finite(face: Candidate) -> bool:
    return all(map(math.isfinite, (*face.box, *face.landmarks)))


def cuts(records: Sequence[Faces]) -> Iterator[float]:
    """The scene-cut score of each frame; that of a record's first frame follows from the two
    signatures there."""
    last: tuple[int, ...] = ()
    for record in records:
        for row, frame in enumerate(record.frames):
            yield cut_score(last, record.first_signature) if row == 0 and last else frame.cut
        if record.frames:
            last = record.last_signature


def cut_score(before: Sequence[int], after: Sequence[int]) -> float:
    """How different two frames are by their signatures (grids of mean luma, 0-255): 0 the same, 1
    black to white."""
    if len(before) != len(after) or not before:
        return 0.0
    return round(
        sum(abs(a - b) for a, b in zip(before, after, strict=True)) / (255 * len(before)), 4
    )


@dataclass(frozen=True, slots=True)
class Velocity:
    """How candidates move by up to `MOTION_S` on one side of them: where they are (n, 2) in px, at
    what velocity (n, 2) in px a second, and by how many candidates that is told (n,)."""

    at: Vector
    velocity: Vector
    count: Indexes


@dataclass(frozen=True, slots=True)
class Associations:
    """For each candidate the one after it in the next frame (``near``), over a short gap at most
    (``short``), over any gap (``after``); -1 is none. All (n,) int64. ``past`` and ``future`` are
    the motions before and after it."""

    near: Indexes
    short: Indexes
    after: Indexes
    past: Velocity
    future: Velocity


def associate(candidates: Candidates) -> Associations:
    """Link the candidates of a stretch of frames."""
    near = _neighbours(candidates)
    past, future = _motion(candidates, inverse(near)), _motion(candidates, near)
    short = _bridged(candidates, near, past, future, SHORT_S)
    after = _bridged(candidates, short, past, future, GAP_S)
    return Associations(near, short, after, past, future)


def inverse(after: Indexes) -> Indexes:
    """From each candidate to the one after it: from each to the one before it."""
    before = np.full(len(after), -1, np.int64)
    froms = np.flatnonzero(after >= 0)
    before[after[froms]] = froms
    return before


def sizes(shapes: Vector) -> Vector:
    """The side in px of a square as large as each box: (n,)."""
    return np.sqrt(np.maximum((shapes[:, 2] - shapes[:, 0]) * (shapes[:, 3] - shapes[:, 1]), 1.0))


def centres(shapes: Vector) -> Vector:
    """The centre of each box: (n, 2)."""
    return (shapes[:, :2] + shapes[:, 2:4]) / 2


def _neighbours(candidates: Candidates) -> Indexes:
    """Link those of neighbouring frames that no other could be meant by."""
    after = np.full(len(candidates.row), -1, np.int64)
    joined = (np.diff(candidates.scene) == 0) & (np.diff(candidates.times) <= REACH_S + ROUNDING_S)
    first = np.searchsorted(candidates.row, np.arange(len(candidates.times) + 1))
    counts = np.diff(first)
    begins = np.flatnonzero(joined & (counts[:-1] > 0) & (counts[1:] > 0))
    done = np.cumsum(counts[begins] * counts[begins + 1]) // PAIRS_AT_ONCE
    for rows in np.split(begins, np.flatnonzero(np.diff(done)) + 1):
        ones = np.flatnonzero(np.isin(candidates.row, rows))
        others = _ranges(first[candidates.row[ones] + 1], first[candidates.row[ones] + 2])
        ones = np.repeat(ones, counts[candidates.row[ones] + 1])
        _assign(candidates, ones, others, after)
    return after


def _assign(candidates: Candidates, ones: Indexes, others: Indexes, after: Indexes) -> None:
    """Fill in the links among pairs of neighbours: all of several frames."""
    cost = _distance(candidates.shapes, ones, others)
    near = cost <= LINK_COST
    ones, others, cost = ones[near], others[near], cost[near]
    rivals = np.minimum(runner_up(ones, cost), runner_up(others, cost))
    alone = np.isinf(rivals)
    after[ones[alone]] = others[alone]
    ones, others, cost, rivals = ones[~alone], others[~alone], cost[~alone], rivals[~alone]
    for frame in _groups(candidates.row[ones]):
        left, i = np.unique(ones[frame], return_inverse=True)
        right, j = np.unique(others[frame], return_inverse=True)
        costs = np.full((len(left), len(right)), LINK_COST)
        confident = np.zeros(costs.shape, bool)
        costs[i, j], confident[i, j] = cost[frame], rivals[frame] >= cost[frame] + DOUBT_COST
        for one, other in zip(*linear_sum_assignment(costs), strict=True):
            if confident[one, other]:
                after[left[one]] = right[other]


def _distance(shapes: Vector, ones: Indexes, others: Indexes) -> Vector:
    """How unlike pairs of boxes with landmarks are, in face sizes: (pairs,)."""
    size = sizes(shapes)
    scale = (size[ones] + size[others]) / 2
    apart = np.hypot(*(centres(shapes)[others] - centres(shapes)[ones]).T)
    if shapes.shape[1] > 4:
        steps = (shapes[others, 4:] - shapes[ones, 4:]).reshape(len(ones), 5, 2)
        apart = (apart + np.hypot(steps[..., 0], steps[..., 1]).mean(1)) / 2
    return np.asarray(apart / scale + np.abs(np.log(size[others] / size[ones])))


def runner_up(keys: Indexes, cost: Vector) -> Vector:
    """For each pair the least cost among the other pairs of the same key; infinite where there is
    none."""
    order = np.lexsort((cost, keys))
    begins = np.flatnonzero(np.diff(keys[order], prepend=-1))
    best = np.zeros(len(keys), np.int64)
    lengths = np.diff(begins, append=len(keys))
    best[order] = np.repeat(begins, lengths)
    sorted_cost = np.append(cost[order], np.inf)
    second = np.full(len(keys), np.inf)
    second[order] = np.repeat(
        np.where(lengths > 1, sorted_cost[np.minimum(begins + 1, len(keys))], np.inf), lengths
    )
    least = sorted_cost[best]
    place = np.empty(len(keys), np.int64)
    place[order] = np.arange(len(keys))
    return np.where(place == best, second, least)


def _motion(candidates: Candidates, towards: Indexes) -> Velocity:
    """The motion of each candidate by those up to `MOTION_S` to one side of it: a line of least
    squares."""
    at, now = centres(candidates.shapes), candidates.times[candidates.row]
    nodes = np.arange(len(now))
    current, count = nodes.copy(), np.ones(len(now), np.int64)
    # Times from the candidate itself, places from its own: small numbers, the same whatever came
    # before.
    sums = [
        np.zeros(len(now)),
        np.zeros(len(now)),
        np.zeros((len(now), 2)),
        np.zeros((len(now), 2)),
    ]
    while len(nodes):
        current = towards[current]
        on = (current >= 0) & (np.abs(now[current] - now[nodes]) <= MOTION_S + ROUNDING_S)
        nodes, current = nodes[on], current[on]
        apart, moved = now[current] - now[nodes], at[current] - at[nodes]
        for total, value in zip(
            sums, (apart, apart**2, moved, apart[:, None] * moved), strict=True
        ):
            total[nodes] += value
        count[nodes] += 1
    seconds, squares, moves, products = sums
    n = count[:, None]
    spread = squares[:, None] - seconds[:, None] ** 2 / n + MOTION_PRIOR_S2
    velocity = (products - seconds[:, None] * moves / n) / spread
    return Velocity(at + (moves - velocity * seconds[:, None]) / n, velocity, count)


def _bridged(
    candidates: Candidates, after: Indexes, past: Velocity, future: Velocity, longest: float
) -> Indexes:
    """Link the ends and beginnings that are loose where each is the other's best within a gap's
    length."""
    ends, begins = np.flatnonzero(after < 0), np.flatnonzero(inverse(after) < 0)
    ones, others, cost, seconds = possible(candidates, ends, begins, past, future, longest)
    alone = (past.count[ones] == 1).astype(float) + (future.count[others] == 1)
    cost = cost + LATER_COST_PER_S * seconds + STILL_COST * alone
    bridged = after.copy()
    # Equals exclude each other: which of them came first may hang on the order.
    best = (cost < runner_up(ones, cost)) & (cost < runner_up(others, cost))
    bridged[ones[best]] = others[best]
    return bridged


def possible(
    candidates: Candidates,
    ends: Indexes,
    begins: Indexes,
    past: Velocity,
    future: Velocity,
    longest: float,
) -> tuple[Indexes, Indexes, Vector, Vector]:
    """Every end and beginning up to ``longest`` seconds apart that may be of one face.

    Returns:
        ends, beginnings, how badly they foretell each other, and the seconds between them: (pairs,)
            each.
    """
    ones, others = gaps(candidates, ends, begins, longest)
    cost = distance(candidates, ones, others, past, future)
    seconds = candidates.times[candidates.row[others]] - candidates.times[candidates.row[ones]]
    fits = cost <= BRIDGE_COST + BRIDGE_COST_PER_S * seconds
    return ones[fits], others[fits], cost[fits], seconds[fits]


def gaps(
    candidates: Candidates, ends: Indexes, begins: Indexes, longest: float
) -> tuple[Indexes, Indexes]:
    """Every end with every beginning up to ``longest`` seconds after it in the same scene: (pairs,)
    of each."""
    now, scene = candidates.times[candidates.row], candidates.scene[candidates.row]
    lows = np.searchsorted(candidates.row[begins], candidates.row[ends], "right")
    highs = np.maximum(
        lows, np.searchsorted(now[begins], now[ends] + longest + ROUNDING_S, "right")
    )
    ones, others = np.repeat(ends, highs - lows), begins[_ranges(lows, highs)]
    same = scene[ones] == scene[others]
    return ones[same], others[same]


def distance(
    candidates: Candidates, ones: Indexes, others: Indexes, past: Velocity, future: Velocity
) -> Vector:
    """How badly each end and beginning foretell each other's place and size, in face sizes:
    (pairs,).

    Motion counts for `GAP_S` at most: in longer ones people turn or stop.
    """
    size = sizes(candidates.shapes)
    seconds = candidates.times[candidates.row[others]] - candidates.times[candidates.row[ones]]
    seconds = np.minimum(seconds, GAP_S)[:, None]
    between = future.at[others] - past.at[ones]
    forward = np.hypot(*(between - past.velocity[ones] * seconds).T)
    backward = np.hypot(*(between - future.velocity[others] * seconds).T)
    return np.asarray(
        (forward + backward) / (size[ones] + size[others])
        + np.abs(np.log(size[others] / size[ones]))
    )


def _ranges(firsts: Indexes, ends: Indexes) -> Indexes:
    """The numbers of several ranges one after another."""
    lengths = ends - firsts
    offsets = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(lengths.sum()) + np.repeat(firsts - offsets, lengths), np.int64)


def _groups(keys: Indexes) -> list[Indexes]:
    """The places of equal keys, which come one after another."""
    return np.split(np.arange(len(keys)), np.flatnonzero(np.diff(keys)) + 1) if len(keys) else []
