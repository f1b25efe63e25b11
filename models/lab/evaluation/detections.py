"""Run a detector over the pictures of a labelled folder, as the product does but down to lower
scores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.detectors.labels import LabelledImage, image_path, image_size
from facepaint.errors import InputError, UnreadableMedia
from facepaint.records.faces import Candidate
from models import DetectorModel
from models.detector import Detector, Pixels, Size
from models.providers import AUTO, Runtime

Floats = npt.NDArray[np.float64]

LOWEST_SCORE = 0.02
"""Detections below this are left out: the curve's far end, where precision is near 0, holds next to
no area."""

CHUNK = 16
"""Pictures in memory at once."""


@dataclass(frozen=True, slots=True)
class Options:
    """How detectors are run.

    Attributes:
        side: longest side in px that pictures are made smaller to; none is enlarged.
        lowest_score: of the detections that are kept.
        runtime: where, on how many threads.
    """

    side: int = 640
    lowest_score: float = LOWEST_SCORE
    runtime: Runtime = AUTO


@dataclass(frozen=True, slots=True)
class Found:
    """A detector's faces in one picture, best first, in px of the labelled picture.

    ``boxes`` n x 4, ``scores`` n, ``points`` n x 5 x 2, NaN where the detector gives no landmarks.
    """

    boxes: Floats
    scores: Floats
    points: Floats

    def from_score(self, lowest: float) -> "Found":
        """Those that score no less."""
        rows = self.scores >= lowest
        return Found(self.boxes[rows], self.scores[rows], self.points[rows])


def detect_all(
    model: DetectorModel, folder: Path, pictures: Sequence[LabelledImage], options: Options
) -> list[Found]:
    """What a detector finds in each picture of a labelled folder.

    Raises:
        UnreadableMedia: a picture is missing or cannot be decoded.
        InputError: a picture has another size than its labels say.
    """
    found: dict[str, Found] = {}
    sizes = {picture.image: image_size(folder, picture) for picture in pictures}
    # By size, so that a network is opened once for each shape.
    in_order = sorted(pictures, key=lambda picture: sizes[picture.image])
    for shape, alike in groupby(in_order, key=lambda picture: sizes[picture.image]):
        detector = open_detector(model, size_within(model, *shape, options.side), options)
        for some in _chunks(list(alike)):
            pixels = [shrunk(read_picture(folder, picture), detector.size) for picture in some]
            found |= zip((picture.image for picture in some), detect(detector, pixels), strict=True)
    return [found[picture.image] for picture in pictures]


def open_detector(model: DetectorModel, size: Size, options: Options) -> Detector:
    """A detector for pictures of one size."""
    return Detector(model, size, options.runtime, options.lowest_score)


def detect(detector: Detector, pixels: Sequence[Pixels]) -> list[Found]:
    """What a detector finds in pictures of its own size, each h x w x 3 in B, G, R."""
    planes = [(one[:, :, 0], one[:, :, 1], one[:, :, 2]) for one in pixels]
    return [_as_found(candidates) for candidates in detector.detect(planes)]


def size_within(model: DetectorModel, width: int, height: int, side: int) -> Size:
    """The size in which a picture's longest side is at most ``side`` px."""
    scale = min(1.0, side / max(width, height))
    small = [max(1, round(length * scale)) for length in (width, height)]
    padded = [-(-length // model.stride) * model.stride for length in small]
    return Size(small[0], small[1], padded[0], padded[1], width / small[0], height / small[1])


def read_picture(folder: Path, picture: LabelledImage) -> Pixels:
    """A labelled picture's pixels as it is shown: h x w x 3 in B, G, R.

    Raises:
        UnreadableMedia: it is missing or cannot be decoded.
        InputError: it has another size than its labels say.
    """
    path = image_path(folder, picture)
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except OSError as exc:
        raise UnreadableMedia(
            f"the labelled picture {path} cannot be read: {exc.strerror}"
        ) from exc
    except cv2.error:  # an empty file
        pixels = None
    if pixels is None:
        raise UnreadableMedia(
            f"the labelled picture {path} cannot be decoded; remove its line from the labels"
        )
    height, width = pixels.shape[:2]
    if (width, height) != image_size(folder, picture):
        said = f"{picture.width}x{picture.height}"
        raise InputError(
            f"{path} is {width}x{height} px, but its labels say {said}; label it again"
        )
    return pixels.astype(np.uint8, copy=False)


def shrunk(pixels: Pixels, size: Size) -> Pixels:
    """The picture as the detector is given it, averaged over the area of each new pixel."""
    if pixels.shape[:2] == (size.height, size.width):
        return pixels
    small = cv2.resize(pixels, (size.width, size.height), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def _as_found(candidates: Sequence[Candidate]) -> Found:
    none = (float("nan"),) * 10
    return Found(
        np.array([one.box for one in candidates], np.float64).reshape(-1, 4),
        np.array([one.score for one in candidates], np.float64),
        np.array([one.landmarks or none for one in candidates], np.float64).reshape(-1, 5, 2),
    )


def _chunks(pictures: Sequence[LabelledImage]) -> Iterator[Sequence[LabelledImage]]:
    for first in range(0, len(pictures), CHUNK):
        yield pictures[first : first + CHUNK]
