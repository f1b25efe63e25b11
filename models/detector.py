"""Detect faces in pictures: from planes of pixels to candidates."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facepaint.jobs import Candidate
from models import DetectorModel
from models.session import Device, Floats, Session

Pixels = npt.NDArray[np.uint8]

LOWEST_SCORE = 0.15
"""Candidates below this are not even recorded; the working points of stickers and hiding are higher, see tracking."""

NMS_IOU = 0.42


@dataclass(frozen=True, slots=True)
class Size:
    """The picture a detector is given: ``width`` x ``height`` px of content in a padded input, and its scale.

    ``scale`` is px of the frame for one px of the content, so a box found is multiplied by it.
    """

    width: int
    height: int
    input_width: int
    input_height: int
    scale_x: float
    scale_y: float


def size_for(model: DetectorModel, frame_width: int, frame_height: int, min_face: float) -> Size:
    """The smallest detector picture in which a face of ``min_face`` x the frame's height is still found.

    Never larger than the frame: enlarging adds no detail.
    """
    height = max(32, min(frame_height, round(model.smallest_face_px / min_face)))
    width = max(32, round(frame_width * height / frame_height))

    def padded(side: int) -> int:
        return -(-side // model.stride) * model.stride

    return Size(width, height, padded(width), padded(height), frame_width / width, frame_height / height)


class Detector:
    """A face detector on one device, with one fixed input shape.

    Make it after a fork. ``device`` says where it really runs: a device asked for by name and absent is an error,
    never a quiet fallback.
    """

    def __init__(self, model: DetectorModel, size: Size, device: Device = "auto", threads: int = 1) -> None:
        self.name = model.name
        self.size = size
        self._session = Session(model.weights, size.input_height, size.input_width, device, threads)
        self.device, self.batch = self._session.device, self._session.batch

    def detect(self, pictures: list[tuple[Pixels, Pixels, Pixels]]) -> list[tuple[Candidate, ...]]:
        """Find the faces in pictures of the size this detector was made for.

        Args:
            pictures: each three uint8 planes B, G, R of shape (size.height, size.width).

        Returns:
            For each picture the candidates down to `LOWEST_SCORE`, best first, in px of the frame.
        """
        found: list[tuple[Candidate, ...]] = []
        # Padding stays 0 for ever, so only the content is written for each picture.
        content = self._session.input[:, :, : self.size.height, : self.size.width]
        for first in range(0, len(pictures), self.batch):
            some = pictures[first : first + self.batch]
            for row, planes in enumerate(some):
                for channel, plane in enumerate(planes):
                    content[row, channel] = plane
            out = self._session.run()
            rows = zip(out["boxes"], out["scores"], out["landmarks"], strict=True)
            found += [self._candidates(*row) for row, _ in zip(rows, some, strict=False)]
        return found

    def _candidates(self, boxes: Floats, scores: Floats, landmarks: Floats) -> tuple[Candidate, ...]:
        likely = np.flatnonzero(scores >= LOWEST_SCORE)
        likely = likely[np.argsort(-scores[likely], kind="stable")]
        kept = [int(likely[row]) for row in suppress(boxes[likely])]
        scale = np.array([self.size.scale_x, self.size.scale_y], np.float32)
        return tuple(
            Candidate(
                round(float(scores[cell]), 3),
                _rounded(boxes[cell], scale),  # type: ignore[arg-type]  # four numbers
                _rounded(landmarks[cell], scale),
            )
            for cell in kept
        )


def suppress(boxes: Floats) -> list[int]:
    """Greedy non-maximum suppression: the rows of n x 4 boxes (best first) that no better one overlaps."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while left.size:
        best, rest = left[0], left[1:]
        kept.append(int(best))
        width = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest])
        height = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest])
        shared = np.clip(width, 0, None) * np.clip(height, 0, None)
        left = rest[shared <= NMS_IOU * (areas[best] + areas[rest] - shared)]
    return kept


def _rounded(values: Floats, scale: Floats) -> tuple[float, ...]:
    scaled = values.reshape(-1, 2) * scale
    return tuple(round(float(value), 2) for value in scaled.ravel())
