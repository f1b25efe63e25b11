"""The people of a job: the tracks that painting uses, numbered, and joined across absences where
that is certain."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from facepaint.records.faces import Faces
from facepaint.records.segment import REACH_S
from facepaint.records.tracks import Person, TrackedFace, TrackedFrame, TrackedSegment
from tasks.tracking.association import (
    MOTION_PRIOR_S2,
    ROUNDING_S,
    SCENE_CUT,
    Candidates,
    Indexes,
    Vector,
    associate,
    centres,
    pairs_across_gaps,
    runner_up,
    scene_change,
    sizes,
)
from tasks.tracking.interpolation import Extrapolation, TrackingOptions, TrackPoint
from tasks.tracking.tracker import REDACTION, STICKERS
from tasks.tracking.tracklets import spans, tracks_of

AWAY_S = 2.0
"""Longest absence after which a person is recognized by position and velocity."""

MAX_GROWTH = math.log(1.8)
"""Largest difference of the logarithms of two sizes of one person. A larger one means another
person, or a part of a face."""

PREDICTED_S = 1.0
"""Longest time for which a velocity is taken to last: after that people turn or stop."""

CERTAIN = 0.5
"""Largest error of the predictions across an absence, in face sizes, at which two tracks are joined
if neither has another candidate."""

UNOBSTRUCTED_S = 0.6
"""Time before or after an absence from which the velocity is estimated."""

UNOBSTRUCTED = 0.92
"""A face is unobstructed if its size is at least this share of the largest of `UNOBSTRUCTED_S`."""

MOTION_FACES = 8
"""Unobstructed faces that the velocity is estimated from."""

OTHERS = 1.5
"""Distance in face sizes within which another person makes a join uncertain."""


@dataclass(frozen=True, slots=True)
class _Track:
    """The detections of one person, as indexes of candidates, and the highest confidence."""

    nodes: Indexes
    score: float

    @property
    def first(self) -> int:
        """The first candidate."""
        return int(self.nodes[0])

    @property
    def last(self) -> int:
        """The last candidate."""
        return int(self.nodes[-1])


class PersonTracker:
    """The people of a job. `add` the faces of every segment in order, then read the results.

    Results do not depend on where the job was cut. Two faces a frame take 300 bytes of memory a
    frame.

    Args:
        confident: a person whose confidence never reaches this has low confidence.
    """

    def __init__(
        self,
        time_base: Fraction,
        options: TrackingOptions = REDACTION,
        confident: float = STICKERS.accept,
    ) -> None:
        self._time_base, self._options, self._confident = time_base, options, confident
        self._parts: list[Candidates] = []
        self._starts_scene: list[bool] = []
        self._indexes: list[int] = []
        self._last_signature: tuple[int, ...] = ()

    def add(self, record: Faces) -> None:
        """Take the faces of the next segment; one that failed has no frames."""
        if not record.frames:
            return
        change = record.frames[0].scene_change
        if self._last_signature:
            change = scene_change(self._last_signature, record.first_signature)
        self._parts.append(Candidates.of([record], self._time_base, self._options.discard))
        self._starts_scene.append(change >= SCENE_CUT)
        self._indexes.append(record.index)
        self._last_signature = record.last_signature

    @cached_property
    def _all(self) -> Candidates:
        return Candidates.join(self._parts, self._starts_scene)

    @cached_property
    def _starts(self) -> Indexes:
        """The first frame of each segment that has any, and the number of frames."""
        return np.cumsum([0] + [len(part.times) for part in self._parts])

    @cached_property
    def _tracks(self) -> list[_Track]:
        """The track of each person, in the order of their numbers."""
        scores = self._all.scores
        tracks = [
            _Track(nodes, float(scores[nodes].max()))
            for nodes in tracks_of(associate(self._all).after)
        ]
        # Weak tracks are dropped before joining: they would make certain joins ambiguous.
        accepted = [track for track in tracks if track.score >= self._options.accept]
        return sorted(join_tracks(self._all, accepted), key=self._order)

    def _order(self, track: _Track) -> tuple[bool, int, float, float]:
        """By the first appearance, from left to right; those of low confidence come last."""
        x, y = self._all.shapes[track.first, :2].tolist()
        return track.score < self._confident, int(self._all.row[track.first]), x, y

    @cached_property
    def _number(self) -> Indexes:
        """The number of each candidate's person; 0 is none."""
        number = np.zeros(len(self._all.row), np.int64)
        for count, track in enumerate(self._tracks, 1):
            number[track.nodes] = count
        return number

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """All people in the order of their numbers, those of low confidence last."""
        return tuple(self._person(number, track) for number, track in enumerate(self._tracks, 1))

    def _person(self, number: int, track: _Track) -> Person:
        candidates, nodes = self._all, track.nodes
        # A portrait shows more of a large face, so size makes up for some confidence.
        quality = candidates.scores[nodes] ** 2 * np.sqrt(sizes(candidates.shapes[nodes]))
        best = nodes[np.argmax(quality)]
        best_row = int(candidates.row[best])
        x1, y1, x2, y2 = candidates.shapes[best, :4].tolist()
        return Person(
            number,
            int(candidates.pts[candidates.row[track.first]]),
            int(candidates.pts[candidates.row[track.last]]),
            len(nodes),
            track.score,
            self._indexes[int(np.searchsorted(self._starts, best_row, "right")) - 1],
            int(candidates.pts[best_row]),
            (x1, y1, x2, y2),
            track.score < self._confident,
        )

    def person_of(self, pts: int, place: int) -> int | None:
        """The number of a candidate's person; None if it belongs to no one.

        Args:
            pts: the time of the candidate's frame.
            place: its position in the frame's list of faces.
        """
        candidates = self._all
        frame = int(np.searchsorted(candidates.pts, pts))
        if frame == len(candidates.pts) or candidates.pts[frame] != pts:
            return None
        low, high = np.searchsorted(candidates.row, [frame, frame + 1])
        for node in range(int(low), int(high)):
            if candidates.place[node] == place:
                return int(self._number[node]) or None
        return None

    def segment(self, index: int) -> TrackedSegment:
        """The people in each frame of a segment, smoothed: detected or interpolated, but not
        extrapolated."""
        if index not in self._indexes:
            return TrackedSegment(index, ())
        part = self._indexes.index(index)
        first, end = self._starts[part : part + 2].tolist()
        frames: list[list[TrackedFace]] = [[] for _ in range(first, end)]
        for row, face in self._faces(first, end):
            frames[row].append(face)
        pts = self._all.pts[first:end].tolist()
        return TrackedSegment(
            index,
            tuple(
                TrackedFrame(time, tuple(sorted(faces, key=lambda face: face.person)))
                for time, faces in zip(pts, frames, strict=True)
            ),
        )

    def _faces(self, first: int, end: int) -> Iterator[tuple[int, TrackedFace]]:
        """The faces in the frames ``[first, end)``, each with the number of its frame from 0."""
        times = self._all.times
        # Painting sees this much around a segment, so these positions are those that it paints.
        nearby = self._all.between(times[first] - REACH_S, times[end - 1] + REACH_S)
        before = int(np.searchsorted(nearby.pts, self._all.pts[first]))
        after = before + end - first
        options = TrackingOptions(
            self._options.accept, self._options.discard, person_of=self.person_of
        )
        for span in spans(nearby, options):
            if isinstance(span, Extrapolation):
                continue
            for row in range(max(span.first, before), min(span.last + 1, after)):
                point = span.point_at(row)
                if point is not None and point.face.identity is not None:
                    yield row - before, _tracked(point, point.face.identity)


