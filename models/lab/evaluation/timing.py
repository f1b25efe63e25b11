"""Times detectors so that other load on the machine affects all of them alike.

In each round every detector gets one image in turn. The time is the median over the rounds, and the
share of the first detector's time is the median of the rounds' shares.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from models import DetectorModel
from models.detector import Detector, Pixels, Size
from models.providers import Runtime

SIZES = ((320, 192), (640, 384), (1280, 736))
"""Width and height in px of the networks' inputs."""

WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Median time for one image in ms, and its share of the first detector's time."""

    ms: float
    share: float


def time_detectors(
    models: Sequence[DetectorModel],
    image: Pixels,
    size: tuple[int, int],
    rounds: int,
    runtime: Runtime,
) -> list[Timing]:
    """Time detectors from planes of pixels to faces, one image at a time.

    Args:
        models: at least one; shares are of the first one's time.
        image: h x w x 3 in B, G, R, of any size: it is stretched to ``size``.
        size: width and height in px, multiples of the networks' strides.
        rounds: how often each detector runs.
        runtime: device and threads.
    """
    width, height = size
    fitted = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    planes = [(fitted[:, :, 0].copy(), fitted[:, :, 1].copy(), fitted[:, :, 2].copy())]
    shape = Size(width, height, width, height, 1.0, 1.0)
    detectors = [Detector(model, shape, runtime) for model in models]
    times_ms: list[list[float]] = [[] for _ in detectors]
    # The first runs allocate memory and choose algorithms, so they do not count.
    for number in range(WARM_UP + rounds):
        for detector, times in zip(detectors, times_ms, strict=True):
            start = time.perf_counter()
            detector.detect(planes)
            if number >= WARM_UP:
                times.append(1000 * (time.perf_counter() - start))
    return [
        Timing(
            statistics.median(times),
            statistics.median(a / b for a, b in zip(times, times_ms[0], strict=True)),
        )
        for times in times_ms
    ]
