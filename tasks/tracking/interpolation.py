"""Where a face is between and beyond its detections, and how far off that may be.

A `Tracklet` is a chain of detections with short gaps, a `Interpolation` a long one between two runs, a `Extrapolation` what
comes before the first and after the last detection of a run. What each says of a frame depends only
on what lies within `REACH_S` of it.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from facepaint.records.faces import Box
from filters.face import Face
from filters.pose import HeadPose
from tasks.tracking.association import ROUNDING_S, Candidates, Indexes, Vector, sizes
from tasks.tracking.smoothing import Placed, smoothed_faces

CONFIDENT_S = 0.7
"""How far from a sure detection its chain still counts as a face."""

FADE_S = 0.13
"""How long a sticker takes to come or go: before the first and after the last detection, and where
sureness ends. No longer than a short gap, so that a frame knows whether the face goes on."""

EASE_S = 0.13
"""For how long a gap's frames are drawn to the smoothed places at its ends: these frames see as
much as those do."""

STEP_S = 0.03
"""How far into a gap its own course is taken from, to be compared with the runs' at its ends: well
within any gap."""

SPREAD_S = 0.13
"""Over how long before and after a frame the largest error of the smoothed box is taken."""

ERROR_SHARE = 0.06
ERROR_SHARE_PER_S = 1.0
"""By how many of its sizes a face that is not seen may be off, and by how many more for each second
that it was last or will first be seen from now. Measured by leaving out detections of real clips:
99 % of those left out lie within."""

MOVING = 0.5
"""A moving face may be this share of its way from frame to frame beside where it is thought to be,
on every side."""

Flags = npt.NDArray[np.bool_]

PersonOf = Callable[[int, int], int | None]
"""The person (number) who the candidate in a frame is: by the frame's pts and the candidate's row
in it."""


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """A face in a frame.

    Args:
        place: the row of its candidate in the frame; None if it was interpolated.
        held: whether it is extrapolated before the first or after the last detection.
    """

    face: Face
    place: int | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class ContextThreshold:
    """Accepts candidates from ``accept`` on in frames with one of at least ``confident``.

    They count for their own tracklet and `FADE_S` around it only. Extrapolated, carried over gaps
    and shared with other tracklets they would cover most of a picture, and few of them are faces.
    """

    confident: float
    accept: float


@dataclass(frozen=True, slots=True)
class TrackingOptions:
    """When a track counts as a face, and how it is painted.

    Args:
        accept: a track is a face where a candidate near by reaches this confidence.
        discard: candidates below this are not used.
        hold_s: seconds that a redaction covers before the first and after the last detection.
        redacts: cover every place where a face may be. Stickers show one face on each head and
            fade instead.
        context: a lower threshold for frames that show a confident face.
        person_of: the person of each candidate, if known.
    """

    accept: float
    discard: float
    hold_s: float = 0.0
    redacts: bool = False
    context: ContextThreshold | None = None
    person_of: PersonOf | None = None

    def near_confident(self, candidates: Candidates) -> Flags:
        """Which candidates the context threshold accepts: (n,) bool."""
        if self.context is None:
            return np.zeros(len(candidates.row), bool)
        in_context = np.zeros(len(candidates.times), bool)
        in_context[candidates.row[candidates.scores >= self.context.confident]] = True
        return in_context[candidates.row] & (candidates.scores >= self.context.accept)


class Tracklet:
    """Detections of one face with nothing but short gaps between them; in frames ``first`` to
    ``last``."""

    def __init__(
        self,
        candidates: Candidates,
        nodes: Indexes,
        near_confident: Flags,
        options: TrackingOptions,
    ) -> None:
        self._candidates, self.nodes, self._options = candidates, nodes, options
        self.rows = candidates.row[nodes]
        self.times = candidates.times[self.rows]
        self.scores = candidates.scores[nodes]
        self.shapes = candidates.shapes[nodes]
        self.first, self.last = int(self.rows[0]), int(self.rows[-1])
        self.confident = self.times[self.scores >= options.accept]
        self._likely = self.times[near_confident[nodes]]

    @cached_property
    def _at(self) -> Vector:
        return self._candidates.times[self.first : self.last + 1]

    @cached_property
    def _placed(self) -> list[Placed]:
        return smoothed_faces(
            self.times, self.shapes[:, :4], self.shapes[:, 4:], self.scores, self._at
        )

    @cached_property
    def _margins(self) -> Vector:
        """How many px the smoothed box may be off in each frame."""
        smooth = np.array([placed.box for placed in self._placed])
        errors = np.abs(smooth[self.rows - self.first] - self.shapes[:, :4]).max(1)
        lows = np.searchsorted(self.times, self._at - SPREAD_S - ROUNDING_S)
        highs = np.searchsorted(self.times, self._at + SPREAD_S + ROUNDING_S, "right")
        error = np.array(
            [errors[low:high].max(initial=0.0) for low, high in zip(lows, highs, strict=True)]
        )
        rows = np.arange(self.first, self.last + 1)
        before, after = (
            np.searchsorted(self.rows, rows, "right") - 1,
            np.searchsorted(self.rows, rows),
        )
        away = np.minimum(self._at - self.times[before], self.times[after] - self._at)
        moving = np.maximum(self._steps[after], self._steps[before + 1])
        return np.asarray(
            error + MOVING * moving + ERROR_SHARE_PER_S * sizes(self.shapes)[before] * away
        )

    @cached_property
    def _steps(self) -> Vector:
        """By how many px a frame the box moves up to each detection, and after the last: (n +
        1,)."""
        steps = np.abs(np.diff(self.shapes[:, :4], axis=0)).max(1, initial=0.0) / np.diff(self.rows)
        return np.concatenate([[0.0], steps, [0.0]])

    def confidence(self, now: float) -> float:
        """1 and more well within `CONFIDENT_S` of a sure detection, falling to 0 over its last `FADE_S`
        and on beyond."""
        return _nearness(self.confident, now)

    def context_confidence(self, now: float) -> float:
        """The same of likely detections, too."""
        return max(_nearness(self.confident, now), _nearness(self._likely, now))

    def score(self, now: float) -> float:
        """The best score within `CONFIDENT_S` of a time."""
        return float(self.scores[self._near(now)].max(initial=0.0))

    def identity(self, now: float) -> int | None:
        """Who it is by the nearest detection within `CONFIDENT_S` that tells."""
        if self._options.person_of is None:
            return None
        nodes = range(len(self.times))[self._near(now)]
        for node in sorted(nodes, key=lambda node: abs(self.times[node] - now)):
            who = self._options.person_of(
                int(self._candidates.pts[self.rows[node]]), self.place(node)
            )
            if who is not None:
                return who
        return None

    def _near(self, now: float) -> slice:
        low, high = np.searchsorted(
            self.times, [now - CONFIDENT_S - ROUNDING_S, now + CONFIDENT_S + ROUNDING_S]
        )
        return slice(int(low), int(high))

    def place(self, node: int) -> int:
        """Which of its frame's candidates a detection is."""
        return int(self._candidates.place[self.nodes[node]])

    def placed(self, row: int) -> Placed:
        """Where the face is in a frame, smoothed."""
        return self._placed[row - self.first]

    def point_at(self, row: int) -> TrackPoint | None:
        """The face in a frame, if it is one."""
        now = float(self._candidates.times[row])
        confidence = self.context_confidence(now)
        if confidence < 0:
            return None
        placed, node = self.placed(row), int(np.searchsorted(self.rows, row))
        found = bool(self.rows[node] == row)
        face = Face(
            placed.box, placed.landmarks, self.score(now), self.identity(now), head=placed.head
        )
        if self._options.redacts:
            box = union(face.box, _box(self.shapes[node])) if found else face.box
            face = replace(face, box=box, margin=float(self._margins[row - self.first]))
        else:
            face = replace(face, opacity=min(1.0, confidence))
        return TrackPoint(face, self.place(node) if found else None)


