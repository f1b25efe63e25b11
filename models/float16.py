"""Networks in half precision, for GPUs: half the memory traffic, and instructions that are several
times as fast."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.layers import name_nodes, output_layers

KEPT_INPUTS = {"Resize": slice(1, None), "Upsample": slice(1, None)}
"""Inputs that an operator takes in float32 whatever its pictures are."""


def with_float16(network: bytes) -> bytes:
    """An ONNX file that computes in float16, with the same inputs and outputs as before, in
    float32.

    The last convolutions and the decoding stay in float32: they give px, and float16 has steps of
    0.5 px at 1000 px.
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
    """Make initializers of nodes that are constants, so that there is one kind of both."""
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
    """Goes through a graph in order and rewrites its nodes; ``weights`` are those it has made
    smaller."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        given = {value.name for value in graph.output}
        makes_outputs = {node.name for node in graph.node if given & set(node.output)}
        self._kept = makes_outputs | set(output_layers(graph))
        values = [*graph.input, *graph.value_info, *graph.output]
        self._floats = {
            value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT
        }
        self._given_weights = {tensor.name: tensor for tensor in graph.initializer}
        self._halves: set[str] = set()
        self._made: set[str] = set()
        self.weights: list[onnx.TensorProto] = []

    def nodes(self) -> Iterator[onnx.NodeProto]:
        for node in self._graph.node:
            half = node.name not in self._kept
            fixed = range(len(node.input))[KEPT_INPUTS.get(node.op_type, slice(0, 0))]
            for row, name in enumerate(node.input):
                if half and name in self._given_weights and row not in fixed:
                    node.input[row] = self._smaller(name)
                elif name in self._floats and half != (name in self._halves):
                    node.input[row] = cast = f"{name}_float{16 if half else 32}"
                    if cast not in self._made:
                        self._made.add(cast)
                        to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
                        yield helper.make_node("Cast", [name], [cast], name=cast, to=to)
            if half:
                self._halves |= self._floats & set(node.output)
            yield node

    def _smaller(self, name: str) -> str:
        """The name of a weight in float16; its own where it is no float."""
        tensor = self._given_weights[name]
        if tensor.data_type != TensorProto.FLOAT:
            return name
        smaller = f"{name}_float16"
        if smaller not in self._made:
            self._made.add(smaller)
            values = numpy_helper.to_array(tensor).astype(np.float16)
            self.weights.append(numpy_helper.from_array(values, smaller))
        return smaller
