"""Writes a network as one ONNX file with decoding inside, batch norms folded in, and any batch and
image size."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.lab.training.network import LOG_HALF_SIDES, STRIDES, ConvBlock, FaceNetwork

OPSET = 17
IR_VERSION = 8

FOLDED = "facepaint.heads"
"""Metadata key: the output convolutions are in px of the image, not strides; see `head_scales`."""

Floats = npt.NDArray[np.float32]


def export(network: FaceNetwork, path: Path) -> None:
    """Write the network to ``path``.

    Input ``image``: n x 3 x h x w float32, B, G, R, 0-255, sides multiples of 32. Outputs ``boxes``
    n x cells x 4 (x1, y1, x2, y2 in px), ``scores`` n x cells, ``landmarks`` n x cells x 10 px;
    cells of strides 8, 16, 32 concatenated, row by row. There is no suppression.
    """
    graph = _Graph()
    heads = _network_nodes(graph, network)
    _decoding_nodes(graph, heads)
    onnx.save(graph.model(), str(path))


def fused(block: ConvBlock) -> tuple[Floats, Floats]:
    """Weight and bias of the convolution that equals a block's convolution and batch norm."""
    norm = block.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = block.convolution.weight.double() * scale[:, None, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return weight.detach().float().cpu().numpy(), bias.detach().float().cpu().numpy()


def head_scales(stride: int) -> tuple[Floats, Floats]:
    """Factor and offset of a head's 16 channels that turn strides into px: centres, log half sizes,
    points.

    Folded into the output convolution they cost nothing; as operators they took a tenth of the
    time.
    """
    factor = np.ones(16, np.float32)
    factor[2:4] = factor[6:] = stride
    shift = np.zeros(16, np.float32)
    shift[4:6] = np.log(stride / 2)
    return factor, shift


class _Graph:
    """The nodes and weights of a graph; each node has the name of its only output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def constant(self, name: str, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        self._weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, operator: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def convolution(self, name: str, given: str, weight: Floats, bias: Floats, stride: int) -> str:
        kernel = weight.shape[-1]
        inputs = (
            given,
            self.constant(f"{name}.weight", weight),
            self.constant(f"{name}.bias", bias),
        )
        shape = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        return self.add("Conv", name, *inputs, **shape)

    def block(self, name: str, given: str, block: ConvBlock, residual: bool = False) -> str:
        weight, bias = fused(block)
        made = self.convolution(f"{name}.conv", given, weight, bias, block.convolution.stride[0])
        if residual:
            made = self.add("Add", f"{name}.sum", given, made)
        return self.add("Relu", name, made)

    def model(self) -> onnx.ModelProto:
        def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))

        outputs = [
            value("boxes", "n", "cells", 4),
            value("scores", "n", "cells"),
            value("landmarks", "n", "cells", 10),
        ]
        graph = helper.make_graph(
            self.nodes, "facepaint", [value("image", "n", 3, "h", "w")], outputs, self._weights
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="facepaint"
        )
        helper.set_model_props(model, {FOLDED: "px"})
        # A wrong graph fails here, not on a worker.
        onnx.checker.check_model(model)
        return model


def _network_nodes(graph: _Graph, network: FaceNetwork) -> list[str]:
    features = "image"
    for row, block in enumerate(network.stem):
        features = graph.block(f"stem.{row}", features, _block(block))
    found = []
    for stride, level in zip(STRIDES, network.levels, strict=True):
        for row, block in enumerate(level):
            residual = row >= network.architecture.depths[STRIDES.index(stride)]
            features = graph.block(f"level{stride}.{row}", features, _block(block), residual)
        found.append(features)
    twice = graph.constant("twice", [1, 1, 2, 2])
    merged = ""
    pyramid: dict[int, str] = {}
    for stride, lateral, below in zip(
        reversed(STRIDES), reversed(network.laterals), reversed(found), strict=True
    ):
        here = graph.block(f"lateral{stride}", below, _block(lateral))
        if merged:
            sampling = {
                "mode": "nearest",
                "nearest_mode": "floor",
                "coordinate_transformation_mode": "asymmetric",
            }
            larger = graph.add("Resize", f"larger{stride}", merged, "", twice, **sampling)
            here = graph.add("Add", f"merged{stride}", here, larger)
        merged = pyramid[stride] = here
    heads = []
    for stride, head, output in zip(STRIDES, network.heads, network.outputs, strict=True):
        features = graph.block(f"head{stride}", pyramid[stride], _block(head))
        factor, shift = head_scales(stride)
        weight = output.weight.detach().cpu().numpy() * factor[:, None, None, None]
        bias = output.bias.detach().cpu().numpy() * factor + shift
        heads.append(graph.convolution(f"output{stride}", features, weight, bias, 1))
    return heads


def _block(module: object) -> ConvBlock:
    assert isinstance(module, ConvBlock)
    return module


def _decoding_nodes(graph: _Graph, heads: list[str]) -> None:
    """Heads in px to boxes, scores and landmarks, channels first until the end for speed."""
    add, constant = graph.add, graph.constant
    cells = constant("cells", [0, 16, -1], np.int64)
    flat = [
        add("Reshape", f"flat{stride}", head, cells)
        for stride, head in zip(STRIDES, heads, strict=True)
    ]
    raw = add("Concat", "raw", *flat, axis=2)
    origins = add("Concat", "origins", *(_origins(graph, stride) for stride in STRIDES), axis=1)
    box_origin = add("Gather", "box_origin", origins, constant("xy", [1, 0], np.int64), axis=0)
    point_origin = add(
        "Gather", "point_origin", origins, constant("xy5", [1, 0] * 5, np.int64), axis=0
    )

    parts = ["class", "object", "centre", "size", "points"]
    sizes = constant("parts", [1, 1, 2, 2, 10], np.int64)
    graph.nodes.append(helper.make_node("Split", [raw, sizes], parts, name="split", axis=1))
    likely = add(
        "Mul", "likely", add("Sigmoid", "class_p", "class"), add("Sigmoid", "object_p", "object")
    )
    add("Squeeze", "scores", add("Sqrt", "score", likely), constant("one", [1], np.int64))

    centre = add("Add", "centre_px", "centre", box_origin)
    least, most = (
        constant(name, limit) for name, limit in zip(("least", "most"), LOG_HALF_SIDES, strict=True)
    )
    limited = add("Clip", "limited", "size", least, most)
    half = add("Exp", "half", limited)
    corners = add(
        "Concat",
        "corners",
        add("Sub", "first", centre, half),
        add("Add", "second", centre, half),
        axis=1,
    )
    add("Transpose", "boxes", corners, perm=[0, 2, 1])
    add("Transpose", "landmarks", add("Add", "points_px", "points", point_origin), perm=[0, 2, 1])


def _origins(graph: _Graph, stride: int) -> str:
    """For each cell of a stride y and x of its corner in px: 2 x cells, from the image's size."""
    add, constant = graph.add, graph.constant
    if stride == STRIDES[0]:
        add("Shape", "sides", "image", start=2)
    grid = add(
        "Div", f"grid{stride}", "sides", constant(f"stride{stride}", [stride, stride], np.int64)
    )
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    everywhere = add("ConstantOfShape", f"everywhere{stride}", grid, value=one)
    rows = add(
        "Cast", f"rows{stride}", add("NonZero", f"places{stride}", everywhere), to=TensorProto.FLOAT
    )
    return add("Mul", f"origins{stride}", rows, constant(f"px{stride}", stride))
