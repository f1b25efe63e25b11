"""Face detectors by name: which weights a detector has and how its pictures are prepared."""

from dataclasses import dataclass
from pathlib import Path

from facepaint.errors import UsageError

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class DetectorModel:
    """A detector one can choose.

    ``smallest_face_px`` is the height of the smallest face the network finds dependably; with the user's ``min_face``
    it decides the size of the picture the network is given.
    """

    name: str
    weights: Path
    summary: str
    smallest_face_px: float = 10.8
    stride: int = 32


DETECTORS = {
    model.name: model
    for model in (
        DetectorModel(
            "facepaint-0",
            WEIGHTS / "facepaint-0.onnx",
            "our own first detector: 246,208 parameters, five landmarks",
        ),
    )
}


def find_model(name: str) -> DetectorModel:
    """The detector of that name.

    Raises:
        UsageError: there is none; the message lists what there is.
    """
    try:
        return DETECTORS[name]
    except KeyError:
        raise UsageError(f"unknown detector '{name}'; there are {', '.join(DETECTORS)}") from None