def _tracked(point: TrackPoint, person: int) -> TrackedFace:
    face = point.face
    # Without landmarks a pose is a guess from the box, which is no result to store.
    head = face.head if face.landmarks else None
    yaw, pitch, roll = (head.yaw, head.pitch, head.roll) if head else (None, None, None)
    return TrackedFace(person, point.place, face.score, face.box, face.landmarks, yaw, pitch, roll)


def join_tracks(candidates: Candidates, tracks: Sequence[_Track]) -> list[_Track]:
    """Join each track with the one that continues it after an absence, where that is certain.

    It is certain if the two predict each other well, neither fits another track, and no other
    person was near meanwhile.
    """
    earlier, later = _joinable_pairs(candidates, tracks)
    past = {number: _motion_at_end(candidates, tracks[number].nodes) for number in set(earlier)}
    future = {number: _motion_at_start(candidates, tracks[number].nodes) for number in set(later)}
    cost = np.array(
        [_prediction_error(past[a], future[b]) for a, b in zip(earlier, later, strict=True)]
    )
    # Pairs up to twice the limit still count as rivals of a better one.
    rivals = cost <= 2 * CERTAIN
    left, right = np.array(earlier, np.int64)[rivals], np.array(later, np.int64)[rivals]
    cost = cost[rivals]
    is_certain = cost <= CERTAIN
    is_certain &= np.isinf(runner_up(left, cost)) & np.isinf(runner_up(right, cost))
    bystanders = _Bystanders(candidates, tracks)
    following = {
        a: b
        for a, b in zip(left[is_certain].tolist(), right[is_certain].tolist(), strict=True)
        if not bystanders.near(tracks[a], tracks[b])
    }
    continued = set(following.values())
    return [
        _followed(tracks, following, number)
        for number in range(len(tracks))
        if number not in continued
    ]


def _joinable_pairs(
    candidates: Candidates, tracks: Sequence[_Track]
) -> tuple[list[int], list[int]]:
    """The numbers of the tracks of all pairs of which the second starts within `AWAY_S` after the
    end of the first, in the same scene."""
    by_last = {track.last: number for number, track in enumerate(tracks)}
    by_first = {track.first: number for number, track in enumerate(tracks)}
    ends = np.array(sorted(by_last), np.int64)
    starts = np.array(sorted(by_first), np.int64)
    earlier, later = pairs_across_gaps(candidates, ends, starts, AWAY_S)
    return [by_last[node] for node in earlier.tolist()], [by_first[n] for n in later.tolist()]