class Interpolation:
    """The frames between two runs of one face, itself in frames ``first`` to ``last``.

    It is told by the detections on either side, ``nodes``, which reach `BESIDE_S` back and on.
    """

    def __init__(
        self,
        candidates: Candidates,
        sides: tuple[Tracklet, Tracklet],
        nodes: Indexes,
        velocities: Vector,
        options: TrackingOptions,
    ) -> None:
        self._candidates, self._nodes, self._options = candidates, nodes, options
        self.sides = sides
        self.first, self.last = sides[0].last + 1, sides[1].first - 1
        self._times = candidates.times
        self._step = _step(self._times, self.first, velocities)

    @cached_property
    def _placed(self) -> list[Placed]:
        """Where the face is in each frame.

        The runs know more of their ends than the gap's other frames can: what they differ by is
        carried on a little, so that nothing jumps.
        """
        candidates, nodes = self._candidates, self._nodes
        shapes, times = candidates.shapes[nodes], candidates.times[candidates.row[nodes]]
        ends, at = (
            self._times[[self.first - 1, self.last + 1]],
            self._times[self.first : self.last + 1],
        )
        within = [ends[0] + STEP_S, ends[0] + 2 * STEP_S, ends[1] - STEP_S, ends[1] - 2 * STEP_S]
        told = smoothed_faces(
            times, shapes[:, :4], shapes[:, 4:], candidates.scores[nodes], np.append(within, at)
        )
        values = np.array([_numbers(placed) for placed in told])
        eased = values[4:].copy()
        borders = self.sides[0].placed(self.first - 1), self.sides[1].placed(self.last + 1)
        for end, placed, (near, far) in zip(ends, borders, (values[:2], values[2:4]), strict=True):
            apart = _numbers(placed) - (2 * near - far)
            if placed.head is not None:
                apart[-1] = (apart[-1] + 180) % 360 - 180
            eased += np.maximum(0.0, 1 - np.abs(at - end) / EASE_S)[:, None] * apart
        return [_placed(row, shapes.shape[1]) for row in eased.tolist()]

    def point_at(self, row: int) -> TrackPoint | None:
        """The face in a frame, if it is one."""
        now, sides = float(self._times[row]), self.sides
        confident = [side.confidence(now) for side in sides]
        if max(confident) < 0:
            return None
        away = now - float(self._times[sides[0].last]), float(self._times[sides[1].first]) - now
        placed = self._placed[row - self.first]
        told = {side.identity(now) for side in sides} - {None}
        identity = told.pop() if len(told) == 1 else None
        face = Face(
            placed.box,
            placed.landmarks,
            max(side.score(now) for side in sides),
            identity,
            head=placed.head,
        )
        if self._options.redacts:
            margin = MOVING * self._step + _error_px(face.width, face.height, min(away))
            return TrackPoint(replace(face, margin=margin))
        # Where a side is no face by itself nothing is painted beyond the border: what the other
        # knows fades in from it.
        risen = [
            max(0.0, confidence) + seconds / FADE_S
            for confidence, seconds in zip(confident, away, strict=True)
        ]
        return TrackPoint(replace(face, opacity=min(1.0, max(confident), *risen)))


