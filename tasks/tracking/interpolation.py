"""Positions of a face between and beyond its detections, and their error.

A `Tracklet` holds detections with short gaps, an `Interpolation` the frames of a long gap between
two tracklets, and an `Extrapolation` the frames before the first or after the last detection. What
each gives for a frame depends only on candidates within `REACH_S` of it.
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
from tasks.tracking.smoothing import SmoothedFace, smoothed_faces

CONFIDENT_S = 0.7
"""Distance from an accepted detection within which its track counts as a face."""

FADE_S = 0.13
"""Time in which a sticker appears or disappears: around the first and last detection, and where
confidence ends. Not longer than a short gap, so that a frame knows whether the track continues."""

EASE_S = 0.13
"""Time over which an interpolation is blended with the smoothed positions at its ends, which more
detections support."""

STEP_S = 0.03
"""Distance from the ends of a gap at which its own course is compared with the tracklets'. Shorter
than any gap."""

SPREAD_S = 0.13
"""Time before and after a frame over which the largest error of the smoothed box is taken."""

ERROR_SHARE = 0.06
ERROR_SHARE_PER_S = 1.0
"""Error of a position without a detection, as a share of the face's size, and its growth for each
second to the nearest detection. Measured by leaving out detections of real clips: 99 % lie within.
"""

MOVING = 0.5
"""Error of a moving face as a share of its movement per frame, on every side."""

Flags = npt.NDArray[np.bool_]

PersonOf = Callable[[int, int], int | None]
"""Gives the number of a candidate's person by the frame's pts and the candidate's place in it."""


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
    and shared with other tracklets they would cover most of a frame, and few of them are faces.
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
    """Detections of one face with only short gaps, in the frames ``first`` to ``last``."""

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
        self.accepted_times = self.times[self.scores >= options.accept]
        self._context_times = self.times[near_confident[nodes]]

    @cached_property
    def _at(self) -> Vector:
        return self._candidates.times[self.first : self.last + 1]

    @cached_property
    def _placed(self) -> list[SmoothedFace]:
        return smoothed_faces(
            self.times, self.shapes[:, :4], self.shapes[:, 4:], self.scores, self._at
        )

    @cached_property
    def _margins(self) -> Vector:
        """Error of the smoothed box in each frame, in px."""
        smooth = np.array([placed.box for placed in self._placed])
        errors = np.abs(smooth[self.rows - self.first] - self.shapes[:, :4]).max(1)
        lows = np.searchsorted(self.times, self._at - SPREAD_S - ROUNDING_S)
        highs = np.searchsorted(self.times, self._at + SPREAD_S + ROUNDING_S, "right")
        error = np.array(
            [errors[low:high].max(initial=0.0) for low, high in zip(lows, highs, strict=True)]
        )
        rows = np.arange(self.first, self.last + 1)
        before = np.searchsorted(self.rows, rows, "right") - 1
        after = np.searchsorted(self.rows, rows)
        away = np.minimum(self._at - self.times[before], self.times[after] - self._at)
        moving = np.maximum(self._steps[after], self._steps[before + 1])
        return np.asarray(
            error + MOVING * moving + ERROR_SHARE_PER_S * sizes(self.shapes)[before] * away
        )

    @cached_property
    def _steps(self) -> Vector:
        """Movement of the box in px per frame before each detection, and after the last:
        (n + 1,)."""
        steps = np.abs(np.diff(self.shapes[:, :4], axis=0)).max(1, initial=0.0) / np.diff(self.rows)
        return np.concatenate([[0.0], steps, [0.0]])

    def confidence(self, now: float) -> float:
        """At least 1 well within `CONFIDENT_S` of an accepted detection.

        Falls to 0 over the last `FADE_S` of it, and below 0 beyond.
        """
        return _nearness(self.accepted_times, now)

    def context_confidence(self, now: float) -> float:
        """The same, counting detections that the context threshold accepts."""
        return max(_nearness(self.accepted_times, now), _nearness(self._context_times, now))

    def score(self, now: float) -> float:
        """The highest confidence of a detection within `CONFIDENT_S`."""
        return float(self.scores[self._near(now)].max(initial=0.0))

    def identity(self, now: float) -> int | None:
        """The person of the nearest detection within `CONFIDENT_S` that has one."""
        person_of = self._options.person_of
        if person_of is None:
            return None
        nodes = range(len(self.times))[self._near(now)]
        for node in sorted(nodes, key=lambda node: abs(self.times[node] - now)):
            pts = int(self._candidates.pts[self.rows[node]])
            person = person_of(pts, self.place(node))
            if person is not None:
                return person
        return None

    def _near(self, now: float) -> slice:
        low, high = np.searchsorted(
            self.times, [now - CONFIDENT_S - ROUNDING_S, now + CONFIDENT_S + ROUNDING_S]
        )
        return slice(int(low), int(high))

    def place(self, node: int) -> int:
        """The row of a detection in its frame."""
        return int(self._candidates.place[self.nodes[node]])

    def placed(self, row: int) -> SmoothedFace:
        """The smoothed position in a frame."""
        return self._placed[row - self.first]

    def point_at(self, row: int) -> TrackPoint | None:
        """The face in a frame, or None if confidence is too low there."""
        now = float(self._candidates.times[row])
        confidence = self.context_confidence(now)
        if confidence < 0:
            return None
        placed, node = self.placed(row), int(np.searchsorted(self.rows, row))
        is_detected = bool(self.rows[node] == row)
        face = Face(
            placed.box, placed.landmarks, self.score(now), self.identity(now), head=placed.head
        )
        if self._options.redacts:
            # Smoothing may move the box off a part of the face that was detected.
            box = union(face.box, _box(self.shapes[node])) if is_detected else face.box
            face = replace(face, box=box, margin=float(self._margins[row - self.first]))
        else:
            face = replace(face, opacity=min(1.0, confidence))
        return TrackPoint(face, self.place(node) if is_detected else None)


