"""The faces to paint in each frame, tracked over the frames around it.

The faces of a frame depend only on candidates within `REACH_S` of it, so the result does not depend
on where the video was cut. `tasks.tracking.association` associates the candidates,
`tasks.tracking.interpolation` gives the positions between them.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from facepaint.records.detector_card import DetectorCard, thresholds_for
from facepaint.records.faces import Candidate, Faces
from filters.face import Face
from filters.pose import roll_of
from models.boxes import shared_part
from tasks.tracking.association import Candidates, scene_change
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
    "LONGEST_HOLD_S",
    "REDACTION",
    "STICKERS",
    "TrackingOptions",
    "Tracks",
    "faces_of_image",
    "scene_change",
    "tracking_options",
]

SAME_HEAD = (0.5, 0.7)
"""Two faces are on one head if this share of the smaller box lies in the other: from the first
value increasingly, from the second certainly."""

TURNED_ROLL, TURNED_EXTRA = 60.0, 0.1
"""A head that leans by more degrees needs that much more confidence for a sticker."""

LONGEST_HOLD_S = 0.7
"""The longest extrapolation. A frame further away cannot know whether the track continues."""

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
    """The tracked faces of a stretch of frames."""

    def __init__(
        self,
        records: Sequence[Faces],
        time_base: Fraction,
        options: TrackingOptions,
        person_of: PersonOf | None = None,
    ) -> None:
        """Track the faces of consecutive ``records``."""
        self._options = options
        if not options.redacts:
            records = [_without_doubtful_turned(record, options.accept) for record in records]
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
        """The faces to paint in the frame at ``pts``, small ones first; none for an unknown
        frame."""
        row = self._row_of.get(pts)
        if row is None:
            return []
        points = (span.point_at(row) for span in self._spans[row])
        visible = [point for point in points if point is not None]
        if self._options.redacts:
            faces = _without_duplicates(visible)
        else:
            faces = _one_face_per_head([point.face for point in visible])
        # Near faces cover far ones. Rounding keeps the order of equal ones independent of the last
        # bit.
        return sorted(faces, key=lambda face: (round(face.width, 1), face.box[0]))


def _one_face_per_head(faces: Sequence[Face]) -> list[Face]:
    """Remove faces that lie mostly on a more confident one, so that a head gets one sticker.

    As the more confident one fades or moves away, the other one appears by as much.
    """
    first, last = SAME_HEAD
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, face.box)):
        opacity = face.opacity
        for other in kept:
            same_head = (shared_part(face.box, other.box) - first) / (last - first)
            opacity *= 1 - min(1.0, max(0.0, same_head)) * other.opacity
        if opacity > 0:
            kept.append(replace(face, opacity=opacity))
    return kept


def _without_duplicates(points: list[TrackPoint]) -> list[Face]:
    """Remove extrapolated faces that a detected face of the same person covers."""
    detected = [point.face for point in points if not point.held]

    def is_covered(face: Face) -> bool:
        return any(_covers(other, face) for other in detected if other.identity == face.identity)

    return detected + [point.face for point in points if point.held and not is_covered(point.face)]


def _covers(face: Face, other: Face) -> bool:
    """Whether a face with its margin contains another one with its own."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = face.box, other.box
    more = face.margin - other.margin
    return ax1 - more <= bx1 and ay1 - more <= by1 and ax2 + more >= bx2 and ay2 + more >= by2


def faces_of_image(record: Faces, redacts: bool, card: DetectorCard | None) -> list[Face]:
    """The faces to paint in an image: nothing to associate, so confidence alone decides."""
    threshold = thresholds_for(redacts, card).for_still
    candidates = [face for frame in record.frames for face in frame.faces]
    if redacts:
        context = tracking_options(redacts, card).context
        if context and any(face.score >= context.confident for face in candidates):
            threshold = min(threshold, context.accept)
    faces = [
        Face(face.box, face.landmarks, face.score) for face in candidates if face.score >= threshold
    ]
    if redacts:
        return faces
    accept = thresholds_for(redacts, card).accept
    return _one_face_per_head([face for face in faces if not _is_doubtful(face, accept)])


def _without_doubtful_turned(record: Faces, accept: float) -> Faces:
    frames = (
        replace(frame, faces=tuple(f for f in frame.faces if not _is_doubtful(f, accept)))
        for frame in record.frames
    )
    return replace(record, frames=tuple(frames))


def _is_doubtful(face: Candidate | Face, accept: float) -> bool:
    """Whether a turned face has too little confidence for a sticker.

    The detector is trained on upright faces, and searching three more rotations finds three times
    the false positives.
    """
    return face.score < accept + TURNED_EXTRA and abs(roll_of(face.landmarks)) > TURNED_ROLL
