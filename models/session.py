"""The seam to ONNX Runtime: opens a network on one device with one fixed input shape, and runs it."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

# ONNX Runtime 1.29 and later send telemetry to its maker unless told not to before the first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from facepaint.errors import DeviceError, UsageError

Device = Literal["auto", "cpu", "cuda"]
Floats = npt.NDArray[np.float32]

BATCHES = {"cpu": 1, "cuda": 16}
"""Pictures a device is given at once, unless told otherwise."""


class Session:
    """A network with one input of n x 3 x height x width float32, opened on one device with one fixed input shape.

    Make it after a fork. ``device`` says where it really runs: a device asked for by name and absent is an error,
    never a quiet fallback. Write pictures into ``input``, which starts as 0 and stays yours, then call `run`.
    """

    def __init__(
        self,
        weights: Path,
        height: int,
        width: int,
        device: Device = "auto",
        threads: int = 1,
        batch: int | None = None,
    ) -> None:
        """
        Raises:
            UsageError: the file is no network that ONNX Runtime can run.
            DeviceError: the device asked for is not there.
        """
        self._session, self.device = _open(weights, device, threads)
        self.batch = batch or BATCHES[self.device]
        self.input: Floats = np.zeros((self.batch, 3, height, width), np.float32)
        self._feed = {self._session.get_inputs()[0].name: self.input}
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self) -> dict[str, Floats]:
        """What the network makes of ``input``: each of its outputs by name, a row for each picture of the batch."""
        return dict(zip(self.outputs, self._session.run(self.outputs, self._feed), strict=True))


def check_device(device: Device) -> None:
    """Raise `DeviceError` if a device asked for by name is not offered here."""
    _providers(device)


def _open(weights: Path, device: Device, threads: int) -> tuple[ort.InferenceSession, str]:
    wanted = _providers(device)
    options = ort.SessionOptions()
    # Left alone, ONNX Runtime makes a thread for each core of the host, not of the container.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(weights), options, providers=wanted)
    except Exception as exc:  # the runtime has types of its own for every kind of bad file
        raise UsageError(f"the weights at {weights} do not load: {exc}") from exc
    # A provider can be listed and still fail to load, without a word.
    used = "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
    if device == "cuda" and used != "cuda":
        raise DeviceError(
            "device 'cuda' was asked for, but ONNX Runtime could not load it; `facepaint doctor` says why"
        )
    return session, used


def _providers(device: Device) -> list[str]:
    available = ort.get_available_providers()
    if "CUDAExecutionProvider" in available and device != "cpu":
        ort.preload_dlls(directory="")
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    if device == "cuda":
        raise DeviceError(
            "device 'cuda' was asked for, but this ONNX Runtime offers only the CPU: "
            "install the extra 'gpu' instead of 'worker', or use --device cpu"
        )
    return ["CPUExecutionProvider"]
