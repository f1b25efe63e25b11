"""Devices that a detector can run on, by our names and by ONNX Runtime's."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""ONNX Runtime's name for each device; https://onnxruntime.ai/docs/execution-providers tells their
options."""

GPUS = ("cuda", "tensorrt")
"""Devices that one process uses at a time, and that compute in float16."""

EXTRAS = {"cpu": "worker", "cuda": "gpu", "tensorrt": "gpu", "openvino": "openvino"}
"""The extra whose ONNX Runtime offers a device; it stands instead of the others."""