class Extrapolation:
    """The frames before a run's first or after its last detection, for as long as the face may
    still be there.

    What hides covers where the face was seen and where it would be had it moved on, a sticker moves
    on and fades.
    """

    def __init__(
        self,
        candidates: Candidates,
        run: Tracklet,
        after: bool,
        velocity: Vector,
        frames: tuple[int, int],
        options: TrackingOptions,
    ) -> None:
        self._run, self._velocity, self._options = run, velocity, options
        self._times = candidates.times
        self._end, self._node = (run.last, len(run.rows) - 1) if after else (run.first, 0)
        self.first, self.last = frames
        self._step = _step(self._times, run.last + 1 if after else run.first, velocity)

    def point_at(self, row: int) -> TrackPoint | None:
        """The face in a frame, if it is one."""
        now, end = float(self._times[row]), float(self._times[self._end])
        own = float(self._run.scores[self._node])
        near = abs(now - end) <= FADE_S + ROUNDING_S
        confidence = max(
            self._run.context_confidence(now) if near else self._run.confidence(now),
            1.0 if own >= self._options.accept else -1.0,
        )
        if confidence < 0:
            return None
        shape = self._run.shapes[self._node, :4]
        width, height = (shape[2:] - shape[:2]).tolist()
        # Where the last sight was a mistake its speed is one, too: nothing goes on further than its
        # own size.
        x, y = np.clip(self._velocity * (now - end), (-width, -height), (width, height)).tolist()
        score, identity = max(own, self._run.score(now)), self._run.identity(now)
        if self._options.redacts:
            face = Face(
                union(_box(shape), _box(shape + np.array([x, y, x, y]))), (), score, identity
            )
            margin = MOVING * self._step + _error_px(width, height, abs(now - end))
            return TrackPoint(replace(face, margin=margin), held=True)
        fading = 1 - abs(now - end) / (FADE_S + ROUNDING_S)
        return TrackPoint(
            _moved(
                self._run.placed(self._end), x, y, score, identity, fading * min(1.0, confidence)
            ),
            held=True,
        )


