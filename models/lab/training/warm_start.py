"""Continues from exported weights: reads them from an ONNX file and restores the batch norms."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from facepaint.detectors.registry import read_weights
from facepaint.errors import UsageError
from models.lab.training.export import FOLDED, head_scales
from models.lab.training.network import (
    LANDMARKS,
    STRIDES,
    Architecture,
    ConvBlock,
    FaceNetwork,
    layers_in_order,
)


@dataclass(frozen=True, slots=True)
class _Convolution:
    weight: Tensor
    bias: Tensor
    stride: int
    residual: bool


def load_exported(path: Path, calibration: Iterable[Tensor], wanted: Architecture) -> FaceNetwork:
    """A network that computes the same as the ONNX file, with batch norms that can be trained.

    Exported convolutions have their batch norm folded in. To restore it, the mean and variance of
    each convolution's output are measured over ``calibration``, and the norm and the weights are
    set so that the two cancel.

    Args:
        calibration: batches of images, n x 3 x h x w, as in training.
        wanted: its additional residual layers and head channels are added, and compute nothing at
            first; all else is as in the file.

    Raises:
        UsageError: the file does not load, or was not exported by facepaint.
    """
    try:
        convolutions = _convolutions(path)
        loaded = FaceNetwork(_architecture(convolutions))
        with torch.no_grad():
            for layer, convolution in zip(layers_in_order(loaded), convolutions, strict=True):
                _set(layer, convolution)
    except Exception as exc:  # onnx and torch have many for a file of another graph
        raise UsageError(
            f"{path}: not a detector that `facepaint detectors export` wrote ({exc}); train "
            "without --from"
        ) from exc
    _restore_batch_norm(loaded, calibration)
    own = loaded.architecture
    residuals = tuple(max(pair) for pair in zip(wanted.residuals, own.residuals, strict=True))
    head = max(wanted.head, own.head)
    larger = replace(own, residuals=residuals, head=head)  # type: ignore[arg-type]  # three numbers
    return _grown(loaded, larger)


def _grown(network: FaceNetwork, architecture: Architecture) -> FaceNetwork:
    """A larger network that computes the same."""
    larger = FaceNetwork(architecture)
    with torch.no_grad():
        # Additional head channels must not change the outputs.
        for output in larger.outputs:
            output.weight.zero_()
        state = larger.state_dict()
        for name, value in network.state_dict().items():
            state[name][tuple(slice(side) for side in value.shape)].copy_(value)
    return larger


def _convolutions(path: Path) -> list[_Convolution]:
    """The convolutions of a file, in their order; the outputs in strides, not px."""
    model = onnx.load_from_string(read_weights(path))
    if not any(entry.key == FOLDED for entry in model.metadata_props):
        raise ValueError("its heads are not in px")
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
    }
    # A residual layer is added to its input.
    added = {name for node in _nodes(model, "Add") for name in node.input}
    convolutions = [
        _convolution(node, weights, node.output[0] in added) for node in _nodes(model, "Conv")
    ]
    outputs = [row for row, each in enumerate(convolutions) if len(each.weight) == LANDMARKS.stop]
    for row, px in zip(outputs[-len(STRIDES) :], STRIDES, strict=True):
        convolutions[row] = _in_strides(convolutions[row], px)
    return convolutions


def _nodes(model: onnx.ModelProto, operator: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == operator]


def _convolution(
    node: onnx.NodeProto, weights: Mapping[str, Tensor], residual: bool
) -> _Convolution:
    weight, bias = (weights[name] for name in node.input[1:])
    strides = next(each.ints for each in node.attribute if each.name == "strides")
    return _Convolution(weight, bias, strides[0], residual)


def _in_strides(convolution: _Convolution, stride: int) -> _Convolution:
    """An output convolution in px as one in strides."""
    factor, shift = (torch.from_numpy(values) for values in head_scales(stride))
    weight = convolution.weight / factor[:, None, None, None]
    return replace(convolution, weight=weight, bias=(convolution.bias - shift) / factor)


def _architecture(convolutions: list[_Convolution]) -> Architecture:
    first, second, third = (int(convolution.weight.shape[0]) for convolution in convolutions[:3])
    depths, residuals = [0, 0, 0], [0, 0, 0]
    level = -1
    for convolution in convolutions[3:]:
        # The first 1x1 convolution is a lateral one, behind the last level.
        if convolution.weight.shape[-1] == 1:
            break
        # Each level starts with the only convolution of stride 2 in it.
        level += convolution.stride == 2
        (residuals if convolution.residual else depths)[level] += 1
    channels, head = (int(convolutions[row].weight.shape[0]) for row in (3, -2))
    return Architecture(
        (first, second, third),
        channels,
        tuple(depths),  # type: ignore[arg-type]
        tuple(residuals),  # type: ignore[arg-type]
        head,
    )


def _set(layer: ConvBlock | nn.Conv2d, convolution: _Convolution) -> None:
    if isinstance(layer, nn.Conv2d):
        assert layer.bias is not None
        layer.weight.copy_(convolution.weight)
        layer.bias.copy_(convolution.bias)
        return
    norm = layer.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    layer.convolution.weight.copy_(convolution.weight)
    # The norm only adds the bias until its moments are measured.
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)
    norm.weight.fill_(1.0)
    norm.bias.copy_(convolution.bias)


def _restore_batch_norm(network: FaceNetwork, calibration: Iterable[Tensor]) -> None:
    moments = [
        _Moments(layer) for layer in layers_in_order(network) if isinstance(layer, ConvBlock)
    ]
    network.eval()
    with torch.no_grad():
        for images in calibration:
            network(images)
        for moment in moments:
            moment.restore()


class _Moments:
    """Mean and variance of a block's convolution, channel by channel."""

    def __init__(self, block: ConvBlock) -> None:
        self._block = block
        self._count = 0
        self._sum = torch.zeros(block.norm.num_features, dtype=torch.float64)
        self._squares = torch.zeros_like(self._sum)
        self._hook = block.convolution.register_forward_hook(self._measure)

    def _measure(self, layer: nn.Module, given: object, output: Tensor) -> None:
        self._count += output.numel() // output.shape[1]
        self._sum += output.sum((0, 2, 3), dtype=torch.float64)
        self._squares += output.double().square().sum((0, 2, 3))

    def restore(self) -> None:
        """Set the norm to these moments, so that it returns its input plus the bias it has.

        The weights get the norm of freshly initialized ones. Folded weights may be so small, in the
        first layer above all, whose input goes to 255, that the first steps of the optimizer would
        erase them.
        """
        self._hook.remove()
        norm, weight = self._block.norm, self._block.convolution.weight
        assert norm.running_mean is not None
        assert norm.running_var is not None
        length = (weight.double().square().sum((1, 2, 3)) / 2).sqrt().clamp_min(1e-12)
        mean = self._sum / self._count
        variance = (self._squares / self._count - mean.square()).clamp_min(0) / length.square()
        weight.div_(length[:, None, None, None])
        norm.weight.copy_((variance + norm.eps).sqrt() * length)
        norm.bias.add_(mean)
        norm.running_mean.copy_(mean / length)
        norm.running_var.copy_(variance)
