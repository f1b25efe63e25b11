"""Decoders: the input format of a network, and the meaning of its outputs.

The detector card names the decoder, because the weights do not determine it. All decoders give
boxes as x1, y1, x2, y2 and landmarks in the order of `facepaint.records.faces.LANDMARKS`, in px of
the network's input.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from facepaint.records.detector_card import DecoderName

Floats = npt.NDArray[np.float32]
Outputs = Mapping[str, Floats]
"""A network's outputs for a batch by name, in the order of its graph."""

STRIDES = (8, 16, 32)

SLACK = 0.01
"""How far rounding may move a score beyond 0 and 1."""


class WrongOutputs(ValueError):
    """The outputs do not fit the decoder; the message names the wrong one."""


@dataclass(frozen=True, slots=True)
class Raw:
    """The detections in one image, unsorted: ``boxes`` n x 4, ``scores`` n, ``landmarks`` n x 10 or
    n x 0."""

    boxes: Floats
    scores: Floats
    landmarks: Floats


@dataclass(frozen=True, slots=True)
class Input:
    """The size of a network's input in px."""

    width: int
    height: int


Decode = Callable[[Outputs, int, Input, float], Raw]
"""Arguments: a batch's outputs, the image's row, the input's size, the lowest score to keep."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """One kind of network.

    Its input is n x 3 x h x w float32, with ``channels`` in that order, each value (value -
    ``mean``) / ``divisor``, padded right and below with pixels of 0. ``batch`` is the largest batch
    size, None for any.
    """

    channels: Literal["bgr", "rgb"]
    decode: Decode
    mean: float = 0.0
    divisor: float = 1.0
    batch: int | None = None


def _facepaint(outputs: Outputs, row: int, _: Input, lowest: float) -> Raw:
    """facepaint's own: decoded in the graph; ``boxes``, ``scores``, ``landmarks`` of all cells."""
    scores = _output(outputs, "scores", None)[row]
    boxes, landmarks = _output(outputs, "boxes", None, 4), _output(outputs, "landmarks", None, 10)
    scores = _probabilities(scores)
    likely = np.flatnonzero(scores >= lowest)
    return Raw(boxes[row, likely], scores[likely], landmarks[row, likely])


