"""Tiny face detectors as ONNX graphs, one for each decoder, that detect a face in every lit cell.

Each stride has one convolution that covers its cells without overlap. The score is the mean of the
first channel over the cell, so a cell must be lit in the right colour. All other outputs are the
same for every cell, so boxes and landmarks can be computed by hand; `FACES` has them for a lit cell
in column 3, row 2 of the finest stride.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

POINTS = (0.25, 0.25, 0.75, 0.25, 0.5, 0.5, 0.375, 0.75, 0.625, 0.75)
"""x, y of five landmarks in a cell of side 1, placed as in a face."""

Side = int | str


@dataclass(frozen=True)
class Planted:
    """A lit cell: its stride, the channel (of B, G, R) to light, and the face computed by hand."""

    stride: int
    channel: int
    box: tuple[float, float, float, float]
    landmarks: tuple[float, ...]


FACES = {
    # As in the graph: the cell itself.
    "facepaint": Planted(8, 0, (24, 16, 32, 24), (26, 18, 30, 18, 28, 20, 27, 22, 29, 22)),
    # Centre (3 + 0.5, 2 + 0.25) * 8 = (28, 18), size (2, 3) * 8; points (3 + x, 2 + y) * 8.
    "yunet": Planted(8, 0, (20, 6, 36, 30), (26, 18, 30, 18, 28, 20, 27, 22, 29, 22)),
    # Anchor (3, 2) * 8 = (24, 16), distances (1, 2, 3, 4) * 8; points (24, 16) + (x, y) * 8.
    "scrfd": Planted(8, 2, (16, 0, 48, 48), (26, 18, 30, 18, 28, 20, 27, 22, 29, 22)),
    # Centre (3 + 0.5 + 0.5, 2 + 0.25 + 0.5) * 4 = (16, 11), size (2, 3) * 4; points (12, 5) + (x,
    # y) * (8, 12).
    "centerface": Planted(4, 2, (12, 5, 20, 17), (14, 8, 18, 8, 16, 11, 15, 14, 17, 14)),
}


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def cells(
        self, name: str, stride: int, bright: float, channels: Sequence[float], dark: float = 0
    ) -> str:
        """Maps of the cells: for `LIT` the mean of the first channel x ``bright`` + ``dark``, else
        the constant."""
        weight = np.zeros((len(channels), 3, stride, stride), np.float32)
        bias = np.array(channels, np.float32)
        lit = np.isnan(bias)
        weight[lit, 0], bias[lit] = bright / stride**2, dark
        inputs = (
            "image",
            self.constant(f"{name}.weight", weight),
            self.constant(f"{name}.bias", bias),
        )
        return self.add("Conv", name, *inputs, kernel_shape=[stride] * 2, strides=[stride] * 2)

    def rows(self, name: str, maps: str, width: int, *, batched: bool) -> str:
        """Maps as rows of ``width`` numbers, cell after cell."""
        order, shape = ([0, 2, 3, 1], [0, -1, width]) if batched else ([2, 3, 0, 1], [-1, width])
        turned = self.add("Transpose", f"{name}.turned", maps, perm=order)
        return self.add(
            "Reshape", name, turned, self.constant(f"{name}.shape", np.array(shape, np.int64))
        )

    def model(
        self, sides: tuple[Side, Side, Side], outputs: dict[str, Sequence[Side] | None]
    ) -> bytes:
        """The file. ``outputs`` declare these shapes, or none."""
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [sides[0], 3, *sides[1:]])
        declared = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, "tiny", [image], declared, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        data: bytes = model.SerializeToString()
        return data


LIT = float("nan")


def tiny_network(
    decoder: str, sides: tuple[Side, Side, Side] = ("n", "h", "w"), landmarks: bool = True
) -> bytes:
    """The ONNX file of a detector for ``decoder``; ``sides`` are its batch, height and width."""
    graph = _Graph()
    if decoder == "facepaint":
        return _facepaint(graph)
    if decoder == "yunet":
        return _yunet(graph, sides)
    if decoder == "scrfd":
        return _scrfd(graph, sides, landmarks)
    return _centerface(graph, sides)


def _facepaint(graph: _Graph, height: int = 64, width: int = 96) -> bytes:
    """For images of 96 x 64 px: each cell of stride 8 is the box of a face."""
    rows, columns = height // 8, width // 8
    corner = 8 * np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), 2).reshape(
        1, -1, 2
    ).astype(np.float32)
    boxes = graph.constant("all boxes", np.concatenate((corner, corner + 8), 2))
    points = np.tile(corner, 5) + 8 * np.array(POINTS, np.float32)
    lit = graph.rows("cells", graph.cells("map", 8, 1 / 255, [LIT]), 1, batched=True)
    graph.add("Squeeze", "scores", lit, graph.constant("last", np.array([2], np.int64)))
    nothing = graph.add("Mul", "nothing", lit, graph.constant("zero", np.zeros(1, np.float32)))
    graph.add("Add", "boxes", nothing, boxes)
    graph.add("Add", "landmarks", nothing, graph.constant("all points", points))
    shapes = {"boxes": ["n", "cells", 4], "scores": ["n", "cells"], "landmarks": ["n", "cells", 10]}
    return graph.model(("n", "h", "w"), shapes)


def _yunet(graph: _Graph, sides: tuple[Side, Side, Side]) -> bytes:
    parts = {
        "cls": [LIT],
        "obj": [1.0],
        "bbox": [0.5, 0.25, np.log(2), np.log(3)],
        "kps": list(POINTS),
    }
    outputs: dict[str, Sequence[Side] | None] = {}
    for part, numbers in parts.items():
        for stride in (8, 16, 32):
            maps = graph.cells(f"map {part}_{stride}", stride, 1 / 255, numbers)
            graph.rows(f"{part}_{stride}", maps, len(numbers), batched=True)
            outputs[f"{part}_{stride}"] = [sides[0], "cells", len(numbers)]
    return graph.model(sides, outputs)


def _scrfd(graph: _Graph, sides: tuple[Side, Side, Side], landmarks: bool) -> bytes:
    """Outputs with numbers for names, as in exports; the first of the two anchors is always the
    better one."""
    parts = [([LIT, 0.0], 1), ([1.0, 2, 3, 4, 9, 9, 9, 9], 4), ([*POINTS, *[9.0] * 10], 10)]
    outputs: dict[str, Sequence[Side] | None] = {}
    for numbers, width in parts if landmarks else parts[:2]:
        for stride in (8, 16, 32):
            name = str(400 + len(outputs))
            graph.rows(
                name,
                graph.cells(f"map {name}", stride, 0.5, numbers, dark=0.498),
                width,
                batched=False,
            )
            outputs[name] = ["rows", width]
    return graph.model(sides, outputs)


def _centerface(graph: _Graph, sides: tuple[Side, Side, Side]) -> bytes:
    shares = [share for x, y in zip(POINTS[::2], POINTS[1::2], strict=True) for share in (y, x)]
    outputs: dict[str, Sequence[Side] | None] = {}
    for numbers in ([LIT], [np.log(3), np.log(2)], [0.25, 0.5], shares):
        name = str(537 + len(outputs))
        graph.cells(name, 4, 1 / 255, numbers)
        fixed = isinstance(sides[1], int) and isinstance(sides[2], int)
        outputs[name] = [
            sides[0],
            len(numbers),
            *([sides[1] // 4, sides[2] // 4] if fixed else ["a", "b"]),
        ]  # type: ignore[operator]
    return graph.model(sides, outputs)
