"""Finds the first and the last layers of a network in its graph."""

from collections import defaultdict

import onnx


def input_layers(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that take the network's images."""
    images = graph.input[0].name
    return [node.name for node in graph.node if images in node.input]


def output_layers(graph: onnx.GraphProto) -> list[str]:
    """Names of the last convolutions and of the decoding: all nodes that no convolution follows."""
    consumers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)
    before_convolutions: set[str] = set()
    # ONNX sorts nodes topologically, so from the end all consumers come before their node.
    for node in reversed(graph.node):
        following = [consumer for name in node.output for consumer in consumers[name]]
        if any(each.op_type == "Conv" or each.name in before_convolutions for each in following):
            before_convolutions.add(node.name)
    return [node.name for node in graph.node if node.name not in before_convolutions]


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a unique name; ONNX does not require any."""
    taken = {node.name for node in graph.node}
    for number, node in enumerate(graph.node):
        # Quantization and float16 conversion choose nodes by name.
        if not node.name:
            node.name = next(
                name
                for name in (f"{node.op_type}_{number}", f"{node.op_type}_{number}_unnamed")
                if name not in taken
            )
