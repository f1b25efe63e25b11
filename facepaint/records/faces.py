"""The faces of a segment, as the detect task stores them."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from facepaint.records.codec import Schema

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in square px of the upright frame; see `VideoStream.square_size`."""

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
"""The five landmarks in their order everywhere; right and left are the subject's."""

MIRRORED = (1, 0, 2, 4, 3)
"""For each landmark the one that takes its place in a mirrored image."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face as detected: score 0-1, box, and five landmarks x1, y1, ... x5, y5 in square
    px of the upright frame.

    Landmarks are in the order of `LANDMARKS`. A detector that gives none leaves them out.
    """

    score: float
    box: Box
    landmarks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """The candidates of one frame.

    Every frame is detected, whatever the look, so that a redacting look can be added to any job.

    Args:
        pts: presentation time of the frame, in ticks of the video.
        status: "failed" if the detector could not analyse the frame.
        scene_change: mean difference of the frame's signature from the one before, 0 to 1.
        faces: the candidates above the discard threshold.
    """

    pts: int
    status: Literal["detected", "failed"] = "detected"
    scene_change: float = 0.0
    faces: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Faces:
    """``faces/<n>.json``. ``times_s`` maps a stage (load, decode, scale, detect, turned) to
    seconds.

    A signature is a 16 x 9 grid of a frame's mean luma, 0-255, row by row. Those of the first and
    the last frame find a scene cut at the border of two segments.
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
