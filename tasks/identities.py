"""Who is who over a whole job: the chains of faces that painting makes, numbered, and joined where that is certain."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from facepaint.jobs import REACH_S, Faces
from facepaint.tracks import Person, TrackedFace, TrackedFrame, TrackedSegment
from tasks.chains import Hold, Sight, Sights, chains, spans
from tasks.links import (
    CUT,
    Candidates,
    Indexes,
    Links,
    centres,
    cut_score,
    gaps,
    linked,
    runner_up,
    sizes,
    strangeness,
)
from tasks.track import HIDING, STICKERS, WorkingPoint

AWAY_S = 2.0
"""The longest that someone can be away and be known again."""

CERTAIN = 0.5
"""How far from the foretold place and size, in face sizes, a face is certainly the same if it can be no other."""

OTHERS = 1.5
"""Nobody else may be this near, in face sizes, to one who is known again."""


@dataclass(frozen=True, slots=True)
class _Chain:
    """The faces of one person without a long pause, as indexes of candidates."""

    nodes: Indexes
    score: float


class Identities:
    """The people of a job. `add` every segment's faces in order, then ask.

    Nothing depends on how the job was cut. Two faces a frame take 300 bytes of memory a frame.
    """

    def __init__(self, time_base: Fraction, point: WorkingPoint = HIDING, sure: float = STICKERS.seed) -> None:
        """``point`` says what is a face, one that never scores ``sure`` is a doubtful one."""
        self._time_base, self._point, self._sure = time_base, point, sure
        self._parts: list[Candidates] = []
        self._cuts: list[bool] = []
        self._indexes: list[int] = []
        self._last: tuple[int, ...] = ()

    def add(self, record: Faces) -> None:
        """Take the next segment's faces; one without frames stands for a segment that was given up."""
        if not record.frames:
            return
        border = cut_score(self._last, record.first_signature) if self._last else record.frames[0].cut
        self._parts.append(Candidates.of([record], self._time_base, self._point.keep))
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
        links = linked(self._all)
        found = [_Chain(nodes, float(self._all.scores[nodes].max())) for nodes in chains(links.after)]
        found = _known_again(self._all, links, [chain for chain in found if chain.score >= self._point.seed])

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
        """Everyone, in the order of their numbers: sure ones by when they first appear and from left to right, then
        doubtful ones."""
        return tuple(self._person(number, chain) for number, chain in enumerate(self._persons, 1))

    def _person(self, number: int, chain: _Chain) -> Person:
        everyone, nodes = self._all, chain.nodes
        # A large face is worth a bit of sureness in a portrait.
        best = nodes[np.argmax(everyone.scores[nodes] ** 2 * np.sqrt(sizes(everyone.shapes[nodes])))]
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
        """The number of a candidate's person, by its frame's time and its row in that; None is nobody known."""
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
        """Who is where in each frame of a segment: those who were seen, and those in gaps; smoothed."""
        if index not in self._indexes:
            return TrackedSegment(index, ())
        place = self._indexes.index(index)
        first, end = self._starts[place : place + 2].tolist()
        times, pts = self._all.times, self._all.pts[first:end].tolist()
        around = self._all.between(times[first] - REACH_S, times[end - 1] + REACH_S)
        before = int(np.searchsorted(around.pts, pts[0]))
        frames: list[list[TrackedFace]] = [[] for _ in pts]
        for span in spans(around, Sights(self._point.seed, False, 0.0, self.person_of)):
            if isinstance(span, Hold):
                continue
            for row in range(max(span.first, before), min(span.last + 1, before + len(pts))):
                sight = span.sight(row)
                if sight is not None and sight.face.identity is not None:
                    frames[row - before].append(_tracked(sight, sight.face.identity))
        return TrackedSegment(
            index,
            tuple(
                TrackedFrame(time, tuple(sorted(faces, key=lambda face: face.person)))
                for time, faces in zip(pts, frames, strict=True)
            ),
        )


def _tracked(sight: Sight, person: int) -> TrackedFace:
    face, head = sight.face, sight.face.head if sight.face.landmarks else None
    yaw, pitch, roll = (head.yaw, head.pitch, head.roll) if head else (None, None, None)
    return TrackedFace(person, sight.place, face.score, face.box, face.landmarks, yaw, pitch, roll)


def _known_again(candidates: Candidates, links: Links, found: Sequence[_Chain]) -> list[_Chain]:
    """The chains, joined where one begins as another has ended and nobody else can be meant."""
    ends = np.array(sorted(chain.nodes[-1] for chain in found), np.int64)
    begins = np.array(sorted(chain.nodes[0] for chain in found), np.int64)
    ones, others = gaps(candidates, ends, begins, AWAY_S)
    cost = strangeness(candidates, ones, others, links.past, links.future)
    possible = cost <= 2 * CERTAIN
    ones, others, cost = ones[possible], others[possible], cost[possible]
    certain = (cost <= CERTAIN) & np.isinf(runner_up(ones, cost)) & np.isinf(runner_up(others, cost))
    mine = np.zeros(len(candidates.row), np.int64)
    for number, chain in enumerate(found, 1):
        mine[chain.nodes] = number
    joined = {
        int(mine[one]): int(mine[other])
        for one, other in zip(ones[certain], others[certain], strict=True)
        if _alone(candidates, mine, one, other)
    }
    return [_followed(found, joined, number) for number in range(1, len(found) + 1) if number not in joined.values()]


def _followed(found: Sequence[_Chain], joined: dict[int, int], number: int) -> _Chain:
    """A chain with all that it goes on in."""
    parts = [found[number - 1]]
    while number in joined:
        number = joined[number]
        parts.append(found[number - 1])
    return _Chain(np.concatenate([part.nodes for part in parts]), max(part.score for part in parts))


def _alone(candidates: Candidates, mine: Indexes, one: int, other: int) -> bool:
    """Whether no other face was near where someone was last and is first again, from the one moment to the other."""
    low, high = np.searchsorted(candidates.row, [candidates.row[one], candidates.row[other] + 1])
    shapes, whose = candidates.shapes[low:high], mine[low:high]
    strangers = (whose > 0) & (whose != mine[one]) & (whose != mine[other])
    size = max(sizes(candidates.shapes[[one, other]]).tolist())
    for place in centres(candidates.shapes[[one, other]]):
        if (strangers & (np.hypot(*(centres(shapes) - place).T) < OTHERS * size)).any():
            return False
    return True