def _yunet(outputs: Outputs, row: int, size: Input, lowest: float) -> Raw:
    """YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023), as of OpenCV
    Zoo's 2023mar.

    For each stride class and objectness as probabilities, the box as centre and log size, the
    points relative to the cell, all in strides. The score is the geometric mean of class and
    objectness.
    """
    found = []
    for stride in STRIDES:
        columns, rows = size.width // stride, size.height // stride
        parts = [
            _output(outputs, f"{part}_{stride}", columns * rows, width)[row]
            for part, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        ]
        # Only the cells above the threshold are decoded: nearly all are background.
        scores = np.sqrt(_probabilities(parts[0][:, 0]) * _probabilities(parts[1][:, 0]))
        likely = np.flatnonzero(scores >= lowest)
        cells = _cells(likely, columns)
        box, points = parts[2][likely], parts[3][likely]
        centre, half = (cells + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
        landmarks = (np.tile(cells, 5) + points) * stride
        found.append(Raw(np.hstack((centre - half, centre + half)), scores[likely], landmarks))
    return _joined(found)


def _scrfd(outputs: Outputs, row: int, size: Input, lowest: float) -> Raw:
    """SCRFD (Guo et al.: "Sample and Computation Redistribution for Efficient Face Detection",
    2021), by InsightFace.

    Scores of all strides, then boxes, then points, if there are any. Each cell has two anchors at
    its upper left corner; boxes are distances to the four sides and points are offsets, in strides.
    The names of outputs differ between exports, and most fold the batch into the rows, so the batch
    size must be 1.
    """
    # Some exports keep the batch axis.
    layers = [array[row] if array.ndim == 3 else array for array in outputs.values()]
    widths = [1, 1, 1, 4, 4, 4, 10, 10, 10][: len(layers)]
    if len(layers) not in (6, 9):
        raise WrongOutputs(
            f"there are {len(layers)} outputs where SCRFD has 6, or 9 with landmarks"
        )
    found = []
    for number, stride in enumerate(STRIDES):
        columns, rows = size.width // stride, size.height // stride
        for name, layer, width in list(zip(outputs, layers, widths, strict=True))[number::3]:
            _check(name, layer.shape, (2 * columns * rows, width))
        scores = _probabilities(layers[number][:, 0])
        likely = np.flatnonzero(scores >= lowest)
        # Both anchors of a cell are at its corner.
        anchors = _cells(likely // 2, columns) * stride
        sides = layers[3 + number][likely] * stride
        points = (
            layers[6 + number][likely] * stride
            if len(layers) == 9
            else np.zeros((len(likely), 0), np.float32)
        )
        boxes = np.hstack((anchors - sides[:, :2], anchors + sides[:, 2:]))
        found.append(Raw(boxes, scores[likely], np.tile(anchors, points.shape[1] // 2) + points))
    return _joined(found)


def _centerface(outputs: Outputs, row: int, size: Input, lowest: float) -> Raw:
    """CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point",
    2019).

    Maps of stride 4: heat, log size (height, width), offset (y, x), points (y, x) as shares of the
    box.
    """
    stride = 4
    columns, rows = size.width // stride, size.height // stride
    maps = list(outputs.items())
    if len(maps) != 4:
        raise WrongOutputs(
            f"there are {len(maps)} outputs where CenterFace has heat, size, offset and landmarks"
        )
    for (name, array), channels in zip(maps, (1, 2, 2, 10), strict=True):
        _check(name, array.shape[1:], (channels, rows, columns))
    heat, log_size, offset, points = (array[row].reshape(array.shape[1], -1) for _, array in maps)
    scores = _probabilities(heat[0])
    likely = np.flatnonzero(scores >= lowest)
    cells = _cells(likely, columns)
    # CenterFace stores y before x, and height before width.
    sides = np.exp(log_size[::-1, likely].T) * stride
    # Offsets count from the centre of a cell.
    corner = (cells + offset[::-1, likely].T + 0.5) * stride - sides / 2
    shares = points[:, likely].T.reshape(-1, 5, 2)[:, :, ::-1]
    landmarks = (corner[:, None] + shares * sides[:, None]).reshape(-1, 10)
    return Raw(np.hstack((corner, corner + sides)), scores[likely], landmarks)


DECODERS: dict[DecoderName, Decoder] = {
    "facepaint": Decoder("bgr", _facepaint),
    "yunet": Decoder("bgr", _yunet),
    "scrfd": Decoder("rgb", _scrfd, mean=127.5, divisor=128.0, batch=1),
    "centerface": Decoder("rgb", _centerface),
}


def _probabilities(scores: Floats) -> Floats:
    """The scores, checked: without a sigmoid, or as NaN, faces would be lost."""
    least, most = scores.min(initial=0), scores.max(initial=0)
    # Written so that NaN fails.
    if not (least >= -SLACK and most <= 1 + SLACK):
        raise WrongOutputs(f"there are scores from {least:g} to {most:g} where 0 to 1 is expected")
    return np.clip(scores, 0, 1)


def _cells(numbers: npt.NDArray[np.intp], columns: int) -> Floats:
    """Column and row of cells by their number, row by row: n x 2."""
    return np.stack((numbers % columns, numbers // columns), axis=1).astype(np.float32)


def _joined(parts: list[Raw]) -> Raw:
    return Raw(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
    )


def _output(outputs: Outputs, name: str, *shape: int | None) -> Floats:
    """An output, whose shape after the batch is checked; None is any number."""
    if name not in outputs:
        raise WrongOutputs(f"there is no output '{name}' but {', '.join(outputs)}")
    _check(name, outputs[name].shape[1:], shape)
    return outputs[name]


def _check(name: str, found: tuple[int, ...], wanted: tuple[int | None, ...]) -> None:
    if len(found) != len(wanted) or any(
        w not in (None, f) for f, w in zip(found, wanted, strict=True)
    ):
        sides = " x ".join("any" if side is None else str(side) for side in wanted)
        raise WrongOutputs(
            f"output '{name}' is {' x '.join(map(str, found))} an image where {sides} is expected"
        )