class Interpolation:
    """The frames ``first`` to ``last`` between two tracklets of one face.

    ``nodes`` are the detections on both sides, up to `BESIDE_GAP_S` from the gap.
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
    def _placed(self) -> list[SmoothedFace]:
        """The position in each frame.

        The tracklets' positions at the ends of the gap are smoothed with more detections. The
        difference is spread over `EASE_S`, so that nothing jumps.
        """
        candidates, nodes = self._candidates, self._nodes
        shapes, times = candidates.shapes[nodes], candidates.times[candidates.row[nodes]]
        ends = self._times[[self.first - 1, self.last + 1]]
        at = self._times[self.first : self.last + 1]
        # Two positions near each end extrapolate the gap's own course to the end.
        probes = [ends[0] + STEP_S, ends[0] + 2 * STEP_S, ends[1] - STEP_S, ends[1] - 2 * STEP_S]
        smooth = smoothed_faces(
            times, shapes[:, :4], shapes[:, 4:], candidates.scores[nodes], np.append(probes, at)
        )
        values = np.array([_numbers(placed) for placed in smooth])
        eased = values[4:].copy()
        borders = self.sides[0].placed(self.first - 1), self.sides[1].placed(self.last + 1)
        for end, placed, (near, far) in zip(ends, borders, (values[:2], values[2:4]), strict=True):
            difference = _numbers(placed) - (2 * near - far)
            if placed.head is not None:
                # The roll is an angle: the short way round.
                difference[-1] = (difference[-1] + 180) % 360 - 180
            eased += np.maximum(0.0, 1 - np.abs(at - end) / EASE_S)[:, None] * difference
        return [_placed(row, shapes.shape[1]) for row in eased.tolist()]

    def point_at(self, row: int) -> TrackPoint | None:
        """The face in a frame, or None if confidence is too low there."""
        now, sides = float(self._times[row]), self.sides
        confident = [side.confidence(now) for side in sides]
        if max(confident) < 0:
            return None
        away = now - float(self._times[sides[0].last]), float(self._times[sides[1].first]) - now
        placed = self._placed[row - self.first]
        identities = {side.identity(now) for side in sides} - {None}
        # Sides that disagree leave the identity unknown, which a redaction covers.
        identity = identities.pop() if len(identities) == 1 else None
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
        # A side that is no face by itself shows nothing beyond the border, so it fades in
        # from the other side.
        fade_in = [
            max(0.0, confidence) + seconds / FADE_S
            for confidence, seconds in zip(confident, away, strict=True)
        ]
        return TrackPoint(replace(face, opacity=min(1.0, max(confident), *fade_in)))


class Extrapolation:
    """The frames before the first or after the last detection, while the face may still be there.

    A redaction covers the last position and the extrapolated one. A sticker moves and fades.
    """

    def __init__(
        self,
        candidates: Candidates,
        tracklet: Tracklet,
        after: bool,
        velocity: Vector,
        frames: tuple[int, int],
        options: TrackingOptions,
    ) -> None:
        self._tracklet, self._velocity, self._options = tracklet, velocity, options
        self._times = candidates.times
        self._end = tracklet.last if after else tracklet.first
        self._node = len(tracklet.rows) - 1 if after else 0
        self.first, self.last = frames
        self._step = _step(self._times, tracklet.last + 1 if after else tracklet.first, velocity)

    def point_at(self, row: int) -> TrackPoint | None:
        """The face in a frame, or None if confidence is too low there."""
        now, end = float(self._times[row]), float(self._times[self._end])
        tracklet = self._tracklet
        own = float(tracklet.scores[self._node])
        is_near = abs(now - end) <= FADE_S + ROUNDING_S
        confidence = tracklet.context_confidence(now) if is_near else tracklet.confidence(now)
        if own >= self._options.accept:
            # An accepted detection at the end is a face by itself.
            confidence = max(confidence, 1.0)
        if confidence < 0:
            return None
        shape = tracklet.shapes[self._node, :4]
        width, height = (shape[2:] - shape[:2]).tolist()
        # A wrong last detection has a wrong velocity, so no face moves further than its own size.
        x, y = np.clip(self._velocity * (now - end), (-width, -height), (width, height)).tolist()
        score, identity = max(own, tracklet.score(now)), tracklet.identity(now)
        if self._options.redacts:
            moved = _box(shape + np.array([x, y, x, y]))
            face = Face(union(_box(shape), moved), (), score, identity)
            margin = MOVING * self._step + _error_px(width, height, abs(now - end))
            return TrackPoint(replace(face, margin=margin), held=True)
        fading = 1 - abs(now - end) / (FADE_S + ROUNDING_S)
        opacity = fading * min(1.0, confidence)
        face = _moved(tracklet.placed(self._end), x, y, score, identity, opacity)
        return TrackPoint(face, held=True)


def _nearness(times: Vector, now: float) -> float:
    """At least 1 well within `CONFIDENT_S` of one of the times; falls to 0 over the last `FADE_S`
    of it, and below 0 beyond."""
    place = int(np.searchsorted(times, now))
    near = times[max(0, place - 1) : place + 1]
    away = float(np.abs(near - now).min()) if len(near) else np.inf
    return (CONFIDENT_S + ROUNDING_S - away) / FADE_S


def _moved(
    placed: SmoothedFace, x: float, y: float, score: float, identity: int | None, opacity: float
) -> Face:
    """The face at a position moved by x and y px."""
    x1, y1, x2, y2 = placed.box
    landmarks = tuple(
        value + (y if number % 2 else x) for number, value in enumerate(placed.landmarks)
    )
    head = placed.head and replace(placed.head, x=placed.head.x + x, y=placed.head.y + y)
    return Face((x1 + x, y1 + y, x2 + x, y2 + y), landmarks, score, identity, opacity, head=head)


def _numbers(placed: SmoothedFace) -> Vector:
    """Box, landmarks and head pose (if there is one) as one row."""
    return np.array(
        [*placed.box, *placed.landmarks, *(astuple(placed.head) if placed.head else ())]
    )


def _placed(numbers: list[float], shape: int) -> SmoothedFace:
    """The inverse of `_numbers`; ``shape`` is how many numbers box and landmarks have."""
    x1, y1, x2, y2 = numbers[:4]
    return SmoothedFace(
        (x1, y1, x2, y2),
        tuple(numbers[4:shape]),
        HeadPose(*numbers[shape:]) if numbers[shape:] else None,
    )


def _error_px(width: float, height: float, seconds: float) -> float:
    """Error in px of a face whose nearest detection is some seconds away."""
    return max(width, height) * (ERROR_SHARE + ERROR_SHARE_PER_S * seconds)


def _step(times: Vector, row: int, velocities: Vector) -> float:
    """Movement in px from the previous frame."""
    return float(np.abs(velocities).max() * (times[row] - times[row - 1]))


def _box(shape: Vector) -> Box:
    x1, y1, x2, y2 = shape[:4].tolist()
    return x1, y1, x2, y2


def union(a: Box, b: Box) -> Box:
    """The smallest box that contains both."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
