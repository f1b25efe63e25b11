"""Where a network can run, and what ONNX Runtime is told for each place. Pure: nothing is loaded
here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from facepaint.devices import EXTRAS, GPUS, PROVIDERS, Device
from facepaint.errors import DeviceError, UsageError

Options = Mapping[str, str | bool]

BATCHES = {"cpu": 4, "cuda": 16, "tensorrt": 16, "openvino": 1}
"""Pictures a device is given at once, unless told otherwise.

On a CPU 4 take 5 % less time a picture than 1 at 320x192, and no more than 8 do; at 640x384 it is
all one.
"""


@dataclass(frozen=True, slots=True)
class Runtime:
    """How networks are run.

    Attributes:
        device: ``auto`` is CUDA where it is there, else the CPU; the others are used or refused.
        threads: of the CPU, for one network.
        batch: pictures at once; None is what `BATCHES` says.
        float16: compute in half precision, but for decoding; only on `GPUS`.
    """

    device: Device = "auto"
    threads: int = 1
    batch: int | None = None
    float16: bool = False


AUTO = Runtime()


def devices_for(runtime: Runtime, listed: Collection[str]) -> list[str]:
    """The devices to try, in order, where ONNX Runtime lists these providers.

    Raises:
        DeviceError: the device asked for is not among them; the message says which are.
        UsageError: float16 is asked for where it cannot be.
    """
    there = [device for device, provider in PROVIDERS.items() if provider in listed]
    wanted: list[str]
    if runtime.device == "auto":
        wanted = [device for device in ("cuda", "cpu") if device in there]
    elif runtime.device in there:
        wanted = [runtime.device]
    else:
        raise DeviceError(
            f"device '{runtime.device}' was asked for, but this ONNX Runtime offers only "
            f"{_offer(there)}: "
            f"install the extra '{EXTRAS[runtime.device]}' instead of 'worker', or use --device cpu"
        )
    if runtime.float16:
        wanted = [device for device in wanted if device in GPUS]
        if not wanted:
            raise UsageError(
                "float16 needs the device cuda or tensorrt: use one, or set FACEPAINT_FLOAT16=false"
            )
    return wanted


def providers_for(
    device: str, runtime: Runtime, engines: Path, name: str
) -> list[tuple[str, Options]]:
    """What ONNX Runtime is to be given: the device's provider and those for what that one cannot
    do, with options.

    Args:
        engines: the folder in which TensorRT keeps what it has built.
        name: of the network with these weights and sizes, in the names of files there. TensorRT
            tells engines apart by the graph alone, so another training's weights would be run with
            the old ones.
    """
    cpu: tuple[str, Options] = (PROVIDERS["cpu"], {})
    cuda: tuple[str, Options] = (
        PROVIDERS["cuda"],
        {
            # One fixed shape: the search is made once, at the first run, and the arena need not
            # grow in advance.
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "arena_extend_strategy": "kSameAsRequested",
        },
    )
    tensorrt: tuple[str, Options] = (
        PROVIDERS["tensorrt"],
        {
            "trt_fp16_enable": runtime.float16,
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(engines),
            "trt_engine_cache_prefix": name,
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(engines),
        },
    )
    # Left to itself, OpenVINO takes bfloat16 where the CPU has it, so results would depend on the
    # machine.
    openvino: tuple[str, Options] = (
        PROVIDERS["openvino"],
        {"device_type": "CPU", "num_of_threads": str(runtime.threads), "precision": "FP32"},
    )
    return {
        "cpu": [cpu],
        "cuda": [cuda, cpu],
        "tensorrt": [tensorrt, cuda, cpu],
        "openvino": [openvino, cpu],
    }[device]


def _offer(devices: list[str]) -> str:
    return "the CPU" if devices == ["cpu"] else " and ".join(devices)
