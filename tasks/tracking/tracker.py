"""The faces to paint in each frame: those found in it and in the frames around it, linked, filled
in and smoothed.

Everything here is local: what a frame gets depends only on candidates at most `REACH_S` away, so
the result is the same wherever the video was cut. `tasks.tracking.association` links them,
`tasks.tracking.interpolation` says what follows for the frames between.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from facepaint.records.detector_card import DetectorCard, thresholds_for
from facepaint.records.faces import Box, Faces
from filters.face import Face
from tasks.tracking.association import Candidates, cut_score
from tasks.tracking.interpolation import (
    ContextThreshold,
    Extrapolation,
    Interpolation,
    PersonOf,
    TrackingOptions,
    Tracklet,
    TrackPoint,
)
from tasks.tracking.tracklets import spans

__all__ = [
    "REDACTION",
    "LONGEST_HOLD_S",
    "STICKERS",
    "Tracks",
    "TrackingOptions",
    "cut_score",
    "faces_of_image",
    "tracking_options",
]

SAME_HEAD = (0.5, 0.7)
"""From the first to the second share of the smaller one's box that lies in the other's, two faces
are on one head."""

LONGEST_HOLD_S = 0.7
"""The longest that a face is held on to: a frame further away could not know whether the face had
gone on."""


HOLD_S = 0.3
"""How long a redaction covers around a track by default."""


def tracking_options(redacts: bool, card: DetectorCard | None) -> TrackingOptions:
    """The options of a look for the confidences of a detector."""
    thresholds = thresholds_for(redacts, card)
    if not redacts:
        return TrackingOptions(thresholds.accept, thresholds.discard)
    context = None
    if thresholds.near_confident is not None:
        confident = thresholds_for(False, card).accept
        context = ContextThreshold(confident, thresholds.near_confident)
    return TrackingOptions(thresholds.accept, thresholds.discard, HOLD_S, True, context)


STICKERS, REDACTION = tracking_options(False, None), tracking_options(True, None)


class Tracks:
    """The faces of a stretch of frames, linked. Ask `faces_at` for any frame of it."""

    def __init__(
        self,
        records: Sequence[Faces],
        time_base: Fraction,
        options: TrackingOptions,
        person_of: PersonOf | None = None,
    ) -> None:
        """Link the faces of ``records``, in order; ``person_of`` tells who a candidate is, where
        that is known."""
        self._options = options
        candidates = Candidates.of(records, time_base, options.discard)
        self._row_of = {int(pts): row for row, pts in enumerate(candidates.pts)}
        self._spans: list[list[Tracklet | Interpolation | Extrapolation]] = [
            [] for _ in candidates.times
        ]
        held = min(options.hold_s, LONGEST_HOLD_S)
        options = replace(options, hold_s=held, person_of=person_of)
        for span in spans(candidates, options):
            for row in range(span.first, span.last + 1):
                self._spans[row].append(span)

    def faces_at(self, pts: int) -> list[Face]:
        """The faces to paint in the frame shown at ``pts``, small ones first; none for a frame
        never seen."""
        row = self._row_of.get(pts)
        if row is None:
            return []
        found = [
            point_at for span in self._spans[row] if (point_at := span.point_at(row)) is not None
        ]
        shown = _without_duplicates(found) if self._options.redacts else _one_face_per_head(found)
        # Near faces cover far ones. Rounded, so that the order of equals does not hang on the last
        # bit.
        return sorted(shown, key=lambda face: (round(face.width, 1), face.box[0]))


def _one_face_per_head(points: list[TrackPoint]) -> list[Face]:
    """Without the faces that lie mostly on a surer one: a head seen twice gets one sticker.

    As the surer one fades in or out, or moves off, the other comes or goes by as much.
    """
    first, last = SAME_HEAD
    kept: list[Face] = []
    for face in sorted(
        (point_at.face for point_at in points), key=lambda face: (-face.score, face.box)
    ):
        opacity = face.opacity
        for other in kept:
            on_one_head = min(
                1.0, max(0.0, (_shared(face.box, other.box) - first) / (last - first))
            )
            opacity *= 1 - on_one_head * other.opacity
        if opacity > 0:
            kept.append(replace(face, opacity=opacity))
    return kept


def _without_duplicates(points: list[TrackPoint]) -> list[Face]:
    """Without the faces held on to that are hidden anyway, with what is seen of the same one."""
    seen = [point_at.face for point_at in points if not point_at.held]
    return seen + [
        point_at.face
        for point_at in points
        if point_at.held
        and not any(
            _covers(other, point_at.face)
            for other in seen
            if other.identity == point_at.face.identity
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
    lowest, context = (
        thresholds_for(redacts, card).for_still,
        tracking_options(redacts, card).context,
    )
    found = []
    for frame in record.frames:
        in_context = context is not None and any(
            face.score >= context.confident for face in frame.faces
        )
        least = min(lowest, context.accept) if context is not None and in_context else lowest
        found += [
            Face(face.box, face.landmarks, face.score)
            for face in frame.faces
            if face.score >= least
        ]
    return found
