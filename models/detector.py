"""Detect faces in pictures: one class over an ONNX Runtime session."""

import os
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

# ONNX Runtime 1.29 and later send telemetry to its maker unless told not to before the first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from facepaint.errors import DeviceError, UsageError
from facepaint.jobs import Candidate
from models import DetectorModel

Device = Literal["auto", "cpu", "cuda"]
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

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
        self._session, self.device = _open_session(model, device, threads)
        self.batch = 16 if self.device == "cuda" else 1
        shape = (self.batch, 3, size.input_height, size.input_width)
        # Padding stays 0 for ever, so only the content is written for each picture.
        self._input: Floats = np.zeros(shape, np.float32)

    def detect(self, pictures: list[tuple[Pixels, Pixels, Pixels]]) -> list[tuple[Candidate, ...]]:
        """Find the faces in pictures of the size this detector was made for.

        Args:
            pictures: each three uint8 planes B, G, R of shape (size.height, size.width).

        Returns:
            For each picture the candidates down to `LOWEST_SCORE`, best first, in px of the frame.
        """
        found: list[tuple[Candidate, ...]] = []
        content = self._input[:, :, : self.size.height, : self.size.width]
        for first in range(0, len(pictures), self.batch):
            some = pictures[first : first + self.batch]
            for row, planes in enumerate(some):
                for channel, plane in enumerate(planes):
                    content[row, channel] = plane
            boxes, scores, landmarks = self._session.run(["boxes", "scores", "landmarks"], {"image": self._input})
            found += [self._candidates(boxes[row], scores[row], landmarks[row]) for row in range(len(some))]
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


def _open_session(model: DetectorModel, device: Device, threads: int) -> tuple[ort.InferenceSession, str]:
    wanted = _providers(device)
    options = ort.SessionOptions()
    # Left alone, ONNX Runtime makes a thread for each core of the host, not of the container.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(model.weights), options, providers=wanted)
    except Exception as exc:  # the runtime has types of its own for every kind of bad file
        raise UsageError(f"the weights of detector '{model.name}' at {model.weights} do not load: {exc}") from exc
    # A provider can be listed and still fail to load, without a word.
    used = "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
    if device == "cuda" and used != "cuda":
        raise DeviceError(
            "device 'cuda' was asked for, but ONNX Runtime could not load it; `facepaint doctor` says why"
        )
    return session, used


def check_device(device: Device) -> None:
    """Raise `DeviceError` if a device asked for by name is not offered here."""
    _providers(device)


def _providers(device: Device) -> list[str]:
    available = ort.get_available_providers()
    if "CUDAExecutionProvider" in available and device != "cpu":
        ort.preload_dlls(directory="")
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    if device == "cuda":
        raise DeviceError(
            "device 'cuda' was asked for, but this ONNX Runtime offers only the CPU: "
            "install the extra 'gpu' instead of 'worker', or use --device cpu"
        )
    return ["CPUExecutionProvider"]
