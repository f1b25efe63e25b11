"""Who is who over a whole job: the chains of faces that painting makes, numbered, and joined where
that is certain."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from facepaint.records.faces import Faces
from facepaint.records.segment import REACH_S
from facepaint.records.tracks import Person, TrackedFace, TrackedFrame, TrackedSegment
from tasks.tracking.association import (
    CUT,
    MOTION_PRIOR_S2,
    ROUNDING_S,
    Candidates,
    Indexes,
    Vector,
    associate,
    centres,
    cut_score,
    gaps,
    runner_up,
    sizes,
)
from tasks.tracking.interpolation import Extrapolation, TrackingOptions, TrackPoint
from tasks.tracking.tracker import REDACTION, STICKERS
from tasks.tracking.tracklets import spans, tracks_of

AWAY_S = 2.0
"""The longest that someone can be away and be known again."""

MAX_DISTANCE = math.log(1.8)
"""Who is so much smaller or larger, by the logarithm, is somebody else, or a part of a face."""

ONWARD_S = 1.0
"""For how long people are taken to go on as they did."""

CERTAIN = 0.5
"""How far from the foretold place and size, in face sizes, a face is certainly the same if it can
be no other."""

FULL_SIGHT_S = 0.6
"""How much of a chain before or after someone was away tells how they moved."""

FULL_SIGHT = 0.92
"""A face is in full sight if it is as large as this share of the largest of `FULL_SIGHT_S`."""

MOTION_OF = 8
"""Of how many faces in full sight the motion is told."""

OTHERS = 1.5
"""Nobody else may be this near, in face sizes, to one who is known again."""


@dataclass(frozen=True, slots=True)
class _Chain:
    """The faces of one person without a long pause, as indexes of candidates."""

    nodes: Indexes
    score: float


class PersonTracker:
    """The people of a job. `add` every segment's faces in order, then ask.

    Nothing depends on how the job was cut. Two faces a frame take 300 bytes of memory a frame.
    """

    def __init__(
        self,
        time_base: Fraction,
        options: TrackingOptions = REDACTION,
        confident: float = STICKERS.accept,
    ) -> None:
        """Track with ``options``; a person never above ``confident`` has low confidence."""
        self._time_base, self._options, self._sure = time_base, options, confident
        self._parts: list[Candidates] = []
        self._cuts: list[bool] = []
        self._indexes: list[int] = []
        self._last: tuple[int, ...] = ()

    def add(self, record: Faces) -> None:
        """Take the next segment's faces; one without frames stands for a segment that was given
        up."""
        if not record.frames:
            return
        border = (
            cut_score(self._last, record.first_signature) if self._last else record.frames[0].cut
        )
        self._parts.append(Candidates.of([record], self._time_base, self._options.discard))
        self._cuts.append(border >= CUT)
        self._indexes.append(record.index)
        self._last = record.last_signature

    @cached_property
    def _all(self) -> Candidates:
        return Candidates.joined(self._parts, self._cuts)

    @cached_property
    def _starts(self) -> Indexes:
        """The first frame of each segment that has any, and the number of frames."""
        return np.cumsum([0] + [len(part.times) for part in self._parts])

    @cached_property
    def _persons(self) -> list[_Chain]:
        """The people in the order of their numbers."""
        links = associate(self._all)
        found = [
            _Chain(nodes, float(self._all.scores[nodes].max())) for nodes in tracks_of(links.after)
        ]
        found = _rejoined(
            self._all, [chain for chain in found if chain.score >= self._options.accept]
        )

        def order(chain: _Chain) -> tuple[bool, int, float, float]:
            first = chain.nodes[0]
            x, y = self._all.shapes[first, :2].tolist()
            return chain.score < self._sure, int(self._all.row[first]), x, y

        return sorted(found, key=order)

    @cached_property
    def _number(self) -> Indexes:
        """The number of each candidate's person; 0 is none."""
        number = np.zeros(len(self._all.row), np.int64)
        for count, chain in enumerate(self._persons, 1):
            number[chain.nodes] = count
        return number

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Everyone, in the order of their numbers: sure ones by when they first appear and from
        left to right, then doubtful ones."""
        return tuple(self._person(number, chain) for number, chain in enumerate(self._persons, 1))

    def _person(self, number: int, chain: _Chain) -> Person:
        everyone, nodes = self._all, chain.nodes
        # A large face is worth a bit of sureness in a portrait.
        best = nodes[
            np.argmax(everyone.scores[nodes] ** 2 * np.sqrt(sizes(everyone.shapes[nodes])))
        ]
        row = int(everyone.row[best])
        x1, y1, x2, y2 = everyone.shapes[best, :4].tolist()
        return Person(
            number,
            int(everyone.pts[everyone.row[nodes[0]]]),
            int(everyone.pts[everyone.row[nodes[-1]]]),
            len(nodes),
            chain.score,
            self._indexes[int(np.searchsorted(self._starts, row, "right")) - 1],
            int(everyone.pts[row]),
            (x1, y1, x2, y2),
            chain.score < self._sure,
        )

    def person_of(self, pts: int, row: int) -> int | None:
        """The number of a candidate's person, by its frame's time and its row in that; None is
        nobody known."""
        everyone = self._all
        frame = int(np.searchsorted(everyone.pts, pts))
        low, high = np.searchsorted(everyone.row, [frame, frame + 1])
        if frame == len(everyone.pts) or everyone.pts[frame] != pts:
            return None
        for node in range(int(low), int(high)):
            if everyone.place[node] == row:
                return int(self._number[node]) or None
        return None

    def segment(self, index: int) -> TrackedSegment:
        """Who is where in each frame of a segment: those who were seen, and those in gaps;
        smoothed."""
        if index not in self._indexes:
            return TrackedSegment(index, ())
        place = self._indexes.index(index)
        first, end = self._starts[place : place + 2].tolist()
        times, pts = self._all.times, self._all.pts[first:end].tolist()
        union = self._all.between(times[first] - REACH_S, times[end - 1] + REACH_S)
        before = int(np.searchsorted(union.pts, pts[0]))
        frames: list[list[TrackedFace]] = [[] for _ in pts]
        for span in spans(
            union,
            TrackingOptions(self._options.accept, self._options.discard, person_of=self.person_of),
        ):
            if isinstance(span, Extrapolation):
                continue
            for row in range(max(span.first, before), min(span.last + 1, before + len(pts))):
                point_at = span.point_at(row)
                if point_at is not None and point_at.face.identity is not None:
                    frames[row - before].append(_tracked(point_at, point_at.face.identity))
        return TrackedSegment(
            index,
            tuple(
                TrackedFrame(time, tuple(sorted(faces, key=lambda face: face.person)))
                for time, faces in zip(pts, frames, strict=True)
            ),
        )


def _tracked(point_at: TrackPoint, person: int) -> TrackedFace:
    face, head = point_at.face, point_at.face.head if point_at.face.landmarks else None
    yaw, pitch, roll = (head.yaw, head.pitch, head.roll) if head else (None, None, None)
    return TrackedFace(
        person, point_at.place, face.score, face.box, face.landmarks, yaw, pitch, roll
    )


def _rejoined(candidates: Candidates, found: Sequence[_Chain]) -> list[_Chain]:
    """The chains, joined where one begins as another has ended and nobody else can be meant."""
    ordered = sorted(range(len(found)), key=lambda number: found[number].nodes[-1])
    ends = np.array([found[number].nodes[-1] for number in ordered], np.int64)
    starts = sorted(range(len(found)), key=lambda number: found[number].nodes[0])
    begins = np.array([found[number].nodes[0] for number in starts], np.int64)
    number_of = (
        dict(zip(ends.tolist(), ordered, strict=True)),
        dict(zip(begins.tolist(), starts, strict=True)),
    )
    pairs = [
        (number_of[0][one], number_of[1][other])
        for one, other in zip(
            *(nodes.tolist() for nodes in gaps(candidates, ends, begins, AWAY_S)), strict=True
        )
    ]
    motions = {
        (number, last): _in_full_sight(candidates, found[number].nodes, last)
        for last, side in enumerate(zip(*pairs, strict=True))
        for number in set(side)
    }
    ones, others = np.array(pairs, np.int64).reshape(-1, 2).T
    cost = np.array([_distance_between(motions[one, 0], motions[other, 1]) for one, other in pairs])
    possible = cost <= 2 * CERTAIN
    ones, others, cost = ones[possible], others[possible], cost[possible]
    certain = (
        (cost <= CERTAIN) & np.isinf(runner_up(ones, cost)) & np.isinf(runner_up(others, cost))
    )
    mine = np.full(len(candidates.row), -1, np.int64)
    for number, chain in enumerate(found):
        mine[chain.nodes] = number
    bounds = np.array([(chain.nodes[0], chain.nodes[-1]) for chain in found], np.int64).reshape(
        -1, 2
    )
    joined = {
        one: other
        for one, other in zip(ones[certain].tolist(), others[certain].tolist(), strict=True)
        if _alone(candidates, mine, bounds, found[one], found[other])
    }
    return [
        _followed(found, joined, number)
        for number in range(len(found))
        if number not in joined.values()
    ]


@dataclass(frozen=True, slots=True)
class _Motion:
    """Where someone was in full sight, in px, when, in seconds, how fast, in px a second, and how
    large, in px."""

    at: Vector
    seconds: float
    velocity: Vector
    size: float


def _in_full_sight(candidates: Candidates, nodes: Indexes, first: int) -> _Motion:
    """How someone moved at the end of a chain, or if ``first`` at its beginning.

    Who goes behind something is seen in part, in a box that shrinks and stands still: what is much
    smaller than the largest of `FULL_SIGHT_S` does not count.
    """
    edge = nodes[0] if first else nodes[-1]
    times = candidates.times[candidates.row[nodes]]
    near = nodes[
        np.abs(times - candidates.times[candidates.row[edge]]) <= FULL_SIGHT_S + ROUNDING_S
    ]
    size = sizes(candidates.shapes[near])
    full = near[size >= FULL_SIGHT * size.max()]
    full = full[:MOTION_OF] if first else full[-MOTION_OF:]
    now = candidates.times[candidates.row[full]]
    seconds = float(now[0] if first else now[-1])
    at = centres(candidates.shapes[full])
    apart, moved = now - now.mean(), at - at.mean(0)
    velocity = apart @ moved / (apart @ apart + MOTION_PRIOR_S2)
    return _Motion(
        at.mean(0) + velocity * (seconds - now.mean()), seconds, velocity, float(size.max())
    )


def _distance_between(past: _Motion, future: _Motion) -> float:
    """How badly two motions foretell each other's place and size, in face sizes.

    Infinite for other sizes. Motion counts for `ONWARD_S` at most: after that people turn or stop.
    """
    growth = abs(math.log(future.size / past.size))
    if growth > MAX_DISTANCE:
        return math.inf
    seconds = min(future.seconds - past.seconds, ONWARD_S)
    between = future.at - past.at
    astray = math.dist(between, past.velocity * seconds) + math.dist(
        between, future.velocity * seconds
    )
    return astray / (past.size + future.size) + growth


def _followed(found: Sequence[_Chain], joined: dict[int, int], number: int) -> _Chain:
    """A chain with all that it goes on in."""
    parts = [found[number]]
    while number in joined:
        number = joined[number]
        parts.append(found[number])
    return _Chain(np.concatenate([part.nodes for part in parts]), max(part.score for part in parts))


def _alone(
    candidates: Candidates, mine: Indexes, bounds: Indexes, past: _Chain, future: _Chain
) -> bool:
    """Whether nobody else can be meant: of all who were near where someone was last and is first
    again, from the one moment to the other. Who was seen before and after it all is not the one who
    was away.

    ``mine`` is the number of each candidate's chain, ``bounds`` (chains, 2) the first and last
    candidate of each.
    """
    one, other = past.nodes[-1], future.nodes[0]
    low, high = np.searchsorted(candidates.row, [candidates.row[one], candidates.row[other] + 1])
    shapes, whose = candidates.shapes[low:high], mine[low:high]
    strangers = (whose >= 0) & (whose != mine[one]) & (whose != mine[other])
    strangers &= ~((bounds[whose, 0] < low) & (bounds[whose, 1] >= high))
    size = max(
        sizes(candidates.shapes[[*past.nodes[-MOTION_OF:], *future.nodes[:MOTION_OF]]]).tolist()
    )
    strangers &= np.abs(np.log(sizes(shapes) / size)) <= MAX_DISTANCE
    for place in centres(candidates.shapes[[one, other]]):
        if (strangers & (np.hypot(*(centres(shapes) - place).T) < OTHERS * size)).any():
            return False
    return True
