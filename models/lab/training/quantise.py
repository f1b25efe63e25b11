"""Quantizes detectors to int8 for CPUs: static quantization (Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018), calibrated
on labelled images.

Weights are signed and symmetric, with a scale for each output channel; activations are unsigned,
with a zero point. The first convolution stays in float32, because three input channels are slower
in int8, and so do the outputs, which give px, and the decoding.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from facepaint.detectors.labels import LabelledImage, read_labels
from facepaint.detectors.onnx_graph import read_network
from facepaint.detectors.registry import read_weights
from facepaint.errors import InputError, UsageError
from facepaint.files import atomic_write
from models.lab.datasets.common import evenly
from models.lab.evaluation.detections import read_image
from models.layers import input_layers, name_nodes, output_layers

CALIBRATION_IMAGES = 64
"""More images hardly change the ranges of activations."""

QUANTISED = ["Conv", "Relu", "Add", "Resize", "MaxPool"]

STRIDE = 32

Floats = npt.NDArray[np.float32]


def quantise(weights: Path, data: Path, out: Path, images: int = CALIBRATION_IMAGES) -> None:
    """Write an int8 copy of a detector with facepaint's decoder.

    Args:
        weights: an ONNX file with one input of n x 3 x h x w float32, B, G, R, 0-255, of any n, h
            and w.
        data: a labelled folder; so many ``images`` of it give the ranges of activations.
        out: the file to write, atomically.

    Raises:
        InputError: the folder has no images, or the file is not a network.
        UsageError: the network cannot be quantized.
        UnreadableMedia: an image is missing or cannot be decoded.
    """
    labelled = read_labels(data)
    if not labelled:
        raise InputError(f"{data} has no images to calibrate with")
    # ONNX Runtime's own errors for a file of another kind are hard to understand.
    read_network(read_weights(weights), f"detector {weights}")
    chosen = evenly(labelled, images)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        prepared, draft = Path(folder, "prepared.onnx"), Path(folder, out.name)
        try:
            # Quantization expects inferred shapes and fused nodes.
            quant_pre_process(str(weights), str(prepared), skip_symbolic_shape=True)
            graph = _named(prepared)
            _quantise(prepared, draft, _Images(data, chosen, graph.input[0].name), graph)
        except (ValueError, RuntimeError, onnx.checker.ValidationError) as exc:
            raise UsageError(f"{weights} cannot be quantized: {exc}") from exc
        with atomic_write(out) as place:
            draft.replace(place)


def _named(path: Path) -> onnx.GraphProto:
    """The graph of a file, after every node got a name."""
    model = onnx.load(str(path))
    name_nodes(model.graph)
    onnx.save(model, str(path))
    return model.graph


def _quantise(
    source: Path, target: Path, images: quantization.CalibrationDataReader, graph: onnx.GraphProto
) -> None:
    quantization.quantize_static(
        str(source),
        str(target),
        images,
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=QUANTISED,
        per_channel=True,
        # Without VNNI products are summed in 16 bits, which overflow with weights of 8 bits.
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=[*input_layers(graph), *output_layers(graph)],
        calibrate_method=quantization.CalibrationMethod.MinMax,
        extra_options={"ActivationSymmetric": False},
    )


class _Images(quantization.CalibrationDataReader):
    """Images as the detector gets them, one at a time."""

    def __init__(self, folder: Path, images: Sequence[LabelledImage], name: str) -> None:
        self._folder, self._left, self._name = folder, iter(images), name

    def get_next(self) -> dict[str, Floats] | None:
        image = next(self._left, None)
        return {self._name: _padded(read_image(self._folder, image))} if image else None


def _padded(pixels: npt.NDArray[np.uint8]) -> Floats:
    """An image h x w x 3 as 1 x 3 x H x W, padded with 0 to multiples of the stride."""
    height, width = pixels.shape[:2]
    given = np.zeros(
        (1, 3, -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE), np.float32
    )
    given[0, :, :height, :width] = pixels.transpose(2, 0, 1)
    return given
