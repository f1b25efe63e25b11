"""The functions behind `facepaint detectors train` and `detectors export`."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facepaint.detectors.labels import LabelledImage
from facepaint.detectors.registry import card_beside, card_name, write_card
from facepaint.errors import DeviceError, InputError, UsageError
from facepaint.records.detector_card import DetectorCard
from models.lab.evaluation.evaluate import split
from models.lab.training.curve import draw_curve
from models.lab.training.data import Folder, Images, make_batch, read_folders
from models.lab.training.export import export
from models.lab.training.loop import CHECKPOINT, Training
from models.lab.training.network import FaceNetwork
from models.lab.training.quantise import quantise
from models.lab.training.settings import RunRecord, TrainingSettings
from models.lab.training.warm_start import load_exported

SETTINGS, CURVE, WEIGHTS = "settings.json", "curve.png", "detector.onnx"

CALIBRATION_BATCHES = 8

NEXT_COMMAND = " && "

Report = Callable[[dict[str, Any]], None]


def _silent(_: dict[str, Any]) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The start of a run: random weights, those of an exported detector, or the run's checkpoint.

    ``batches`` changes the length of a resumed run.
    """

    weights: Path | None = None
    resume: bool = False
    batches: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The device of a run (``auto``, ``cpu`` or one of PyTorch's) and its CPU threads."""

    device: str = "auto"
    threads: int = 2


def train(
    data: Sequence[str],
    out: Path,
    settings: TrainingSettings,
    beginning: Beginning = Beginning(),
    place: Place = Place(),
    *,
    command: str = "",
    report: Report = _silent,
) -> FaceNetwork:
    """Train a detector on labelled folders, each ``FOLDER`` or ``FOLDER=WEIGHT``.

    ``out`` gets the settings, the log, the last checkpoint, a curve and the exported detector.

    Returns:
        The network with averaged weights.

    Raises:
        InputError: a folder, the weights or the checkpoint cannot be used.
        UsageError: ``out`` has a run already, and ``beginning`` does not resume it.
        DeviceError: the device is missing.
    """
    device = _device(place.device)
    earlier = RunRecord.read(out / SETTINGS) if beginning.resume else None
    if earlier:
        settings = replace(earlier.settings, batches=beginning.batches or earlier.settings.batches)
    elif (out / CHECKPOINT).exists():
        raise UsageError(
            f"{out} has a training run already: continue it with --resume, or name another folder"
        )
    # Initial weights follow from the seed; batches have generators of their own.
    torch.manual_seed(settings.seed)
    torch.set_num_threads(place.threads)
    # The fastest gradients of a GPU differ from run to run.
    torch.backends.cudnn.deterministic = True
    folders = [Folder.parse(text) for text in data]
    folder_labels = read_folders(folders)
    parts = [
        split(some, settings.validation) if settings.validation else (some, [])
        for some in folder_labels
    ]
    training_labels, validation_labels = zip(*parts, strict=True)
    images = Images(folders, training_labels)
    network = _beginning(settings, beginning, images)
    # A warm start may be larger than the requested architecture.
    settings = replace(settings, architecture=network.architecture)
    training = Training(
        settings,
        images,
        Images(folders, validation_labels) if any(validation_labels) else None,
        out,
        network,
        device,
        report,
    )
    record = _record(folders, training_labels, settings, beginning, command, device)
    if earlier:
        training.resume()
        record = _continued(record, earlier)
    record.write(out / SETTINGS)
    averaged = training.run(place.threads)
    draw_curve(out, out / CURVE)
    export(averaged, out / WEIGHTS)
    return averaged


@dataclass(frozen=True, slots=True)
class CardTexts:
    """Texts for a card that a run does not have: licence, and a description of the data."""

    licence: str = ""
    data: str = ""


def export_run(
    folder: Path, path: Path, texts: CardTexts = CardTexts(), int8: Path | None = None
) -> None:
    """Write the averaged network of a run's checkpoint as ONNX, with its card; the run need not be
    finished.

    Args:
        int8: a labelled folder; quantizes, calibrated on its images.

    Raises:
        UsageError: ``path`` does not end in .onnx, as detectors must.
        InputError: the folder has no run or no checkpoint yet, or ``path`` cannot be written.
    """
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path}: a detector is a file that ends in .onnx")
    record = RunRecord.read(folder / SETTINGS)
    settings = record.settings
    training = Training(
        settings,
        None,
        None,
        folder,
        FaceNetwork(settings.architecture),
        torch.device("cpu"),
        _silent,
    )
    training.resume()
    with tempfile.TemporaryDirectory() as private:
        # In a private folder, so that a failed quantization leaves no file behind.
        float32 = Path(private, WEIGHTS)
        export(training.averaged(), float32)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if int8 is None:
                shutil.copyfile(float32, path)
            else:
                quantise(float32, int8, path)
            write_card(card_beside(path), _card(record, training.step, path, texts))
        except OSError as exc:
            raise InputError(f"{path} cannot be written: {exc.strerror}") from exc


def _card(record: RunRecord, step: int, path: Path, texts: CardTexts) -> DetectorCard:
    settings = record.settings
    begun = f", begun with {record.start}" if record.start else ""
    return DetectorCard(
        name=card_name(path),
        decoder="facepaint",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        summary=f"trained {step} batches of {settings.batch} images{begun}",
        licence=texts.licence,
        data=texts.data
        or f"{', '.join(record.data)}: {record.pictures} images, {record.faces} faces",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        command=record.command,
    )


def _beginning(settings: TrainingSettings, beginning: Beginning, images: Images) -> FaceNetwork:
    if beginning.weights is None or beginning.resume:
        return FaceNetwork(settings.architecture)
    return load_exported(beginning.weights, _calibration(images, settings), settings.architecture)


def _record(
    folders: Sequence[Folder],
    labels: Sequence[Sequence[LabelledImage]],
    settings: TrainingSettings,
    beginning: Beginning,
    command: str,
    device: torch.device,
) -> RunRecord:
    faces = [face for some in labels for image in some for face in image.faces if not face.ignore]
    return RunRecord(
        settings,
        data=tuple(f"{folder.path.name}={folder.weight:g}" for folder in folders),
        start=beginning.weights.name if beginning.weights else "",
        pictures=sum(len(some) for some in labels),
        faces=len(faces),
        landmarks=sum(face.landmarks is not None for face in faces),
        command=command,
        device=str(device),
    )


def _continued(record: RunRecord, earlier: RunRecord) -> RunRecord:
    """The record of a resumed run: its original start, and all of its commands."""
    commands = [command for command in (earlier.command, record.command) if command]
    if record.command in earlier.command.split(NEXT_COMMAND):
        commands = [earlier.command]
    return replace(record, start=earlier.start, command=NEXT_COMMAND.join(commands))


def _calibration(images: Images, settings: TrainingSettings) -> Iterator[Tensor]:
    for step in range(CALIBRATION_BATCHES):
        batch = make_batch(images, settings.batch, settings.augmentation, settings.seed + 2, step)
        yield batch.images.float()


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "device 'cuda' was requested, but this PyTorch finds no CUDA device; use --device cpu"
        )
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as exc:
        raise DeviceError(
            f"device '{name}' is not one that this PyTorch finds; use --device cpu"
        ) from exc
    return device
