"""The faces of a segment, as the detect task stores them."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from facepaint.records.codec import Schema

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in px of the upright frame."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face as detected: score 0-1, box, and five landmarks x1, y1, ... x5, y5 in px of the
    upright frame.

    Landmarks in the field's order: the subject's right eye, left eye, nose, right mouth corner,
    left mouth corner. A detector that gives none leaves them out.
    """

    score: float
    box: Box
    landmarks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """The candidates of one frame. ``cut`` (0-1) tells how different the frame is from the one
    before it.

    Every frame is detected, whatever the look: another may hide what the first did not look for. In
    records of older jobs some frames are skipped: their faces are not known.
    """

    pts: int
    status: Literal["detected", "skipped", "failed"] = "detected"
    cut: float = 0.0
    faces: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Faces:
    """``faces/<n>.json``. ``times_s`` maps a stage (load, decode, scale, detect) to seconds.

    A signature is a 16 x 9 grid of the frame's mean luma, 0-255, row by row; those of the first and
    last frame tell whether a scene ends at the segment's border.
    """

    index: int
    frames: tuple[FrameFaces, ...]
    detector: str
    device: str
    first_signature: tuple[int, ...] = ()
    last_signature: tuple[int, ...] = ()
    worker: str = ""
    times_s: dict[str, float] = field(default_factory=dict)
    schema: Schema = 1

    BULKY: ClassVar = True
