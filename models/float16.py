"""Converts networks to half precision for GPUs: half the memory traffic, and several times the
arithmetic throughput."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.layers import name_nodes, output_layers

KEPT_INPUTS = {"Resize": slice(1, None), "Upsample": slice(1, None)}
"""Inputs that an operator takes in float32 even if its images are float16."""


def with_float16(network: bytes) -> bytes:
    """An ONNX file that computes in float16; inputs and outputs stay in float32.

    So do the last convolutions and the decoding, because they give px: at 1000 px float16 has steps
    of 0.5 px.
    """
    model = onnx.load_from_string(network)
    name_nodes(model.graph)
    _gather_constants(model.graph)
    halved = _Halved(onnx.shape_inference.infer_shapes(model).graph)
    nodes = list(halved.nodes())
    graph = helper.make_graph(
        nodes,
        model.graph.name,
        model.graph.input,
        model.graph.output,
        [*model.graph.initializer, *halved.weights],
    )
    model.graph.CopyFrom(graph)
    return bytes(model.SerializeToString())


def _gather_constants(graph: onnx.GraphProto) -> None:
    """Turn constant nodes into initializers, so that all weights are of one kind."""
    rest = []
    for node in graph.node:
        tensors = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        if node.op_type == "Constant" and tensors:
            tensors[0].name = node.output[0]
            graph.initializer.append(tensors[0])
        else:
            rest.append(node)
    del graph.node[:]
    graph.node.extend(rest)


class _Halved:
    """Rewrites the nodes of a graph in order; ``weights`` are the converted ones."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        outputs = {value.name for value in graph.output}
        # The outputs' types are part of the interface and stay float32.
        makes_outputs = {node.name for node in graph.node if outputs & set(node.output)}
        self._kept = makes_outputs | set(output_layers(graph))
        values = [*graph.input, *graph.value_info, *graph.output]
        self._floats = {
            value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT
        }
        self._originals = {tensor.name: tensor for tensor in graph.initializer}
        self._halves: set[str] = set()
        self._made: set[str] = set()
        self.weights: list[onnx.TensorProto] = []

    def nodes(self) -> Iterator[onnx.NodeProto]:
        """The nodes, with casts between those in float16 and those that stay in float32."""
        for node in self._graph.node:
            half = node.name not in self._kept
            for row, name in enumerate(node.input):
                if half and name in self._originals and not _is_kept(node, row):
                    node.input[row] = self._converted(name)
                # A value changes its type between nodes of different precision.
                elif name in self._floats and half != (name in self._halves):
                    node.input[row] = f"{name}_float{16 if half else 32}"
                    yield from self._cast(name, node.input[row], half)
            if half:
                self._halves |= self._floats & set(node.output)
            yield node

    def _cast(self, source: str, target: str, half: bool) -> Iterator[onnx.NodeProto]:
        """The node that converts a value, once for all that use it."""
        if target in self._made:
            return
        self._made.add(target)
        to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        yield helper.make_node("Cast", [source], [target], name=target, to=to)

    def _converted(self, name: str) -> str:
        """The name of a weight in float16; its own if it is no float."""
        tensor = self._originals[name]
        if tensor.data_type != TensorProto.FLOAT:
            return name
        converted = f"{name}_float16"
        if converted not in self._made:
            self._made.add(converted)
            values = numpy_helper.to_array(tensor).astype(np.float16)
            self.weights.append(numpy_helper.from_array(values, converted))
        return converted


def _is_kept(node: onnx.NodeProto, row: int) -> bool:
    """Whether an operator takes this input in float32 even if its images are float16."""
    return row in range(len(node.input))[KEPT_INPUTS.get(node.op_type, slice(0, 0))]
