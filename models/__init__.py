"""Face detectors on this machine: weights and their cards, the shipped ones included."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from facepaint.detectors.registry import (
    REMOTE_DETECTORS,
    SHIPPED,
    card_beside,
    find_detector,
    is_intact,
    read_card,
)
from facepaint.errors import UsageError
from facepaint.records.detector_card import DetectorCard

# ONNX Runtime 1.29 and later send telemetry unless this is set before the first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class DetectorModel:
    """A face detector: weights, the same in int8 for CPUs if there are any, and card."""

    weights: Path
    card: DetectorCard
    int8: Path | None = None

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def stride(self) -> int:
        """The sides of the input are multiples of it, in px."""
        return self.card.stride

    @property
    def smallest_face_px(self) -> float:
        """The height of the smallest face that it reliably detects; see
        `models.detector.size_for`."""
        return self.card.smallest_face_px


@cache
def shipped_model(name: str) -> DetectorModel:
    """A shipped detector by its name. Paths are refused: names in jobs are untrusted.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in SHIPPED:
        raise UsageError(f"unknown detector '{name}'; available: {', '.join(SHIPPED)}")
    weights, int8 = WEIGHTS / f"{name}.onnx", WEIGHTS / f"{name}.int8.onnx"
    return DetectorModel(weights, read_card(card_beside(weights)), int8 if int8.exists() else None)


def find_model(choice: str) -> DetectorModel:
    """A shipped or downloaded detector by its name, or the one of a file PATH.onnx.

    Raises:
        UsageError: no detector has this name, or it is not downloaded yet.
        InputError: the file is not a usable network, or its card is invalid.
    """
    found = find_detector(choice)
    return shipped_model(choice) if found is None else DetectorModel(found.path, found.card)


def detector_rows() -> list[dict[str, str]]:
    """The named detectors: whether each is on this machine (ships, yes, no), licence, summary."""
    cards = {name: (shipped_model(name).card, "ships") for name in SHIPPED}
    cards |= {
        name: (known.card, "yes" if is_intact(known) else "no")
        for name, known in REMOTE_DETECTORS.items()
    }
    return [
        {"name": name, "here": here, "licence": card.licence, "summary": card.summary}
        for name, (card, here) in cards.items()
    ]
