"""What a network's layers are for, told from its graph."""

from collections import defaultdict

import onnx


def input_layers(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that the network's pictures go into."""
    pictures = graph.input[0].name
    return [node.name for node in graph.node if pictures in node.input]


def output_layers(graph: onnx.GraphProto) -> list[str]:
    """Names of the last convolutions, and of all nodes that no convolution comes after: the
    decoding."""
    consumers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)
    # From the end: what comes after a node has been seen before it, as ONNX wants nodes in their
    # order.
    before_convolutions: set[str] = set()
    for node in reversed(graph.node):
        after = [consumer for name in node.output for consumer in consumers[name]]
        if any(
            consumer.op_type == "Conv" or consumer.name in before_convolutions for consumer in after
        ):
            before_convolutions.add(node.name)
    return [node.name for node in graph.node if node.name not in before_convolutions]


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a name of its own; ONNX does not ask for one."""
    taken = {node.name for node in graph.node}
    for number, node in enumerate(graph.node):
        if not node.name:
            node.name = next(
                name
                for name in (f"{node.op_type}_{number}", f"{node.op_type}_{number}_unnamed")
                if name not in taken
            )
