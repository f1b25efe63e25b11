"""Runs networks with ONNX Runtime, each on one device with one fixed input shape."""

import contextlib
import ctypes
import hashlib
import importlib.util
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from facepaint.detectors.onnx_graph import with_sizes
from facepaint.devices import GPUS, PROVIDERS, Device
from facepaint.errors import DeviceError, FacepaintError, UsageError
from facepaint.settings import cache_folder
from models.providers import AUTO, BATCHES, Runtime, devices_for, providers_for

Floats = npt.NDArray[np.float32]

ONLY_ERRORS = 3
"""Log severity: users cannot fix what the runtime warns about in other people's networks."""


class Session:
    """A network with one input of n x 3 x height x width float32, on one device.

    Create it after a fork. ``device`` is the one that it really runs on: a device that is requested
    by name and missing is an error, never a silent fallback. Write images into ``input``, which
    starts as 0, then call `run`.

    The sizes are written into the network before it is opened. What depends on them is then
    computed once (2 to 4 % of the time on a CPU), a GPU does not wait for shapes, and TensorRT
    builds one engine.
    """

    def __init__(
        self,
        weights: Path | bytes,
        height: int,
        width: int,
        runtime: Runtime,
        max_batch: int | None = None,
    ) -> None:
        """
        Args:
            max_batch: images that the network accepts at once; None for any number.

        Raises:
            UsageError: the file is not a network that ONNX Runtime can run.
            DeviceError: the requested device is missing.
        """
        network = weights if isinstance(weights, bytes) else weights.read_bytes()
        where = "" if isinstance(weights, bytes) else f" at {weights}"
        self._session, self.device = _open(network, (height, width), runtime, max_batch, where)
        self.batch = _batch(self.device, runtime, max_batch)
        self.input: Floats = np.zeros((self.batch, 3, height, width), np.float32)
        self._name = self._session.get_inputs()[0].name
        self._any_number = self._session.get_inputs()[0].shape[0] != self.batch
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, images: int | None = None) -> dict[str, Floats]:
        """The outputs for the first ``images`` of ``input``, by default for all, by name.

        Outputs have a row for each image, and may have more: a GPU keeps its one shape.
        """
        batch = self.input[:images] if self._any_number else self.input
        return dict(
            zip(self.outputs, self._session.run(self.outputs, {self._name: batch}), strict=True)
        )


def is_for_gpu(runtime: Runtime) -> bool:
    """Whether a GPU is tried first; errors are those of `check_device`."""
    return devices_for(runtime, ort.get_available_providers())[0] in GPUS


def check_device(device: Device, float16: bool = False) -> None:
    """Raise `DeviceError` if a device requested by name is missing, `UsageError` if it has no
    float16."""
    devices_for(Runtime(device, float16=float16), ort.get_available_providers())


def _batch(device: str, runtime: Runtime, max_batch: int | None) -> int:
    return min(runtime.batch or BATCHES[device], max_batch or BATCHES[device] * 64)


def _open(
    network: bytes, size: tuple[int, int], runtime: Runtime, max_batch: int | None, where: str
) -> tuple[ort.InferenceSession, str]:
    """The session, and the device that it really runs on."""
    fault: Exception | None = None
    tried = devices_for(runtime, ort.get_available_providers())
    for device in tried:
        prepared = network
        try:
            prepared = _prepared(network, device, size, runtime, max_batch)
            session = _open_on(device, prepared, runtime)
        except FacepaintError:
            raise
        except Exception as exc:  # noqa: BLE001 - the runtime has types of its own for every fault
            fault = exc
            _raise_if_weights_are_at_fault(device, prepared, exc, where)
            continue
        # A provider can be listed and still silently fail to load.
        if session.get_providers()[0] == PROVIDERS[device]:
            return session, device
    why = f": {in_one_line(fault)}" if fault else ""
    raise DeviceError(
        f"device '{tried[-1]}' was requested, but ONNX Runtime could not load it{why}; "
        "run `facepaint doctor` for more"
    ) from fault


def _prepared(
    network: bytes, device: str, size: tuple[int, int], runtime: Runtime, max_batch: int | None
) -> bytes:
    """The network with fixed sizes, and in float16 if asked for."""
    batch: int | None = _batch(device, runtime, max_batch)
    if device == "cpu" and batch != 1:
        # A CPU runs any number equally well, so the last batch may be smaller.
        batch = None
    sized = with_sizes(network, batch, *size)
    # TensorRT converts to float16 itself.
    return _in_float16(sized) if device == "cuda" and runtime.float16 else sized


def _raise_if_weights_are_at_fault(
    device: str, network: bytes, fault: Exception, where: str
) -> None:
    """Raise `UsageError` if a network opens on no device; else the device is at fault."""
    own_fault = fault if device == "cpu" else _fault_on_cpu(network)
    if own_fault:
        raise UsageError(f"the weights{where} do not load: {in_one_line(own_fault)}") from own_fault


def in_one_line(fault: Exception) -> str:
    """An error's text without line breaks."""
    return " ".join(str(fault).split())


def _fault_on_cpu(network: bytes) -> Exception | None:
    """The error with which a network opens on no device at all; None if it opens on the CPU."""
    try:
        _open_on("cpu", network, AUTO)
    except Exception as exc:  # noqa: BLE001 - as in `_open`
        return exc
    return None


def _open_on(device: str, network: bytes, runtime: Runtime) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # By default ONNX Runtime starts a thread for each core of the host, not of the container.
    options.intra_op_num_threads = runtime.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ONLY_ERRORS
    engines = cache_folder() / "tensorrt" / f"onnxruntime-{ort.__version__}"
    if device == "tensorrt":
        engines.mkdir(parents=True, exist_ok=True)
    chain = providers_for(device, runtime, engines, hashlib.sha256(network).hexdigest()[:16])
    load_libraries([name for name, _ in chain])
    # With its own fallback ONNX Runtime would use another device, with only a line on stdout.
    return ort.InferenceSession(network, options, providers=chain, enable_fallback=0)


def _in_float16(network: bytes) -> bytes:
    try:
        from models.float16 import with_float16
    except ImportError as exc:
        raise DeviceError(
            "float16 on the device cuda needs the package onnx: pip install 'onnx>=1.17,<2', "
            "or use --device tensorrt"
        ) from exc
    try:
        return with_float16(network)
    except Exception as exc:  # other people's networks may break any assumption
        raise UsageError(
            f"the weights cannot be converted to float16: {in_one_line(exc)}; turn it off"
        ) from exc


def load_libraries(providers: Collection[str]) -> None:
    """Load the libraries of these providers from wheels, where the system does not search."""
    if PROVIDERS["cuda"] in providers:
        ort.preload_dlls(directory="")
    if PROVIDERS["tensorrt"] in providers:
        _load_tensorrt()


def _load_tensorrt() -> None:
    wheel = importlib.util.find_spec("tensorrt_libs")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        for name in ("libnvinfer.so.*", "libnvinfer_plugin.so.*", "libnvonnxparser.so.*"):
            for library in sorted(Path(folder).glob(name)):
                # ONNX Runtime reports what is missing, in its own words.
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
