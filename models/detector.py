"""Detect faces in pictures: from planes of pixels to candidates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facepaint.detectors.onnx_graph import read_network
from facepaint.detectors.registry import check_inputs
from facepaint.errors import DeviceError, FacepaintError, UsageError
from facepaint.records.detector_card import DetectorCard
from facepaint.records.faces import Candidate
from models import DetectorModel
from models.decoders import DECODERS, Input, Outputs, Raw, WrongOutputs
from models.providers import AUTO, Runtime
from models.session import Floats, Session, in_one_line, is_for_gpu

Pixels = npt.NDArray[np.uint8]

LOWEST_SCORE = 0.15
"""Candidates below this are not even recorded, unless a card's working points go lower; see
`tasks.tracking.tracker`."""

NMS_IOU = 0.42


@dataclass(frozen=True, slots=True)
class Size:
    """The picture a detector is given: ``width`` x ``height`` px of content in a padded input, and
    its scale.

    ``scale`` is px of the frame for one px of the content, so a box found is multiplied by it.
    """

    width: int
    height: int
    input_width: int
    input_height: int
    scale_x: float
    scale_y: float


def size_for(model: DetectorModel, frame_width: int, frame_height: int, min_face: float) -> Size:
    """The smallest detector picture in which a face of ``min_face`` x the frame's height is still
    found.

    Never larger than the frame: enlarging adds no detail.
    """
    height = max(32, min(frame_height, round(model.smallest_face_px / min_face)))
    width = max(32, round(frame_width * height / frame_height))

    def padded(side: int) -> int:
        return -(-side // model.stride) * model.stride

    return Size(
        width, height, padded(width), padded(height), frame_width / width, frame_height / height
    )


class Detector:
    """A face detector on one device, with one fixed input shape.

    Make it after a fork. ``device`` says where it really runs, and ``name`` by which weights.
    Candidates below
    ``lowest_score`` are left out, by default those that no working point of the detector asks for.

    Raises:
        UsageError: the weights do not load, take no pictures of this size, or give what the decoder
            does not read.
        DeviceError: the device asked for is not there.
    """

    def __init__(
        self,
        model: DetectorModel,
        size: Size,
        runtime: Runtime = AUTO,
        lowest_score: float | None = None,
    ) -> None:
        card = model.card
        int8 = None if is_for_gpu(runtime) else model.int8
        self.name = f"{card.label}-int8" if int8 else card.label
        self.size = size
        self._lowest = lowest_of(card) if lowest_score is None else lowest_score
        self._landmarks = card.landmarks
        self._decoder = DECODERS[card.decoder]
        self._input_size = Input(size.input_width, size.input_height)
        self._session, outputs = _open(
            model.name, int8 or model.weights, size, runtime, self._decoder.batch
        )
        self.device, self.batch = self._session.device, self._session.batch
        # Padding stays as it is for ever, so only the content is written for each picture.
        self._session.input[:] = -self._decoder.mean / self._decoder.divisor
        self._content = self._session.input[:, :, : size.height, : size.width]
        self._candidates(outputs, 0)

    def detect(self, pictures: list[tuple[Pixels, Pixels, Pixels]]) -> list[tuple[Candidate, ...]]:
        """Find the faces in pictures of the size this detector was made for.

        Args:
            pictures: each three uint8 planes B, G, R of shape (size.height, size.width).

        Returns:
            For each picture the candidates down to the lowest score, best first, in px of the
            frame.

        Raises:
            UsageError: the network gives what is no face or no score.
        """
        found: list[tuple[Candidate, ...]] = []
        for first in range(0, len(pictures), self.batch):
            some = pictures[first : first + self.batch]
            for row, planes in enumerate(some):
                self._write(row, planes)
            outputs = self._session.run(len(some))
            found += [self._candidates(outputs, row) for row in range(len(some))]
        return found

    def _write(self, row: int, planes: tuple[Pixels, Pixels, Pixels]) -> None:
        for channel, plane in enumerate(
            planes if self._decoder.channels == "bgr" else reversed(planes)
        ):
            self._content[row, channel] = plane
        if self._decoder.mean or self._decoder.divisor != 1:
            self._content[row] -= self._decoder.mean
            self._content[row] /= self._decoder.divisor

    def _candidates(self, outputs: Outputs, row: int) -> tuple[Candidate, ...]:
        raw = self._decoded(outputs, row)
        order = np.argsort(-raw.scores, kind="stable")
        kept = order[suppress(raw.boxes[order])]
        scale = np.array([self.size.scale_x, self.size.scale_y])
        scores = raw.scores[kept].astype(np.float64).round(3).tolist()
        boxes = _rounded(raw.boxes[kept], scale)
        points = _rounded(raw.landmarks[kept], scale) if self._landmarks else [()] * len(kept)
        return tuple(Candidate(*face) for face in zip(scores, boxes, points, strict=True))  # type: ignore[arg-type]

    def _decoded(self, outputs: Outputs, row: int) -> Raw:
        """What was found in a picture. A face that is nowhere would suppress others, so it is none
        to pass over."""
        try:
            raw = self._decoder.decode(outputs, row, self._input_size, self._lowest)
        except WrongOutputs as exc:
            raise UsageError(
                f"detector '{self.name}' does not fit the decoder that its card names: {exc}"
            ) from exc
        if not np.isfinite(raw.boxes).all() or (
            self._landmarks and not np.isfinite(raw.landmarks).all()
        ):
            raise UsageError(
                f"detector '{self.name}' gives faces whose coordinates are no numbers: use another "
                "one"
            )
        return raw


def lowest_of(card: DetectorCard) -> float:
    """The lowest score that any working point of a detector asks for."""
    asked = [LOWEST_SCORE if card.redaction is None else card.redaction.discard]
    for scores in (card.stickers, card.redaction):
        asked += [scores.discard, scores.for_still] if scores else []
    return min(asked)


def _open(
    name: str, weights: Path, size: Size, runtime: Runtime, most: int | None
) -> tuple[Session, Outputs]:
    """A detector's network, and what it gives when run once: what is wrong with a stranger's is
    told before use.

    Raises:
        InputError: the file is no network, or needs more than itself.
    """
    data = weights.read_bytes()
    network = read_network(data, f"detector {weights}")
    check_inputs(network, f"detector {weights}")
    fixed = network.fixed_size
    try:
        session = Session(data, size.input_height, size.input_width, runtime, most)
        return session, session.run()
    except DeviceError:
        raise
    except Exception as exc:  # the runtime's own types
        ours = isinstance(exc, FacepaintError)
        if not ours and is_for_gpu(runtime):
            raise  # another try may go well: its memory may have been short
        if fixed:
            raise UsageError(
                f"detector '{name}' takes pictures of one size only: export it for any height and "
                "width "
                f"({in_one_line(exc)})"
            ) from exc
        if ours:
            raise
        raise UsageError(f"detector '{name}' does not run: {in_one_line(exc)}") from exc


def suppress(boxes: Floats) -> list[int]:
    """Greedy non-maximum suppression: the rows of n x 4 boxes (best first) that no better one
    overlaps."""
    if not len(boxes):
        return []
    # All overlaps at once: row by row, a crowd's took as long as the network.
    corner = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(
        boxes[:, None, :2], boxes[None, :, :2]
    )
    shared = np.clip(corner, 0, None).prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    overlaps = shared > NMS_IOU * (areas[:, None] + areas[None] - shared)
    standing = np.ones(len(boxes), np.bool_)
    kept: list[int] = []
    for row, overlapped in enumerate(overlaps):
        if standing[row]:
            kept.append(row)
            standing &= ~overlapped
    return kept


def _rounded(values: Floats, scale: Floats) -> list[tuple[float, ...]]:
    """n x 2m coordinates times the scales of x and y, each row as a tuple of hundredths of px."""
    scaled = values.astype(np.float64) * np.tile(scale, values.shape[1] // 2)
    rows: list[list[float]] = scaled.round(2).tolist()
    return [tuple(row) for row in rows]
