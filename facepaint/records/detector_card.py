"""Model cards: what must be known of a face detector's weights to use them, and what should be
known to trust them.

A card lies beside the weights (``NAME.json`` beside ``NAME.onnx``) and travels in ``job.json`` with
a detector that the workers do not have. Everything here is pure.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

DEFAULT_DETECTOR = "facepaint-1"
"""Used where none is chosen; its weights ship."""

DecoderName = Literal["facepaint", "yunet", "scrfd", "centerface"]

Score = Annotated[float, Field(ge=0.01, le=1)]

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""A key that is not known is a slip of whoever wrote the card, and must not be passed over. JSON
has no NaN."""


@dataclass(frozen=True)
class Thresholds:
    """When detections count as a face, as scores of the detector.

    A face followed over time counts if it once scores ``seed`` or more near by; detections below
    ``keep`` are not used at all. In a still picture a sticker needs ``picture``, by default
    ``seed``. What hides takes ``in_company`` for enough in a frame that also shows a face as sure
    as a sticker's ``seed``: where one face is there are others, half hidden and in the dark; by
    default ``seed``.
    """

    seed: Score
    keep: Score
    picture: Score | None = None
    in_company: Score | None = None

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        if self.keep > self.seed:
            raise ValueError("keep must not be above seed")
        if self.in_company is not None and not self.keep <= self.in_company <= self.seed:
            raise ValueError("in_company must lie between keep and seed")

    @property
    def for_still(self) -> float:
        """What a face in a still picture needs."""
        return self.picture or self.seed


STICKER_THRESHOLDS = Thresholds(seed=0.68, keep=0.38, picture=0.58)
REDACTION_THRESHOLDS = Thresholds(seed=0.3, keep=0.15, in_company=0.2)
"""The working points that suit our own detector."""


@dataclass(frozen=True)
class DetectorCard:
    """A face detector's card.

    ``decoder`` names how pictures are prepared and outputs read, see `models.decoders`. The sides
    of the network's input are multiples of ``stride`` px. ``smallest_face_px`` is the height of the
    smallest face that the network finds dependably; with the user's ``min_face`` it decides the
    size of the picture the network is given.

    ``stickers`` and ``hiding`` are the working points where those of our own detector do not suit
    the scores of this one. ``landmarks`` is false where the network gives none, or none worth
    using. ``sha256`` is of the weights.

    The rest is for people: the licence, the data it was trained on, where it came from and when,
    the command that made it, and figures by name.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    decoder: DecoderName
    stride: Annotated[int, Field(ge=1, le=256)] = 32
    smallest_face_px: Annotated[float, Field(gt=0, le=500)] = 10.8
    landmarks: bool = True
    stickers: Thresholds | None = None
    hiding: Thresholds | None = None
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
    """The working point of stickers, or of what ``redacts``: the card's where that has one, else
    our own detector's."""
    own = card and (card.hiding if redacts else card.stickers)
    return own or (REDACTION_THRESHOLDS if redacts else STICKER_THRESHOLDS)
