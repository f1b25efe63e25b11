"""The best batch and number of threads for a detector on this machine: python -m
benchmarks.inference

The public-domain portrait, stretched to the size of the network's input, goes through
`models.detector.Detector` as a worker uses it, planes of pixels to faces. All settings take turns,
so that whatever else the machine does hits all alike; a setting's time for a picture is the median
over its turns. Memory is what the process, or the GPU, holds more of once a detector is made and
has run; the first one's includes the runtime itself.
"""

import argparse
import itertools
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import onnxruntime
import skimage.data

from facepaint.devices import GPUS, Device
from facepaint.errors import FacepaintError
from facepaint.records.detector_card import DEFAULT_DETECTOR
from models import DetectorModel, find_model
from models.detector import Detector, Pixels, Size
from models.providers import Runtime

CPU_BATCHES, GPU_BATCHES = (1, 2, 4, 8), (1, 4, 8, 16, 32, 64)
LEAST_TURNS = 3


@dataclass(slots=True)
class Setting:
    """One way to run the detector, and how it did: ``times_ms`` for a picture, one a turn."""

    runtime: Runtime
    detector: Detector
    mib: float
    times_ms: list[float] = field(default_factory=list)

    @property
    def ms(self) -> float:
        return statistics.median(self.times_ms)


def main() -> None:
    """Print a table of the settings, quickest last."""
    arguments = _arguments()
    model = find_model(arguments.model)
    portrait = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    picture = cv2.resize(portrait, arguments.size, interpolation=cv2.INTER_AREA)
    planes = tuple(np.ascontiguousarray(picture[:, :, channel], np.uint8) for channel in (2, 1, 0))
    settings = [
        _open(
            model,
            arguments.size,
            Runtime(arguments.device, threads, batch, arguments.float16),
            planes,
        )
        for threads, batch in itertools.product(arguments.threads, arguments.batches)
    ]
    _take_turns(settings, planes, arguments.seconds)
    width, height = arguments.size
    print(
        f"{settings[0].detector.name}, {width}x{height}, ONNX Runtime {onnxruntime.__version__}\n"
    )
    print(
        f"{'device':<10} {'threads':>7} {'batch':>5} {'frames/s':>9} {'ms/picture':>10} {'MiB':>6}"
    )
    for setting in sorted(settings, key=lambda setting: -setting.ms):
        runtime = setting.runtime
        speed = f"{1000 / setting.ms:>9.0f} {setting.ms:>10.2f} {setting.mib:>6.0f}"
        print(
            f"{setting.detector.device:<10} {runtime.threads:>7} {setting.detector.batch:>5} "
            f"{speed}"
        )
    turns = len(settings[0].times_ms)
    print(
        f"\nmedian of {turns} turns; take the quickest with FACEPAINT_DETECT_BATCH and "
        "FACEPAINT_THREADS"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model", nargs="?", default=DEFAULT_DETECTOR, help="name, or file PATH.onnx"
    )
    parser.add_argument(
        "--size", default=(320, 192), type=_size, help="WIDTHxHEIGHT of the input (320x192)"
    )
    parser.add_argument("--device", default="auto", choices=get_args(Device))
    parser.add_argument(
        "--batches", nargs="+", type=int, help="pictures at once (1 2 4 8; 1 4 8 16 32 64 on a GPU)"
    )
    parser.add_argument(
        "--threads", nargs="+", type=int, default=[1], help="threads of the CPU (1)"
    )
    parser.add_argument("--float16", action="store_true")
    parser.add_argument(
        "--seconds", type=float, default=15, help="time for all settings together (15)"
    )
    arguments = parser.parse_args()
    if arguments.batches is None:
        on_gpu = (
            arguments.device in GPUS
            or "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        )
        arguments.batches = GPU_BATCHES if on_gpu and arguments.device != "cpu" else CPU_BATCHES
    return arguments


def _size(text: str) -> tuple[int, int]:
    width, height = (int(side) for side in text.split("x"))
    return width, height


def _open(
    model: DetectorModel, size: tuple[int, int], runtime: Runtime, planes: tuple[Pixels, ...]
) -> Setting:
    before = _process_mib(), _gpu_mib()
    try:
        detector = Detector(model, Size(*size, *size, 1.0, 1.0), runtime)
    except FacepaintError as exc:
        raise SystemExit(f"benchmarks.inference: {exc}") from exc
    detector.detect([planes] * detector.batch)  # type: ignore[list-item]  # three
    held = _gpu_mib() - before[1] if detector.device in GPUS else _process_mib() - before[0]
    return Setting(runtime, detector, held)


def _take_turns(settings: Sequence[Setting], planes: tuple[Pixels, ...], seconds: float) -> None:
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(settings[0].times_ms) < LEAST_TURNS:
        for setting in settings:
            # As many pictures each turn, whatever the batch, up to what a GPU takes at once.
            pictures = [planes] * max(8, setting.detector.batch)
            start = time.perf_counter()
            setting.detector.detect(pictures)  # type: ignore[arg-type]  # three
            setting.times_ms.append(1000 * (time.perf_counter() - start) / len(pictures))


def _process_mib() -> float:
    """What the process holds in memory; Linux alone tells."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next(
        (int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), float("nan")
    )


def _gpu_mib() -> float:
    """What is used of the first GPU's memory, by whomever."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return float("nan")


if __name__ == "__main__":
    main()
