"""Detector cards: how to run the weights of a face detector, and where they come from.

The card of ``NAME.onnx`` is ``NAME.json`` in the same folder. The card of a detector that workers
do not have is part of ``job.json``.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field

DEFAULT_DETECTOR = "facepaint-1"
"""The detector of jobs that choose none; its weights are part of the package."""

DecoderName = Literal["facepaint", "yunet", "scrfd", "centerface"]

# A threshold of 0 would store every cell of the network as a candidate.
Score = Annotated[float, Field(ge=0.01, le=1)]

MAX_REDACTION_THRESHOLD = 0.7
"""Detectors give many clear faces hardly more confidence than this."""

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Unknown keys are refused: they are usually misspelled. NaN is not valid JSON."""


def _also(*names: str) -> Any:
    """A field that also accepts an earlier name."""
    return Field(validation_alias=AliasChoices(*names))


@dataclass(frozen=True)
class Thresholds:
    """The confidences of a detector that decide what counts as a face.

    Args:
        accept: a track is a face if one of its detections within reach has this confidence.
        discard: detections below are ignored.
        still: the threshold for a sticker in a still image; ``accept`` if None.
        near_confident: the threshold of a redaction in a frame that also shows a face that
            stickers accept, because more faces are likely there, occluded or dark; ``accept`` if
            None.
    """

    accept: Annotated[Score, _also("accept", "seed")]
    discard: Annotated[Score, _also("discard", "keep")]
    still: Annotated[Score | None, _also("still", "picture")] = None
    near_confident: Annotated[Score | None, _also("near_confident", "in_company")] = None

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        if self.discard > self.accept:
            raise ValueError("discard must not be above accept")
        near = self.near_confident
        if near is not None and not self.discard <= near <= self.accept:
            raise ValueError("near_confident must lie between discard and accept")

    @property
    def for_still(self) -> float:
        """The threshold for a face in a still image, which has no track."""
        return self.still or self.accept


STICKER_THRESHOLDS = Thresholds(accept=0.68, discard=0.38, still=0.58)
REDACTION_THRESHOLDS = Thresholds(accept=0.3, discard=0.15, near_confident=0.2)
"""The thresholds of the shipped detector."""


@dataclass(frozen=True)
class DetectorCard:
    """The card of a face detector.

    Args:
        decoder: the format of inputs and outputs; see `models.decoders`.
        stride: the sides of the network's input are multiples of this, in px.
        smallest_face_px: height of the smallest face that the network finds reliably. With the
            user's ``min_face`` it determines the size of the network's input.
        landmarks: false if the network has no landmarks, or unusable ones.
        stickers, redaction: thresholds; those of the shipped detector if None.
        sha256: checksum of the weights.
        summary, licence, data, source, date, command, figures: information for people. ``data``
            names the training data, ``command`` made the weights, ``figures`` are measurements by
            name.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    decoder: DecoderName
    stride: Annotated[int, Field(ge=1, le=256)] = 32
    smallest_face_px: Annotated[float, Field(gt=0, le=500)] = 10.8
    landmarks: bool = True
    stickers: Thresholds | None = None
    redaction: Annotated[Thresholds | None, _also("redaction", "hiding")] = None
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    summary: str = ""
    licence: str = ""
    data: str = ""
    source: str = ""
    date: str = ""
    command: str = ""
    # A dictionary has no hash, and cards stay hashable without it.
    figures: dict[str, float] = field(default_factory=dict, hash=False)
    schema: Literal[1] = 1

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        # Redactions would silently leave faces visible.
        limit = MAX_REDACTION_THRESHOLD
        if self.redaction and max(self.redaction.accept, self.redaction.for_still) > limit:
            raise ValueError(f"redaction thresholds above {limit} leave faces visible")
        if self.redaction and self.stickers and self.redaction.accept > self.stickers.accept:
            raise ValueError("redactions must not accept less than stickers")

    @property
    def label(self) -> str:
        """Name and short checksum, which identify the detector in records and reports."""
        return f"{self.name}@{self.sha256[:12]}" if self.sha256 else self.name


def thresholds_for(redacts: bool, card: DetectorCard | None) -> Thresholds:
    """The card's thresholds for redactions or stickers, else those of the shipped detector."""
    own = card and (card.redaction if redacts else card.stickers)
    return own or (REDACTION_THRESHOLDS if redacts else STICKER_THRESHOLDS)
