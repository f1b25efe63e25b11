"""What `facepaint detectors train` and `detectors export` do."""

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
from models.lab.training.data import Folder, Pictures, make_batch, read_folders
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
    """Where a run begins: with random weights, those of an exported detector, or its own
    checkpoint.

    ``batches``, if given, is a new length for a resumed run.
    """

    weights: Path | None = None
    resume: bool = False
    batches: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run computes: ``auto``, ``cpu`` or a device of PyTorch's, and CPU threads."""

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

    ``out`` then holds the settings, the log, the last checkpoint, a curve and the exported
    detector.

    Returns:
        The network with averaged weights.

    Raises:
        InputError: a folder, the weights or the checkpoint cannot be used.
        UsageError: ``out`` has a run already, and it is not to be resumed.
        DeviceError: the device is not there.
    """
    device = _device(place.device)
    earlier = RunRecord.read(out / SETTINGS) if beginning.resume else None
    if earlier:
        settings = replace(earlier.settings, batches=beginning.batches or earlier.settings.batches)
    elif (out / CHECKPOINT).exists():
        raise UsageError(
            f"{out} has a training run already: go on with it by --resume, or name another folder"
        )
    torch.manual_seed(settings.seed)
    torch.set_num_threads(place.threads)
    # The quickest gradients of a GPU differ from run to run.
    torch.backends.cudnn.deterministic = True
    folders = [Folder.parse(text) for text in data]
    labels = read_folders(folders)
    parts = [
        split(some, settings.validation) if settings.validation else (some, []) for some in labels
    ]
    learnt, aside = zip(*parts, strict=True)
    pictures = Pictures(folders, learnt)
    network = _beginning(settings, beginning, pictures)
    settings = replace(settings, architecture=network.architecture)
    training = Training(
        settings,
        pictures,
        Pictures(folders, aside) if any(aside) else None,
        out,
        network,
        device,
        report,
    )
    record = _record(folders, learnt, settings, beginning, command, device)
    if earlier:
        training.resume()
        record = _continued(record, earlier)
    record.write(out / SETTINGS)
    averaged = training.run(place.threads)
    draw_curve(out, out / CURVE)
    export(averaged, out / WEIGHTS)
    return averaged


@dataclass(frozen=True, slots=True)
class Words:
    """What a card says that a run does not know: the weights' licence, and their data in words."""

    licence: str = ""
    data: str = ""


def export_run(folder: Path, path: Path, words: Words = Words(), int8: Path | None = None) -> None:
    """Write the averaged network of a run's checkpoint as ONNX, with its card; the run may still be
    under way.

    Args:
        int8: a labelled folder: quantise, calibrated on its pictures.

    Raises:
        UsageError: ``path`` does not end in .onnx, by which detectors and their cards are found.
        InputError: the folder is no run, or has no checkpoint yet, or ``path`` cannot be written.
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
        float32 = Path(private, WEIGHTS)
        export(training.averaged(), float32)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if int8 is None:
                shutil.copyfile(float32, path)
            else:
                quantise(float32, int8, path)
            write_card(card_beside(path), _card(record, training.step, path, words))
        except OSError as exc:
            raise InputError(f"{path} cannot be written: {exc.strerror}") from exc


def _card(record: RunRecord, step: int, path: Path, words: Words) -> DetectorCard:
    settings = record.settings
    begun = f", begun with {record.start}" if record.start else ""
    return DetectorCard(
        name=card_name(path),
        decoder="facepaint",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        summary=f"trained {step} batches of {settings.batch} pictures{begun}",
        licence=words.licence,
        data=words.data
        or f"{', '.join(record.data)}: {record.pictures} pictures, {record.faces} faces",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        command=record.command,
    )


def _beginning(settings: TrainingSettings, beginning: Beginning, pictures: Pictures) -> FaceNetwork:
    if beginning.weights is None or beginning.resume:
        return FaceNetwork(settings.architecture)
    return load_exported(beginning.weights, _calibration(pictures, settings), settings.architecture)


def _record(
    folders: Sequence[Folder],
    learnt: Sequence[Sequence[LabelledImage]],
    settings: TrainingSettings,
    beginning: Beginning,
    command: str,
    device: torch.device,
) -> RunRecord:
    faces = [
        face for some in learnt for picture in some for face in picture.faces if not face.ignore
    ]
    return RunRecord(
        settings,
        data=tuple(f"{folder.path.name}={folder.weight:g}" for folder in folders),
        start=beginning.weights.name if beginning.weights else "",
        pictures=sum(len(some) for some in learnt),
        faces=len(faces),
        landmarks=sum(face.landmarks is not None for face in faces),
        command=command,
        device=str(device),
    )


def _continued(record: RunRecord, earlier: RunRecord) -> RunRecord:
    """The record of a resumed run: it began as it did, and took every command that it took."""
    commands = [command for command in (earlier.command, record.command) if command]
    if record.command in earlier.command.split(NEXT_COMMAND):
        commands = [earlier.command]
    return replace(record, start=earlier.start, command=NEXT_COMMAND.join(commands))


def _calibration(pictures: Pictures, settings: TrainingSettings) -> Iterator[Tensor]:
    for step in range(CALIBRATION_BATCHES):
        batch = make_batch(pictures, settings.batch, settings.augmentation, settings.seed + 2, step)
        yield batch.pictures.float()


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
            f"device '{name}' is none that this PyTorch finds; use --device cpu"
        ) from exc
    return device
