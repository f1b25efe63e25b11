"""The seam to ONNX Runtime: opens a network on one device with one fixed input shape, and runs
it."""

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
"""Whoever brings a network of others cannot mend what its exporter did less than well."""


class Session:
    """A network with one input of n x 3 x height x width float32, opened on one device with one
    fixed input shape.

    Make it after a fork. ``device`` says where it really runs: a device asked for by name and
    absent is an error, never a quiet fallback. Write pictures into ``input``, which starts as 0 and
    stays yours, then call `run`.

    The sizes are written into the network before it is opened: everything that follows from them is
    then computed once (2 to 4 % of the time on a CPU), a GPU is not kept waiting by shapes, and
    TensorRT builds one engine.
    """

    def __init__(
        self,
        weights: Path | bytes,
        height: int,
        width: int,
        runtime: Runtime,
        most: int | None = None,
    ) -> None:
        """
        Args:
            most: pictures that the network takes at once; None: as many as one likes.

        Raises:
            UsageError: the file is no network that ONNX Runtime can run.
            DeviceError: the device asked for is not there.
        """
        network = weights if isinstance(weights, bytes) else weights.read_bytes()
        where = "" if isinstance(weights, bytes) else f" at {weights}"
        self._session, self.device = _open(network, (height, width), runtime, most, where)
        self.batch = _batch(self.device, runtime, most)
        self.input: Floats = np.zeros((self.batch, 3, height, width), np.float32)
        self._name = self._session.get_inputs()[0].name
        self._any_number = self._session.get_inputs()[0].shape[0] != self.batch
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, pictures: int | None = None) -> dict[str, Floats]:
        """What the network makes of the first ``pictures`` of ``input``, of all by default: each
        output by its name.

        Outputs have a row for each picture, and may have more: a GPU keeps to its one shape.
        """
        batch = self.input[:pictures] if self._any_number else self.input
        return dict(
            zip(self.outputs, self._session.run(self.outputs, {self._name: batch}), strict=True)
        )


def is_for_gpu(runtime: Runtime) -> bool:
    """Whether a GPU is the first device that would be tried; see `check_device` for errors."""
    return devices_for(runtime, ort.get_available_providers())[0] in GPUS


def check_device(device: Device, float16: bool = False) -> None:
    """Raise `DeviceError` if a device asked for by name is not offered here, `UsageError` if it has
    no float16."""
    devices_for(Runtime(device, float16=float16), ort.get_available_providers())


def _batch(device: str, runtime: Runtime, most: int | None) -> int:
    return min(runtime.batch or BATCHES[device], most or BATCHES[device] * 64)


def _open(
    network: bytes, size: tuple[int, int], runtime: Runtime, most: int | None, where: str
) -> tuple[ort.InferenceSession, str]:
    """The session, and the device it really runs on."""
    fault: Exception | None = None
    tried = devices_for(runtime, ort.get_available_providers())
    for device in tried:
        batch, sized = _batch(device, runtime, most), network
        try:
            # A CPU takes any number of pictures equally well, so the last batch may be smaller.
            sized = with_sizes(network, None if device == "cpu" and batch > 1 else batch, *size)
            if device == "cuda" and runtime.float16:
                sized = _in_float16(sized)
            session = _open_on(device, sized, runtime)
        except FacepaintError:
            raise
        except Exception as exc:  # noqa: BLE001 - the runtime has types of its own for every kind of bad file
            own = exc if device == "cpu" else _fault_on_cpu(sized)
            if own:
                raise UsageError(f"the weights{where} do not load: {in_one_line(own)}") from own
            fault = exc
            continue
        # A provider can be listed and still fail to load, without a word.
        if session.get_providers()[0] == PROVIDERS[device]:
            return session, device
    why = f": {in_one_line(fault)}" if fault else ""
    raise DeviceError(
        f"device '{tried[-1]}' was asked for, but ONNX Runtime could not load it{why}; "
        "`facepaint doctor` says more"
    ) from fault


def in_one_line(fault: Exception) -> str:
    """What went wrong, as our messages tell it."""
    return " ".join(str(fault).split())


def _fault_on_cpu(network: bytes) -> Exception | None:
    """What keeps a network from opening on any device; None if that is the device's fault, which
    may be mended."""
    try:
        _open_on("cpu", network, AUTO)
    except Exception as exc:  # noqa: BLE001 - as above
        return exc
    return None


def _open_on(device: str, network: bytes, runtime: Runtime) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # Left alone, ONNX Runtime makes a thread for each core of the host, not of the container.
    options.intra_op_num_threads = runtime.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ONLY_ERRORS
    engines = cache_folder() / "tensorrt" / f"onnxruntime-{ort.__version__}"
    if device == "tensorrt":
        engines.mkdir(parents=True, exist_ok=True)
    chain = providers_for(device, runtime, engines, hashlib.sha256(network).hexdigest()[:16])
    load_libraries([name for name, _ in chain])
    # With its own fallback ONNX Runtime would go on with another device, and say so on standard
    # output.
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
    except (
        Exception
    ) as exc:  # it is written for detectors, and a stranger's network can be anything
        raise UsageError(
            f"the weights cannot be computed in float16: {in_one_line(exc)}; leave it off"
        ) from exc


def load_libraries(providers: Collection[str]) -> None:
    """Load what these providers need from wheels: it lies where no system looks, and is found once
    loaded."""
    if PROVIDERS["cuda"] in providers:
        ort.preload_dlls(directory="")
    if PROVIDERS["tensorrt"] in providers:
        _load_tensorrt()


def _load_tensorrt() -> None:
    wheel = importlib.util.find_spec("tensorrt_libs")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        for name in ("libnvinfer.so.*", "libnvinfer_plugin.so.*", "libnvonnxparser.so.*"):
            for library in sorted(Path(folder).glob(name)):
                # What cannot be loaded is told by ONNX Runtime, once it misses it.
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
