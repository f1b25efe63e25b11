"""Link, filter, fill and smooth the faces of neighbouring frames.

Everything here is local: what a frame gets depends only on candidates at most `REACH_S` away, so the result is the
same wherever the video was cut. Links are made between pairs of frames (each face with the one it overlaps most, both
ways), a track is a chain of links, and nothing is carried along from the start.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from facepaint.cards import DetectorCard
from facepaint.jobs import REACH_S, Box, Faces, FrameFaces
from filters.face import Face

CUT = 0.06
"""A frame whose signature differs this much (mean, 0-1) from the one before begins a new scene: no link crosses it."""

LINK_IOU = 0.25

SAME_HEAD = 0.6
"""Two faces are on one head if this much of the smaller one's box lies in the other's."""

GAP_S = 0.4
"""Longest stretch without a detection that is bridged by interpolation."""

CHAIN_S = REACH_S - GAP_S
"""How far a chain is followed to each side: its links in turn may depend on what is a gap further away."""

SMOOTH_S = 0.12
"""Standard deviation of the Gaussian that averages a face's boxes and landmarks over time."""


@dataclass(frozen=True, slots=True)
class WorkingPoint:
    """When a chain of candidates counts as a face.

    A chain is kept if one member within reach scores ``seed`` or more; members below ``keep`` are not used at all.
    ``hold_s`` prolongs each chain to both sides, the face standing still: by a frame at least, where one comes within
    reach, and past cuts too, because a flash of light looks like one.
    """

    seed: float
    keep: float
    hold_s: float


STICKERS = WorkingPoint(seed=0.68, keep=0.38, hold_s=0.0)
HIDING = WorkingPoint(seed=0.3, keep=0.15, hold_s=0.3)

PICTURE_SCORE = 0.58
"""Lowest score of a face that gets a sticker in a still picture. These three suit the scores of our own detector."""

ROUNDING_S = 1e-6
"""Times are rounded to floats; what lies no further than this beyond a limit lies within it."""

Vector = npt.NDArray[np.float64]


def working_point(hides: bool, card: DetectorCard | None) -> WorkingPoint:
    """The working point of a look for the scores of a detector: its card's, where that has one."""
    point = HIDING if hides else STICKERS
    scores = card and (card.hiding if hides else card.stickers)
    return replace(point, seed=scores.seed, keep=scores.keep) if scores else point


def picture_score(hides: bool, card: DetectorCard | None) -> float:
    """The lowest score of a face that is painted in a still picture."""
    scores = card and (card.hiding if hides else card.stickers)
    if scores:
        return scores.picture or scores.seed
    return HIDING.seed if hides else PICTURE_SCORE


@dataclass(slots=True)
class _Node:
    """A candidate in its frame, linked to at most one earlier and one later node."""

    row: int
    score: float
    vector: Vector
    before: "_Node | None" = None
    after: "_Node | None" = None


class _Track:
    """A chain of nodes: where the face was seen, and by interpolation where it was in the frames between."""

    def __init__(self, first: _Node, times: Vector) -> None:
        nodes = [first]
        while nodes[-1].after is not None:
            nodes.append(nodes[-1].after)
        self.first_row, self.last_row = nodes[0].row, nodes[-1].row
        self.times = times[[node.row for node in nodes]]
        self.scores = np.array([node.score for node in nodes])
        at = times[self.first_row : self.last_row + 1]
        vectors = np.stack([node.vector for node in nodes])
        self.sampled = np.stack([np.interp(at, self.times, column) for column in vectors.T], axis=1)

    def best_score(self, now: float) -> float:
        """The best score within `CHAIN_S` of a time."""
        near = self.scores[_within(self.times, now, CHAIN_S)]
        return float(near.max(initial=0.0))

    def nearest_row(self, row: int) -> int:
        """The row of the track that is nearest to any row: itself where the track spans it."""
        return min(max(row, self.first_row), self.last_row)


