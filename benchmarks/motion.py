"""Clips of the public-domain portrait in known motion, with ground truth to a hundredth of a px.

A motion is a function of time. A frame is drawn at twice its size, so that subpixel positions are
exact, gets the grain of a camera, and is encoded as H.264. `synthetic_detections` gives the truth
with a detector's errors, without any clip.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.clips import RgbImage, backdrop, place, placement
from benchmarks.pipeline import CutClip, cut_clip, detect_clip
from facepaint.records.codec import decode, encode
from facepaint.records.faces import MIRRORED, Candidate, Faces, FrameFaces
from filters.face import Face

Floats = npt.NDArray[np.float64]

FPS = 30
SIZE = (640, 360)
SECONDS = 5.0

GRAIN = 3.0
"""Standard deviation of a camera's grain in grey levels, 0-255, as indoors."""

CRF = "23"

PORTRAIT_BOX = (179.9, 59.8, 269.6, 174.7)
PORTRAIT_LANDMARKS = (206.7, 101.0, 247.7, 106.3, 224.8, 128.0, 204.9, 142.2, 239.0, 146.2)
"""The face of the portrait as the shipped detector finds it, the median over the clips of this
file, in px of the portrait (512 x 512). Constant offsets from it are subtracted."""

FACE_PX = PORTRAIT_BOX[2] - PORTRAIT_BOX[0]


@dataclass(frozen=True, slots=True)
class Placed:
    """The portrait's place in a frame: centre of the face and width of its box in px, roll in
    degrees anticlockwise."""

    x: float
    y: float
    width: float
    roll: float = 0.0
    mirrored: bool = False

    @property
    def matrix(self) -> Floats:
        """From px of the portrait to px of the frame, both counted from the image's corner: 2 x
        3."""
        height = 512 * self.width / FACE_PX
        matrix = placement(self.x - 0.5, self.y - 0.5, height, self.roll, self.mirrored)
        matrix[:, 2] += 0.5 - matrix[:, :2] @ (0.5, 0.5)
        return matrix

    @property
    def face(self) -> Face:
        """The true face; its box stays upright, as a detector's does."""
        matrix = self.matrix
        points = np.reshape(PORTRAIT_LANDMARKS, (5, 2)) @ matrix[:, :2].T + matrix[:, 2]
        if self.mirrored:
            points = points[list(MIRRORED)]
        corners = np.reshape(PORTRAIT_BOX, (2, 2))
        middle = matrix[:, :2] @ corners.mean(0) + matrix[:, 2]
        half = (corners[1] - corners[0]) / 2 * self.width / FACE_PX
        (x1, y1), (x2, y2) = (middle - half).tolist(), (middle + half).tolist()
        return Face((x1, y1, x2, y2), tuple(points.ravel().tolist()), 1.0)


@dataclass(frozen=True, slots=True)
class Motion:
    """The motion of a face: ``at`` gives its place at a time in seconds."""

    name: str
    width: float
    at: Callable[[float], Placed]
    seconds: float = SECONDS

    @property
    def times_s(self) -> list[float]:
        """The frames' times."""
        return [number / FPS for number in range(round(self.seconds * FPS))]

    @property
    def faces(self) -> list[Face]:
        """The true face of each frame."""
        return [self.at(time).face for time in self.times_s]


def _wave(t: float, hertz: float, phase: float = 0.0) -> float:
    return math.sin(2 * math.pi * hertz * t + phase)


def still(width: float) -> Motion:
    """A face that does not move at all."""
    return Motion(f"still, {width:g} px", width, lambda _: Placed(320.37, 170.61, width, 3.0))


def breathing(width: float) -> Motion:
    """A slight sway, by a fiftieth of the face every few seconds."""
    return Motion(
        f"breathing, {width:g} px",
        width,
        lambda t: Placed(
            320.37 + 0.02 * width * _wave(t, 0.23),
            170.61 + 0.02 * width * _wave(t, 0.31, 1),
            width,
            3 + _wave(t, 0.17),
        ),
    )


def talking(width: float) -> Motion:
    """Sways, leans and nods a little."""
    return Motion(
        f"talking, {width:g} px",
        width,
        lambda t: Placed(
            320 + 0.15 * width * _wave(t, 0.4) + 0.02 * width * _wave(t, 1.7),
            170 + 0.05 * width * _wave(t, 0.9, 1),
            width * (1 + 0.03 * _wave(t, 0.3)),
            6 * _wave(t, 0.5),
        ),
    )


def leaning(width: float) -> Motion:
    """The head leans from one shoulder to the other."""
    return Motion(
        f"leaning, {width:g} px", width, lambda t: Placed(320, 170, width, 22 * _wave(t, 0.4))
    )


def walking(width: float) -> Motion:
    """Walks past at half a face a second, with two steps a second, and comes nearer."""
    return Motion(
        f"walking, {width:g} px",
        width,
        lambda t: Placed(
            180 + 0.5 * width * t,
            170 + 0.03 * width * _wave(t, 2.0),
            width * (0.85 + 0.05 * t),
            2 * _wave(t, 1.0),
        ),
    )


