"""The faces to paint in each frame: those found in it and in the frames around it, linked, filled
in and smoothed.

Everything here is local: what a frame gets depends only on candidates at most `REACH_S` away, so
the result is the same wherever the video was cut. `tasks.tracking.association` links them,
`tasks.tracking.interpolation` says what follows for the frames between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from facepaint.records.detector_card import DetectorCard, thresholds_for
from facepaint.records.faces import Box, Faces
from filters.face import Face
from tasks.tracking.association import Candidates, cut_score
from tasks.tracking.interpolation import Company, Gap, Hold, IdentityOf, Run, Sight, Sights
from tasks.tracking.tracklets import spans

__all__ = [
    "HIDING",
    "LONGEST_HOLD_S",
    "STICKERS",
    "Tracks",
    "WorkingPoint",
    "cut_score",
    "faces_of_image",
    "working_point",
]

SAME_HEAD = (0.5, 0.7)
"""From the first to the second share of the smaller one's box that lies in the other's, two faces
are on one head."""

LONGEST_HOLD_S = 0.7
"""The longest that a face is held on to: a frame further away could not know whether the face had
gone on."""


@dataclass(frozen=True, slots=True)
class WorkingPoint:
    """When a chain of candidates counts as a face.

    A chain is kept if one member nearby scores ``seed`` or more, or what its ``company`` asks for;
    members below
    ``keep`` are not used at all. What ``redacts`` covers every place where a face may be, and holds
    on to each for
    ``hold_s`` (at most `LONGEST_HOLD_S`) before it was first and after it was last seen. Else a
    head gets one face only, and fades.
    """

    seed: float
    keep: float
    hold_s: float = 0.0
    redacts: bool = False
    company: Company | None = None


HOLD_S = 0.3
"""How long what hides is held where nothing else is asked for."""


def working_point(redacts: bool, card: DetectorCard | None) -> WorkingPoint:
    """The working point of a look for the scores of a detector: its card's, where that has one."""
    scores, company = thresholds_for(redacts, card), None
    if redacts and scores.in_company is not None:
        company = Company(thresholds_for(False, card).seed, scores.in_company)
    return WorkingPoint(scores.seed, scores.keep, HOLD_S if redacts else 0.0, redacts, company)


STICKERS, HIDING = working_point(False, None), working_point(True, None)


class Tracks:
    """The faces of a stretch of frames, linked. Ask `faces_at` for any frame of it."""

    def __init__(
        self,
        records: Sequence[Faces],
        time_base: Fraction,
        point: WorkingPoint,
        identity_of: IdentityOf | None = None,
    ) -> None:
        """Link the faces of ``records``, in order; ``identity_of`` tells who a candidate is, where
        that is known."""
        self._point = point
        candidates = Candidates.of(records, time_base, point.keep)
        self._row_of = {int(pts): row for row, pts in enumerate(candidates.pts)}
        self._spans: list[list[Run | Gap | Hold]] = [[] for _ in candidates.times]
        hold_s = min(point.hold_s, LONGEST_HOLD_S)
        for span in spans(
            candidates, Sights(point.seed, point.redacts, hold_s, identity_of, point.company)
        ):
            for row in range(span.first, span.last + 1):
                self._spans[row].append(span)

    def faces_at(self, pts: int) -> list[Face]:
        """The faces to paint in the frame shown at ``pts``, small ones first; none for a frame
        never seen."""
        row = self._row_of.get(pts)
        if row is None:
            return []
        found = [sight for span in self._spans[row] if (sight := span.sight(row)) is not None]
        shown = _without_doubles(found) if self._point.redacts else _one_a_head(found)
        # Near faces cover far ones. Rounded, so that the order of equals does not hang on the last
        # bit.
        return sorted(shown, key=lambda face: (round(face.width, 1), face.box[0]))


def _one_a_head(sights: list[Sight]) -> list[Face]:
    """Without the faces that lie mostly on a surer one: a head seen twice gets one sticker.

    As the surer one fades in or out, or moves off, the other comes or goes by as much.
    """
    first, last = SAME_HEAD
    kept: list[Face] = []
    for face in sorted((sight.face for sight in sights), key=lambda face: (-face.score, face.box)):
        opacity = face.opacity
        for other in kept:
            on_one_head = min(
                1.0, max(0.0, (_shared(face.box, other.box) - first) / (last - first))
            )
            opacity *= 1 - on_one_head * other.opacity
        if opacity > 0:
            kept.append(replace(face, opacity=opacity))
    return kept


def _without_doubles(sights: list[Sight]) -> list[Face]:
    """Without the faces held on to that are hidden anyway, with what is seen of the same one."""
    seen = [sight.face for sight in sights if not sight.held]
    return seen + [
        sight.face
        for sight in sights
        if sight.held
        and not any(
            _covers(other, sight.face) for other in seen if other.identity == sight.face.identity
        )
    ]


def _covers(face: Face, other: Face) -> bool:
    """Whether a box with its margin lies within another with its own."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2), more = (
        face.box,
        other.box,
        face.margin - other.margin,
    )
    return ax1 - more <= bx1 and ay1 - more <= by1 and ax2 + more >= bx2 and ay2 + more >= by2


def _shared(a: Box, b: Box) -> float:
    """The part of the smaller of two boxes that lies in the other."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0.0, width) * max(0.0, height) / smaller if smaller > 0 else 0.0


def faces_of_image(record: Faces, redacts: bool, card: DetectorCard | None) -> list[Face]:
    """The faces to paint in a still picture: there is no time to link over, so the scores alone
    decide."""
    lowest, company = thresholds_for(redacts, card).for_still, working_point(redacts, card).company
    found = []
    for frame in record.frames:
        accompanied = company is not None and any(
            face.score >= company.sure for face in frame.faces
        )
        least = min(lowest, company.seed) if company is not None and accompanied else lowest
        found += [
            Face(face.box, face.landmarks, face.score)
            for face in frame.faces
            if face.score >= least
        ]
    return found
