"""Model cards: what must be known of a face detector's weights to use them, and what should be
known to trust them.

A card lies beside the weights (``NAME.json`` beside ``NAME.onnx``) and travels in ``job.json`` with
a detector that the workers do not have. Everything here is pure.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field

DEFAULT_DETECTOR = "facepaint-1"
"""Used where none is chosen; its weights ship."""

DecoderName = Literal["facepaint", "yunet", "scrfd", "centerface"]

Score = Annotated[float, Field(ge=0.01, le=1)]

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""An unknown key is a typing error in a card and is reported. JSON has no NaN."""


def _also(*names: str) -> Any:
    """A field of a card that older cards have under another name."""
    return Field(validation_alias=AliasChoices(*names))


@dataclass(frozen=True)
class Thresholds:
    """When a detection counts as a face, as confidences of the detector.

    Args:
        accept: a track is a face if one of its detections near by reaches this.
        discard: detections below this are not used at all.
        still: what a sticker needs in a still image; ``accept`` if None.
        near_confident: what a redaction accepts in a frame that also shows a face with the
            confidence that stickers accept. Where one face is, there are often others, half hidden
            or in the dark. ``accept`` if None.
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
        """What a face in a still image needs."""
        return self.still or self.accept


STICKER_THRESHOLDS = Thresholds(accept=0.68, discard=0.38, still=0.58)
REDACTION_THRESHOLDS = Thresholds(accept=0.3, discard=0.15, near_confident=0.2)
"""The thresholds that suit the shipped detector."""


@dataclass(frozen=True)
class DetectorCard:
    """The card of a face detector.

    Args:
        decoder: how images are prepared and outputs are read; see `models.decoders`.
        stride: the sides of the network's input are multiples of this, in px.
        smallest_face_px: height of the smallest face that the network finds reliably. With the
            user's ``min_face`` it sets the size of the network's input.
        landmarks: false if the network gives none, or none worth using.
        stickers, redaction: thresholds, if those of the shipped detector do not suit this one.
        sha256: checksum of the weights.
        summary, licence, data, source, date, command, figures: for people. ``data`` is what it was
            trained on, ``command`` what made it, ``figures`` measurements by name.
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
    figures: dict[str, float] = field(default_factory=dict, hash=False)
    schema: Literal[1] = 1

    __pydantic_config__ = STRICT

    @property
    def label(self) -> str:
        """The name and the weights' short sha256, as faces records and reports name a detector."""
        return f"{self.name}@{self.sha256[:12]}" if self.sha256 else self.name


def thresholds_for(redacts: bool, card: DetectorCard | None) -> Thresholds:
    """The thresholds for redactions or stickers: the card's, else those of the shipped detector."""
    own = card and (card.redaction if redacts else card.stickers)
    return own or (REDACTION_THRESHOLDS if redacts else STICKER_THRESHOLDS)