def _nearness(times: Vector, now: float) -> float:
    """1 and more well within `CONFIDENT_S` of one of the times, falling to 0 over its last `FADE_S` and
    on beyond."""
    place = int(np.searchsorted(times, now))
    near = times[max(0, place - 1) : place + 1]
    away = float(np.abs(near - now).min()) if len(near) else np.inf
    return (CONFIDENT_S + ROUNDING_S - away) / FADE_S


def _moved(
    placed: Placed, x: float, y: float, score: float, identity: int | None, opacity: float
) -> Face:
    """A face moved by some px."""
    x1, y1, x2, y2 = placed.box
    landmarks = tuple(
        value + (y if number % 2 else x) for number, value in enumerate(placed.landmarks)
    )
    head = placed.head and replace(placed.head, x=placed.head.x + x, y=placed.head.y + y)
    return Face((x1 + x, y1 + y, x2 + x, y2 + y), landmarks, score, identity, opacity, head=head)


def _numbers(placed: Placed) -> Vector:
    """Box, landmarks and, where there is one, pose of the head in a row."""
    return np.array(
        [*placed.box, *placed.landmarks, *(astuple(placed.head) if placed.head else ())]
    )


def _placed(numbers: list[float], shape: int) -> Placed:
    """The same the other way; ``shape`` is how many of the numbers box and landmarks have."""
    x1, y1, x2, y2 = numbers[:4]
    return Placed(
        (x1, y1, x2, y2),
        tuple(numbers[4:shape]),
        HeadPose(*numbers[shape:]) if numbers[shape:] else None,
    )


def _error_px(width: float, height: float, seconds: float) -> float:
    """By how many px a face of a size may be off that is seen only some seconds from now."""
    return max(width, height) * (ERROR_SHARE + ERROR_SHARE_PER_S * seconds)


def _step(times: Vector, row: int, velocities: Vector) -> float:
    """By how many px a face moves from the frame before to a frame."""
    return float(np.abs(velocities).max() * (times[row] - times[row - 1]))


def _box(shape: Vector) -> Box:
    x1, y1, x2, y2 = shape[:4].tolist()
    return x1, y1, x2, y2


def union(a: Box, b: Box) -> Box:
    """The smallest box around two."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
