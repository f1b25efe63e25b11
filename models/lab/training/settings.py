"""Every choice of a training run in one value, written beside its result."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import TypeAdapter, ValidationError

from facepaint.errors import InputError, UsageError
from facepaint.files import write_bytes
from models.lab.training.augment import Augmentation
from models.lab.training.losses import Weights
from models.lab.training.network import Architecture

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a detector is trained.

    Attributes:
        batches: number of steps.
        batch: images per step.
        learning_rate: of AdamW; reached after ``warm_up`` steps, held, and lowered linearly to 0
            over the last ``cool_down`` of the run. Unlike with a cosine, a run can be extended.
        calm: share of the run, at its end, with weaker augmentation; see `Augmentation.calmed`.
        ema: decay of the running average of the weights, which are exported.
        validation: share of the images for validation, chosen by a hash of their names.
        evaluate_every, checkpoint_every: steps.
    """

    batches: int = 8000
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warm_up: int = 200
    cool_down: float = 0.7
    calm: float = 0.35
    ema: float = 0.998
    seed: int = 0
    validation: float = 0.1
    evaluate_every: int = 700
    checkpoint_every: int = 200
    precision: Precision = "auto"
    architecture: Architecture = field(default_factory=Architecture)
    augmentation: Augmentation = field(default_factory=Augmentation)
    weights: Weights = field(default_factory=Weights)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        # Held between warm-up and cool-down, where both factors are 1.
        rising = min(1.0, (step + 1) / max(1, self.warm_up))
        falling = min(1.0, (self.batches - step) / max(1.0, self.batches * self.cool_down))
        return self.learning_rate * min(rising, falling)

    def augmentation_at(self, step: int) -> Augmentation:
        """The augmentation of a step."""
        return (
            self.augmentation.calmed()
            if step >= self.batches * (1 - self.calm)
            else self.augmentation
        )


def settings_for(
    batches: int | None, batch: int, size: int, learning_rate: float, seed: int
) -> TrainingSettings:
    """The settings with these choices.

    Raises:
        UsageError: the network does not accept the size.
    """
    if size % 32:
        raise UsageError(f"--size {size}: must be a multiple of 32")
    usual = TrainingSettings()
    return replace(
        usual,
        batches=batches or usual.batches,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        augmentation=replace(usual.augmentation, size=size),
    )


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run's ``settings.json``.

    Attributes:
        data: the folders and their weights.
        start: the file of the initial weights, empty if random.
        command: the command line, empty if started from Python.
        pictures, faces, landmarks: numbers of training images, their faces, and faces with
            landmarks.
    """

    settings: TrainingSettings
    data: tuple[str, ...]
    start: str = ""
    command: str = ""
    pictures: int = 0
    faces: int = 0
    landmarks: int = 0
    device: str = ""
    torch: str = torch.__version__

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _record().dump_json(self, indent=2) + b"\n")

    @classmethod
    def read(cls, path: Path) -> "RunRecord":
        """Read what `write` wrote.

        Raises:
            InputError: it is missing or invalid.
        """
        try:
            return _record().validate_json(path.read_bytes())
        except (OSError, ValidationError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc.errors()[0]["msg"]
            raise InputError(
                f"{path}: no record of a training run ({reason}); name a folder that training made"
            ) from exc


def _record() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)
