"""The devices that a network can run on, and ONNX Runtime's options for each. Pure: it loads
nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from facepaint.devices import EXTRAS, GPUS, PROVIDERS, Device
from facepaint.errors import DeviceError, UsageError

Options = Mapping[str, str | bool]

BATCHES = {"cpu": 4, "cuda": 16, "tensorrt": 16, "openvino": 1}
"""The default batch size of each device.

On a CPU a batch of 4 takes 5 % less time per image than 1 at 320x192, and 8 gain nothing more; at
640x384 there is no difference.
"""


@dataclass(frozen=True, slots=True)
class Runtime:
    """How networks are run.

    Attributes:
        device: ``auto`` is CUDA if it is available, else the CPU; any other is used or an error.
        threads: CPU threads of one network.
        batch: images at once; None takes it from `BATCHES`.
        float16: compute in half precision, except for decoding; only on `GPUS`.
    """

    device: Device = "auto"
    threads: int = 1
    batch: int | None = None
    float16: bool = False


AUTO = Runtime()


def devices_for(runtime: Runtime, listed: Collection[str]) -> list[str]:
    """The devices to try, in order, if ONNX Runtime lists these providers.

    Raises:
        DeviceError: the requested device is missing; the message lists the available ones.
        UsageError: float16 is requested on a device without it.
    """
    available = [device for device, provider in PROVIDERS.items() if provider in listed]
    wanted: list[str]
    if runtime.device == "auto":
        wanted = [device for device in ("cuda", "cpu") if device in available]
    elif runtime.device in available:
        wanted = [runtime.device]
    else:
        raise DeviceError(
            f"device '{runtime.device}' was requested, but this ONNX Runtime offers only "
            f"{_offer(available)}: "
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
    """The device's provider and its fallbacks for unsupported operators, with their options.

    Args:
        engines: the folder for TensorRT's engines.
        name: identifies the network's weights and sizes in the names of files there. TensorRT
            distinguishes engines by the graph alone, and would run new weights with an old engine.
    """
    cpu: tuple[str, Options] = (PROVIDERS["cpu"], {})
    cuda: tuple[str, Options] = (
        PROVIDERS["cuda"],
        {
            # With one fixed shape the search runs once, and the arena need not grow in advance.
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
    # By default OpenVINO uses bfloat16 if the CPU has it, and results depend on the machine.
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
