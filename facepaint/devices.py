"""Devices that a detector can run on, with their names in ONNX Runtime."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""ONNX Runtime's execution provider for each device, see
https://onnxruntime.ai/docs/execution-providers."""

GPUS = ("cuda", "tensorrt")
"""Devices that support float16 and are used by one process at a time."""

EXTRAS = {"cpu": "worker", "cuda": "gpu", "tensorrt": "gpu", "openvino": "openvino"}
"""The extra whose build of ONNX Runtime supports a device; these extras exclude each other."""