class Tracks:
    """The faces of a stretch of frames, linked. Ask `faces_at` for any frame of it."""

    def __init__(self, records: Sequence[Faces], time_base: Fraction, point: WorkingPoint) -> None:
        frames = [frame for record in records for frame in record.frames]
        self._point = point
        self._times = np.array([float(frame.pts * time_base) for frame in frames])
        self._row_of = {frame.pts: row for row, frame in enumerate(frames)}
        self._scene = np.cumsum([cut >= CUT for cut in _cuts(records)])
        nodes = [_nodes(row, frame, point.keep) for row, frame in enumerate(frames)]
        self._link(nodes)
        self._tracks = [_Track(node, self._times) for row in nodes for node in row if not node.before]

    def faces_at(self, pts: int) -> list[Face]:
        """The faces to paint in the frame shown at ``pts``, small ones first; none for a frame never seen."""
        row = self._row_of.get(pts)
        if row is None:
            return []
        faces = [self._face(track, row) for track in self._tracks if self._shows(track, row)]
        if not self._point.hold_s:
            faces = _one_a_head(faces)
        # Near faces cover far ones. Rounded, so that the order of equals does not hang on the last bit.
        return sorted(faces, key=lambda face: (round(face.box[2] - face.box[0], 1), face.box[0]))

    def _link(self, nodes: list[list[_Node]]) -> None:
        """Link neighbours first, then over growing gaps what is still loose on both sides."""
        rows = len(nodes)
        within_gap = np.searchsorted(self._times, self._times + GAP_S + ROUNDING_S, "right") - np.arange(rows) - 1
        for step in range(1, max(1, int(within_gap.max(initial=0))) + 1):
            for row in range(rows - step):
                apart = self._times[row + step] - self._times[row]
                if (
                    self._scene[row] != self._scene[row + step]
                    or apart > (REACH_S if step == 1 else GAP_S) + ROUNDING_S
                ):
                    continue
                loose = [node for node in nodes[row] if node.after is None]
                waiting = [node for node in nodes[row + step] if node.before is None]
                _match(loose, waiting)

    def _shows(self, track: _Track, row: int) -> bool:
        """Whether a track is to be painted in a frame: it spans it (or is held over it), and is sure enough nearby."""
        nearest, hold = track.nearest_row(row), self._point.hold_s
        score = track.best_score(self._times[row])
        if nearest != row:
            apart = abs(self._times[row] - self._times[nearest])
            if not hold or apart > (REACH_S if abs(row - nearest) == 1 else hold) + ROUNDING_S:
                return False
            score = max(score, track.scores[0 if row < nearest else -1])
        return bool(score >= self._point.seed)

    def _face(self, track: _Track, row: int) -> Face:
        """A track's box and landmarks at a frame, averaged over the frames around it."""
        nearest = track.nearest_row(row)
        around = _within(self._times, self._times[nearest], 3 * SMOOTH_S)
        first, last = max(around.start, track.first_row), min(around.stop, track.last_row + 1)
        weights = np.exp(-0.5 * ((self._times[first:last] - self._times[nearest]) / SMOOTH_S) ** 2)
        mean = weights @ track.sampled[first - track.first_row : last - track.first_row] / weights.sum()
        if self._point.hold_s:
            # What is to be hidden is hidden where it was seen as well as where the average puts it.
            seen = track.sampled[nearest - track.first_row]
            mean[:2], mean[2:4] = np.minimum(mean[:2], seen[:2]), np.maximum(mean[2:4], seen[2:4])
        x1, y1, x2, y2, *landmarks = mean.tolist()
        return Face((x1, y1, x2, y2), tuple(landmarks), track.best_score(self._times[row]))


def _one_a_head(faces: list[Face]) -> list[Face]:
    """Without the faces that lie mostly on a surer one: a head seen twice gets one sticker."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_shared(face.box, other.box) < SAME_HEAD for other in kept):
            kept.append(face)
    return kept


def _shared(a: Box, b: Box) -> float:
    """The part of the smaller of two boxes that lies in the other."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0.0, width) * max(0.0, height) / smaller if smaller > 0 else 0.0


def _within(times: Vector, now: float, seconds: float) -> slice:
    first, last = np.searchsorted(times, [now - seconds - ROUNDING_S, now + seconds + ROUNDING_S])
    return slice(int(first), int(last))


def faces_of_picture(record: Faces, lowest: float) -> list[Face]:
    """The faces to paint in a still picture: there is no time to link over, so the scores alone decide."""
    return [
        Face(face.box, face.landmarks, face.score)
        for frame in record.frames
        for face in frame.faces
        if face.score >= lowest
    ]


def _cuts(records: Sequence[Faces]) -> Iterator[float]:
    """The scene-cut score of each frame; that of a record's first frame follows from the two signatures there."""
    last: tuple[int, ...] = ()
    for record in records:
        for row, frame in enumerate(record.frames):
            yield cut_score(last, record.first_signature) if row == 0 else frame.cut
        if record.frames:
            last = record.last_signature


def cut_score(before: Sequence[int], after: Sequence[int]) -> float:
    """How different two frames are by their signatures (grids of mean luma, 0-255): 0 the same, 1 black to white."""
    if len(before) != len(after) or not before:
        return 0.0
    return sum(abs(a - b) for a, b in zip(before, after, strict=True)) / (255 * len(before))


def _nodes(row: int, frame: FrameFaces, keep: float) -> list[_Node]:
    return [
        _Node(row, face.score, np.array([*face.box, *face.landmarks], np.float64))
        for face in frame.faces
        if face.score >= keep
    ]


def _match(loose: list[_Node], waiting: list[_Node]) -> None:
    """Link each pair that overlap each other most, both ways."""
    if not loose or not waiting:
        return
    overlaps = iou(np.stack([n.vector[:4] for n in loose]), np.stack([n.vector[:4] for n in waiting]))
    best_after = overlaps.argmax(1)
    best_before = overlaps.argmax(0)
    for row, column in enumerate(best_after):
        if best_before[column] == row and overlaps[row, column] >= LINK_IOU:
            loose[row].after, waiting[column].before = waiting[column], loose[row]


def iou(a: Vector, b: Vector) -> Vector:
    """Intersection over union of every box of ``a`` (n x 4) with every box of ``b`` (m x 4): n x m."""
    upper = np.maximum(a[:, None, :2], b[None, :, :2])
    lower = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(lower - upper, 0, None).prod(2)
    union = (a[:, 2:] - a[:, :2]).prod(1)[:, None] + (b[:, 2:] - b[:, :2]).prod(1)[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9))
