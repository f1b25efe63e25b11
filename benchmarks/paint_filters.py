"""How long each filter takes to paint one face, on one core: python -m benchmarks.paint_filters

A 120 px face in the middle of a 640x360 frame in 4:2:0, moved a little from frame to frame as a real one is; the
median of 400 paintings after 50 to warm up. Nothing else is in the figure: no decoding, no copy of the frame.
"""

import hashlib
import platform
import statistics
import time
from dataclasses import replace

import cv2
import numpy as np

from facepaint.catalogue import CATALOGUE
from facepaint.looks import Look, parse_filter
from filters.face import Face, pose_of
from filters.gallery import PORTRAIT_FACE, sample_picture
from filters.planes import Planes
from filters.registry import Painter, make_painter

FRAME = (640, 360)
FACE_PX = 120
WARM_UP, TIMED = 50, 400


def main() -> None:
    """Print a table of the filters: median and 95th percentile in microseconds."""
    cv2.setNumThreads(1)
    print(
        f"{FACE_PX} px face, {FRAME[0]}x{FRAME[1]} 4:2:0, one core of {platform.machine()}, OpenCV {cv2.__version__}\n"
    )
    print(f"{'filter':<12} {'median us':>10} {'95 % us':>10}")
    for name in CATALOGUE:
        times = _paint_times(_painter(name))
        print(f"{name:<12} {statistics.median(times):>10.0f} {sorted(times)[int(0.95 * len(times))]:>10.0f}")


def _painter(name: str) -> Painter:
    if name != "sticker":
        return make_painter(Look((parse_filter(name),)), {})
    data = sample_picture()
    sha256 = hashlib.sha256(data).hexdigest()
    return make_painter(Look((parse_filter("sticker:any.png").stored_as(sha256),)), {sha256: data})


def _paint_times(painter: Painter) -> list[float]:
    width, height = FRAME
    chroma = (height // 2, width // 2)
    y = np.random.default_rng(0).integers(16, 235, (height, width), np.uint8)
    planes = Planes(y, np.full(chroma, 128, np.uint8), np.full(chroma, 128, np.uint8), 1, 1)
    times = []
    for frame in range(WARM_UP + TIMED):
        face = _face(width / 2 + 20 * np.sin(frame / 9), height / 2 + 10 * np.cos(frame / 7))
        start = time.perf_counter()
        painter.paint(planes, [face], frame / 30)
        times.append((time.perf_counter() - start) * 1e6)
    return times[WARM_UP:]


def _face(x: float, y: float) -> Face:
    """The portrait's face, `FACE_PX` wide, about a point; with its pose, as tracks give it."""
    scale = FACE_PX / PORTRAIT_FACE.width
    middle = PORTRAIT_FACE.centre
    moved = [
        (value - middle[n % 2]) * scale + (x, y)[n % 2]
        for n, value in enumerate((*PORTRAIT_FACE.box, *PORTRAIT_FACE.landmarks))
    ]
    face = Face((moved[0], moved[1], moved[2], moved[3]), tuple(moved[4:]), 1.0)
    return replace(face, head=pose_of(face))


if __name__ == "__main__":
    main()