def dashing(width: float) -> Motion:
    """Back and forth at up to three faces a second."""
    reach = 3 / (2 * math.pi * 0.7)
    return Motion(
        f"dashing, {width:g} px",
        width,
        lambda t: Placed(320 + reach * width * _wave(t, 0.7), 170, width),
    )


def stopping(width: float) -> Motion:
    """Starts and stops abruptly: two faces a second for half a second, then a second at rest."""

    def at(t: float) -> Placed:
        phase = t % 3.0
        way = min(max(phase - 0.5, 0), 0.5) - min(max(phase - 2.0, 0), 0.5)
        return Placed(270 + 2 * width * way, 170, width)

    return Motion(f"stopping, {width:g} px", width, at)


def scene(places: Sequence[Placed], size: tuple[int, int] = SIZE) -> npt.NDArray[np.float32]:
    """A frame without grain, with a portrait at each place, later ones in front: RGB (height,
    width, 3)."""
    large = _large_backdrop(*size).copy()
    for one in places:
        place(
            large,
            2 * one.x - 0.5,
            2 * one.y - 0.5,
            1024 * one.width / FACE_PX,
            one.roll,
            one.mirrored,
        )
    return np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_AREA), np.float32)


@cache
def _large_backdrop(width: int, height: int) -> npt.NDArray[np.float32]:
    enlarged = cv2.resize(
        backdrop(width, height)[:, :width], (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR
    )
    return np.ascontiguousarray(enlarged, np.float32)


def motion_frames(motion: Motion) -> Iterator[RgbImage]:
    """The frames of a motion, with grain."""
    return grainy(scene([motion.at(time)]) for time in motion.times_s)


def grainy(scenes: Iterator[npt.NDArray[np.float32]]) -> Iterator[RgbImage]:
    """Frames with the grain of a camera, the same in each run."""
    rng = np.random.default_rng(5)
    for one in scenes:
        grain = rng.normal(0, GRAIN, one.shape[:2]).astype(np.float32)
        yield np.clip(np.rint(one + grain[:, :, None]), 0, 255).astype(np.uint8)


def write_clip(path: Path, frames: Iterator[RgbImage], gop: int = 2 * FPS) -> Path:
    """Encode frames as H.264 with a keyframe every ``gop`` frames; returns the path."""
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "crf": CRF, "g": str(gop), "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.thread_count = 1
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def clip_file(folder: Path, name: str, frames: Iterator[RgbImage], gop: int = 2 * FPS) -> Path:
    """A clip of that name in a folder, written only if it is not there yet."""
    path = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{gop}.mp4"
    if not path.exists():
        write_clip(path, frames, gop)
    return path


def detected(folder: Path, motion: Motion) -> tuple[CutClip, list[Faces]]:
    """The clip of a motion, cut every 2 s, and its faces; both are kept in the folder."""
    path = clip_file(folder, motion.name, motion_frames(motion))
    clip = cut_clip(path)
    files = [path.with_suffix(f".{number}.json") for number in range(len(clip.segments))]
    if not all(file.exists() for file in files):
        for file, record in zip(files, detect_clip(clip), strict=True):
            file.write_bytes(encode(record))
    return clip, [decode(Faces, file.read_bytes(), file.name) for file in files]


@dataclass(frozen=True, slots=True)
class Noise:
    """Errors of a detector: standard deviations of a coordinate in shares of the face's width.

    ``correlation`` is that of successive frames (an autoregressive process of first order),
    ``missed`` the share of frames without a detection.
    """

    box: float
    landmarks: float
    correlation: float
    missed: float = 0.0


STILL = Noise(box=0.0045, landmarks=0.003, correlation=0.35)
"""Measured on faces of 80 and 160 px that do not move."""

TALKING = Noise(box=0.017, landmarks=0.013, correlation=0.8)
"""Measured on a talking face. The errors depend on how the face lies on the detector's grid, so
they last for several frames."""

FAST = Noise(box=0.015, landmarks=0.011, correlation=0.1)
"""Measured at up to three face widths a second."""


def synthetic_detections(motion: Motion, noise: Noise, seed: int = 0) -> Faces:
    """The record of a clip that was never drawn: the true faces with noise, one tick a frame."""
    rng = np.random.default_rng(seed)
    deviation = np.repeat([noise.box, noise.landmarks], [4, 10])
    error = rng.normal(0, 1, 14)
    frames = []
    for pts, face in enumerate(motion.faces):
        if pts:
            fresh = rng.normal(0, 1, 14)
            error = noise.correlation * error + math.sqrt(1 - noise.correlation**2) * fresh
        values = np.array([*face.box, *face.landmarks]) + error * deviation * face.width
        x1, y1, x2, y2, *landmarks = values.round(2).tolist()
        detection = Candidate(0.9, (x1, y1, x2, y2), tuple(landmarks))
        is_missed = rng.uniform() < noise.missed
        frames.append(FrameFaces(pts, faces=() if is_missed else (detection,)))
    return Faces(0, tuple(frames), "synthetic", "cpu")
