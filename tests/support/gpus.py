"""Tests marked ``gpu`` are skipped, with a reason, where there is no GPU."""

import ctypes.util
import importlib.util

import onnxruntime
import pytest

from facepaint.devices import PROVIDERS
from facepaint.stack.components import has_gpu


def need_device(device: str) -> None:
    """Skip the test without an NVIDIA GPU or ONNX Runtime's provider for the device."""
    if PROVIDERS[device] not in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime does not offer {device}")
    if not has_gpu():
        pytest.skip("there is no NVIDIA GPU here")
    wheel = importlib.util.find_spec("tensorrt_libs")
    if device == "tensorrt" and wheel is None and ctypes.util.find_library("nvinfer") is None:
        pytest.skip("TensorRT is not installed")
