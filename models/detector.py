"""Detects faces in frames: from planes of pixels to candidates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facepaint.detectors.onnx_graph import read_network
from facepaint.detectors.registry import check_inputs, read_weights
from facepaint.errors import DeviceError, FacepaintError, UsageError
from facepaint.records.detector_card import DetectorCard
from facepaint.records.faces import Candidate
from models import DetectorModel
from models.boxes import areas, intersections
from models.decoders import DECODERS, Input, Outputs, Raw, WrongOutputs
from models.providers import AUTO, Runtime
from models.session import Floats, Session, in_one_line, is_for_gpu

Pixels = npt.NDArray[np.uint8]

LOWEST_SCORE = 0.15
"""Lower candidates are not stored, unless a card's thresholds are lower; see
`tasks.tracking.tracker`."""

NMS_IOU = 0.42


@dataclass(frozen=True, slots=True)
class Size:
    """How a detector is given frames: ``width`` x ``height`` px of content in a padded input.

    ``scale_x`` and ``scale_y`` are px of the frame for one px of the content; boxes are multiplied
    by them.
    """

    width: int
    height: int
    input_width: int
    input_height: int
    scale_x: float
    scale_y: float

    @property
    def sideways(self) -> "Size":
        """The same for frames that are turned by a quarter."""
        return Size(
            self.height,
            self.width,
            self.input_height,
            self.input_width,
            self.scale_y,
            self.scale_x,
        )

    @classmethod
    def of(cls, content: tuple[int, int], frame: tuple[int, int], stride: int) -> "Size":
        """A frame shown at the size of ``content``, padded to multiples of ``stride``."""
        width, height = content
        input_width, input_height = (-(-side // stride) * stride for side in content)
        scales = frame[0] / width, frame[1] / height
        return cls(width, height, input_width, input_height, *scales)


def size_for(model: DetectorModel, frame_width: int, frame_height: int, min_face: float) -> Size:
    """The smallest size at which a face of ``min_face`` x the frame's height is still detected.

    Never larger than the frame: enlarging adds no detail.
    """
    # At less than one stride a network has no cells.
    height = max(32, min(frame_height, round(model.smallest_face_px / min_face)))
    width = max(32, round(frame_width * height / frame_height))
    return Size.of((width, height), (frame_width, frame_height), model.stride)


class Detector:
    """A face detector on one device, with one fixed input shape.

    Create it after a fork. ``device`` is the one that it runs on, ``name`` names the weights.
    Candidates below ``lowest_score`` are dropped, by default those below every threshold of the
    detector.

    Raises:
        InputError: the weights cannot be read, or are no network.
        UsageError: they do not load, take no input of this size, or do not fit the decoder.
        DeviceError: the requested device is missing.
    """

    def __init__(
        self,
        model: DetectorModel,
        size: Size,
        runtime: Runtime = AUTO,
        lowest_score: float | None = None,
    ) -> None:
        card = model.card
        # The int8 file is made for CPUs; a GPU runs the float32 one.
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
        # The padding never changes, so only the content is written for each frame.
        self._session.input[:] = -self._decoder.mean / self._decoder.divisor
        self._content = self._session.input[:, :, : size.height, : size.width]
        # Decoded once, so that weights that do not fit their card are refused before any job.
        self._candidates(outputs, 0)

    def detect(self, frames: list[tuple[Pixels, Pixels, Pixels]]) -> list[tuple[Candidate, ...]]:
        """Detect the faces in frames of this detector's size.

        Args:
            frames: each three uint8 planes B, G, R of shape (size.height, size.width).

        Returns:
            For each frame its candidates, best first, in px of the original frame.

        Raises:
            UsageError: the outputs are no faces or no scores.
        """
        candidates: list[tuple[Candidate, ...]] = []
        for first in range(0, len(frames), self.batch):
            batch = frames[first : first + self.batch]
            for row, planes in enumerate(batch):
                self._write(row, planes)
            outputs = self._session.run(len(batch))
            candidates += [self._candidates(outputs, row) for row in range(len(batch))]
        return candidates

    def _write(self, row: int, planes: tuple[Pixels, Pixels, Pixels]) -> None:
        ordered = planes if self._decoder.channels == "bgr" else planes[::-1]
        for channel, plane in enumerate(ordered):
            self._content[row, channel] = plane
        # In place, because the input is reused for every batch.
        if self._decoder.mean or self._decoder.divisor != 1:
            self._content[row] -= self._decoder.mean
            self._content[row] /= self._decoder.divisor

    def _candidates(self, outputs: Outputs, row: int) -> tuple[Candidate, ...]:
        raw = self._decoded(outputs, row)
        # Stable: equal scores keep their order, so every machine stores the same record.
        order = np.argsort(-raw.scores, kind="stable")
        kept = order[suppress(raw.boxes[order])]
        scale = np.array([self.size.scale_x, self.size.scale_y])
        scores = raw.scores[kept].astype(np.float64).round(3).tolist()
        boxes = _rounded(raw.boxes[kept], scale)
        points = _rounded(raw.landmarks[kept], scale) if self._landmarks else [()] * len(kept)
        faces = zip(scores, boxes, points, strict=True)
        return tuple(Candidate(*face) for face in faces)  # type: ignore[arg-type]

    def _decoded(self, outputs: Outputs, row: int) -> Raw:
        """The faces of one frame. One without finite coordinates is an error: skipped, it could
        have suppressed others."""
        try:
            raw = self._decoder.decode(outputs, row, self._input_size, self._lowest)
        except WrongOutputs as exc:
            raise UsageError(
                f"detector '{self.name}' does not fit the decoder that its card names: {exc}"
            ) from exc
        used = [raw.boxes, raw.landmarks] if self._landmarks else [raw.boxes]
        if not all(np.isfinite(values).all() for values in used):
            raise UsageError(
                f"detector '{self.name}' gives faces whose coordinates are not numbers: use "
                "another one"
            )
        return raw


def lowest_of(card: DetectorCard) -> float:
    """The lowest threshold of a detector."""
    lowest = [LOWEST_SCORE if card.redaction is None else card.redaction.discard]
    for thresholds in (card.stickers, card.redaction):
        lowest += [thresholds.discard, thresholds.for_still] if thresholds else []
    return min(lowest)


def _open(
    name: str, weights: Path, size: Size, runtime: Runtime, max_batch: int | None
) -> tuple[Session, Outputs]:
    """A detector's network and its outputs of a first run: faults of other people's networks are
    reported before use.

    Raises:
        InputError: the file is no network, is too large, or needs other files.
    """
    data = read_weights(weights)
    network = read_network(data, f"detector {weights}")
    check_inputs(network, f"detector {weights}")
    try:
        # Run once: some faults, such as a wrong reshape, only show when the network runs.
        session = Session(data, size.input_height, size.input_width, runtime, max_batch)
        return session, session.run()
    except DeviceError:
        raise
    except FacepaintError as exc:
        if network.fixed_size:
            raise _fixed_size(name, exc) from exc
        raise
    except Exception as exc:  # the runtime's own types
        if is_for_gpu(runtime):
            # A retry may succeed: the GPU's memory may have been short.
            raise
        if network.fixed_size:
            raise _fixed_size(name, exc) from exc
        raise UsageError(f"detector '{name}' does not run: {in_one_line(exc)}") from exc


def _fixed_size(name: str, fault: Exception) -> UsageError:
    return UsageError(
        f"detector '{name}' takes images of one size only: export it for any height and width "
        f"({in_one_line(fault)})"
    )


def suppress(boxes: Floats) -> list[int]:
    """Greedy non-maximum suppression: the rows of n x 4 boxes (best first) that overlap no better
    one that is kept."""
    if not len(boxes):
        return []
    # All pairs at once: row by row, those of a crowd took as long as the network.
    shared, sizes = intersections(boxes, boxes), areas(boxes)
    overlaps = shared > NMS_IOU * (sizes[:, None] + sizes[None] - shared)
    standing = np.ones(len(boxes), np.bool_)
    kept: list[int] = []
    for row, overlapped in enumerate(overlaps):
        if standing[row]:
            kept.append(row)
            standing &= ~overlapped
    return kept


def _rounded(values: Floats, scale: Floats) -> list[tuple[float, ...]]:
    """n x 2m coordinates times the scales of x and y, each row as a tuple of hundredths of px."""
    # Hundredths keep records small, and are finer than any detector's accuracy.
    scaled = values.astype(np.float64) * np.tile(scale, values.shape[1] // 2)
    rows: list[list[float]] = scaled.round(2).tolist()
    return [tuple(row) for row in rows]