@dataclass(frozen=True, slots=True)
class _Motion:
    """The last or first unobstructed position of a person: px, seconds, px a second, px."""

    at: Vector
    seconds: float
    velocity: Vector
    size: float


def _motion_at_end(candidates: Candidates, nodes: Indexes) -> _Motion:
    near = _near(candidates, nodes, nodes[-1])
    unobstructed, size = _unobstructed(candidates, near)
    return _motion(candidates, unobstructed[-MOTION_FACES:], unobstructed[-1], size)


def _motion_at_start(candidates: Candidates, nodes: Indexes) -> _Motion:
    near = _near(candidates, nodes, nodes[0])
    unobstructed, size = _unobstructed(candidates, near)
    return _motion(candidates, unobstructed[:MOTION_FACES], unobstructed[0], size)


def _near(candidates: Candidates, nodes: Indexes, edge: int) -> Indexes:
    """The detections of a track within `UNOBSTRUCTED_S` of one of its ends."""
    times = candidates.times[candidates.row[nodes]]
    distance_s = np.abs(times - candidates.times[candidates.row[edge]])
    return np.asarray(nodes[distance_s <= UNOBSTRUCTED_S + ROUNDING_S])


def _unobstructed(candidates: Candidates, nodes: Indexes) -> tuple[Indexes, float]:
    """The unobstructed detections, and the size of the largest in px.

    A person that moves behind something is seen in part, in a box that shrinks and stands still, so
    detections much smaller than the largest one do not count.
    """
    size = sizes(candidates.shapes[nodes])
    return nodes[size >= UNOBSTRUCTED * size.max()], float(size.max())


def _motion(candidates: Candidates, nodes: Indexes, edge: int, size: float) -> _Motion:
    """Fit a line of least squares; the position is that at the time of ``edge``."""
    now, at = candidates.times[candidates.row[nodes]], centres(candidates.shapes[nodes])
    seconds = float(candidates.times[candidates.row[edge]])
    apart, moved = now - now.mean(), at - at.mean(0)
    velocity = apart @ moved / (apart @ apart + MOTION_PRIOR_S2)
    position = at.mean(0) + velocity * (seconds - now.mean())
    return _Motion(position, seconds, velocity, size)


def _prediction_error(past: _Motion, future: _Motion) -> float:
    """Mean error of the forward and backward prediction in face sizes, plus the difference of the
    logarithms of the sizes; infinite beyond `MAX_GROWTH`."""
    growth = abs(math.log(future.size / past.size))
    if growth > MAX_GROWTH:
        return math.inf
    seconds = min(future.seconds - past.seconds, PREDICTED_S)
    between = future.at - past.at
    forward = math.dist(between, past.velocity * seconds)
    backward = math.dist(between, future.velocity * seconds)
    return (forward + backward) / (past.size + future.size) + growth


def _followed(tracks: Sequence[_Track], following: dict[int, int], number: int) -> _Track:
    """A track with all that continue it."""
    parts = [tracks[number]]
    while number in following:
        number = following[number]
        parts.append(tracks[number])
    return _Track(np.concatenate([part.nodes for part in parts]), max(part.score for part in parts))


class _Bystanders:
    """Finds other people near an absence, who could be the person that returns."""

    def __init__(self, candidates: Candidates, tracks: Sequence[_Track]) -> None:
        self._candidates = candidates
        self._track_of = np.full(len(candidates.row), -1, np.int64)
        for number, track in enumerate(tracks):
            self._track_of[track.nodes] = number
        self._first = np.array([track.first for track in tracks], np.int64)
        self._last = np.array([track.last for track in tracks], np.int64)

    def near(self, past: _Track, future: _Track) -> bool:
        """Whether another person was near the last or the next position, during the absence.

        People that are seen before, during and after it are not the one who was absent.
        """
        candidates = self._candidates
        rows = candidates.row[[past.last, future.first]] + [0, 1]
        low, high = np.searchsorted(candidates.row, rows)
        shapes, track = candidates.shapes[low:high], self._track_of[low:high]
        own = self._track_of[[past.last, future.first]]
        is_other = (track >= 0) & (track != own[0]) & (track != own[1])
        is_other &= ~((self._first[track] < low) & (self._last[track] >= high))
        # A face of quite another size is at another distance from the camera.
        around = [*past.nodes[-MOTION_FACES:], *future.nodes[:MOTION_FACES]]
        size = sizes(candidates.shapes[around]).max()
        is_other &= np.abs(np.log(sizes(shapes) / size)) <= MAX_GROWTH
        return any(
            (is_other & (np.hypot(*(centres(shapes) - place).T) < OTHERS * size)).any()
            for place in centres(candidates.shapes[[past.last, future.first]])
        )
