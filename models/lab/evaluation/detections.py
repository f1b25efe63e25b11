"""Runs a detector over the images of a labelled folder, as the product does but down to lower
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
"""Lower detections are dropped: at that end of the curve precision is near 0, and so is the
area."""

CHUNK = 16
"""Images in memory at once."""


@dataclass(frozen=True, slots=True)
class Options:
    """How detectors are run.

    Attributes:
        side: longest side in px; larger images are made smaller, none is enlarged.
        lowest_score: of the detections that are kept.
        runtime: device and threads.
    """

    side: int = 640
    lowest_score: float = LOWEST_SCORE
    runtime: Runtime = AUTO


@dataclass(frozen=True, slots=True)
class Detections:
    """A detector's faces in one image, best first, in px of the labelled image.

    ``boxes`` n x 4, ``scores`` n, ``points`` n x 5 x 2, NaN if the detector gives no landmarks.
    """

    boxes: Floats
    scores: Floats
    points: Floats

    def from_score(self, lowest: float) -> "Detections":
        """Those with at least this score."""
        rows = self.scores >= lowest
        return Detections(self.boxes[rows], self.scores[rows], self.points[rows])


def detect_all(
    model: DetectorModel, folder: Path, images: Sequence[LabelledImage], options: Options
) -> list[Detections]:
    """The detections in each image of a labelled folder.

    Raises:
        UnreadableMedia: an image is missing or cannot be decoded.
        InputError: an image differs in size from its labels.
    """
    found: dict[str, Detections] = {}
    for shape, group in by_size(folder, images):
        detector = open_detector(model, size_within(model, *shape, options.side), options)
        # A folder may be larger than memory.
        for first in range(0, len(group), CHUNK):
            chunk = group[first : first + CHUNK]
            pixels = [shrunk(read_image(folder, image), detector.size) for image in chunk]
            names = (image.image for image in chunk)
            found |= zip(names, detect(detector, pixels), strict=True)
    return [found[image.image] for image in images]


def by_size(
    folder: Path, images: Sequence[LabelledImage]
) -> Iterator[tuple[tuple[int, int], list[LabelledImage]]]:
    """The images of each size, so that a network is opened once for a shape."""
    sizes = {image.image: image_size(folder, image) for image in images}
    in_order = sorted(images, key=lambda image: (sizes[image.image], image.image))
    for shape, group in groupby(in_order, key=lambda image: sizes[image.image]):
        yield shape, list(group)


def open_detector(model: DetectorModel, size: Size, options: Options) -> Detector:
    """A detector for images of one size."""
    return Detector(model, size, options.runtime, options.lowest_score)


def detect(detector: Detector, pixels: Sequence[Pixels]) -> list[Detections]:
    """The detections in images of the detector's size, each h x w x 3 in B, G, R."""
    planes = [(image[:, :, 0], image[:, :, 1], image[:, :, 2]) for image in pixels]
    return [_as_arrays(candidates) for candidates in detector.detect(planes)]


def size_within(model: DetectorModel, width: int, height: int, side: int) -> Size:
    """The size at which an image's longest side is at most ``side`` px."""
    scale = min(1.0, side / max(width, height))
    content = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Size.of(content, (width, height), model.stride)


def read_image(folder: Path, image: LabelledImage) -> Pixels:
    """A labelled image's pixels as it is shown: h x w x 3 in B, G, R.

    Raises:
        UnreadableMedia: it is missing or cannot be decoded.
        InputError: it differs in size from its labels.
    """
    path = image_path(folder, image)
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except OSError as exc:
        raise UnreadableMedia(f"the labelled image {path} cannot be read: {exc.strerror}") from exc
    except cv2.error:
        # OpenCV raises for an empty file, and returns None for others.
        pixels = None
    if pixels is None:
        raise UnreadableMedia(
            f"the labelled image {path} cannot be decoded; remove its line from the labels"
        )
    height, width = pixels.shape[:2]
    if (width, height) != image_size(folder, image):
        raise InputError(
            f"{path} is {width}x{height} px, but its labels are for "
            f"{image.width}x{image.height}; label it again"
        )
    return pixels.astype(np.uint8, copy=False)


def shrunk(pixels: Pixels, size: Size) -> Pixels:
    """The image at the detector's size, averaged over the area of each new pixel."""
    if pixels.shape[:2] == (size.height, size.width):
        return pixels
    small = cv2.resize(pixels, (size.width, size.height), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def _as_arrays(candidates: Sequence[Candidate]) -> Detections:
    unknown = (float("nan"),) * 10
    points = [candidate.landmarks or unknown for candidate in candidates]
    return Detections(
        np.array([candidate.box for candidate in candidates], np.float64).reshape(-1, 4),
        np.array([candidate.score for candidate in candidates], np.float64),
        np.array(points, np.float64).reshape(-1, 5, 2),
    )
