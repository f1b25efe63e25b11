"""Find the faces in a segment: decode, scale down, detect. The plain function behind the detect
task."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import av
import cv2
import numpy as np

from facepaint.records.faces import Faces, FrameFaces
from facepaint.records.job import VideoJob, VideoStream
from facepaint.records.segment import Segment
from models import DetectorModel, shipped_model
from models.detector import Detector, Size, size_for
from models.providers import AUTO, Runtime
from tasks.stopwatch import Stopwatch
from tasks.tracking.tracker import cut_score
from tasks.video.decode import Bins, DecodeReport, decode_window
from tasks.video.hdr import is_hdr
from tasks.video.normalize import shown_samples, source_colour
from tasks.video.tonemap import in_sdr
from tasks.video.yuv import FULL, PLANAR, AnyPlane, Plane, Samples, samples_of

SIGNATURE_SIZE = (16, 9)


@lru_cache(maxsize=4)
def load_detector(
    model: DetectorModel, min_face: float, width: int, height: int, runtime: Runtime
) -> Detector:
    """The detector for upright frames of a size; remembered, because making one takes longer than
    using it."""
    return Detector(model, size_for(model, width, height, min_face), runtime)


def detect_segment(
    job: VideoJob,
    run: Sequence[Segment],
    bins: Bins,
    runtime: Runtime = AUTO,
    worker: str = "",
    model: DetectorModel | None = None,
) -> Faces:
    """Find the faces in every frame of a segment's window.

    Frames of which the decoder made up parts count as failed: a face may be in what is not there.
    What is found in them is kept all the same.

    Args:
        run: the records from the segment's ``decode_from`` to itself, ``bins`` their bytes in the
            same order.
        model: the job's detector, where that is not one that ships.

    Raises:
        UnreadableMedia: the segment cannot be decoded.
        DeviceError: the device asked for is not there.
    """
    clock = Stopwatch()
    with clock.stage("load"):
        model = model or shipped_model(job.detector.name)
        detector = load_detector(model, job.detector.min_face, *job.video.upright_size, runtime)
    findings = _Findings(detector, clock)
    report = DecodeReport()
    frames = clock.each("decode", decode_window(job.video, run, bins, runtime.threads, report))
    for picture in clock.each("scale", _pictures(job.video, detector.size, frames)):
        findings.add(picture)
    findings.finish(damaged=report.damaged)
    seconds = clock.times_s
    seconds["scale"] = round(seconds["scale"] - seconds["decode"], 4)
    return Faces(
        index=run[-1].index,
        frames=tuple(findings.frames),
        detector=detector.name,
        device=detector.device,
        first_signature=findings.first_signature,
        last_signature=findings.last_signature,
        worker=worker,
        times_s=seconds,
    )


@dataclass(frozen=True, slots=True)
class _Picture:
    """A frame as the detector sees it: small, upright, B, G and R planes, with its time and
    signature."""

    pts: int
    planes: tuple[Plane, Plane, Plane]
    signature: tuple[int, ...]


class _Findings:
    """Gathers the pictures of a segment, detects them in batches, keeps what was found."""

    def __init__(self, detector: Detector, clock: Stopwatch) -> None:
        self._detector, self._clock = detector, clock
        self._waiting: list[_Picture] = []
        self._cuts: list[float] = []
        self.frames: list[FrameFaces] = []
        self.first_signature: tuple[int, ...] = ()
        self.last_signature: tuple[int, ...] = ()

    def add(self, picture: _Picture) -> None:
        """Take the next frame."""
        if not self._cuts:
            self.first_signature = picture.signature
        self._cuts.append(round(cut_score(self.last_signature, picture.signature), 4))
        self.last_signature = picture.signature
        self._waiting.append(picture)
        if len(self._waiting) == self._detector.batch:
            self._run()

    def finish(self, damaged: Collection[int]) -> None:
        """The window has ended; ``damaged`` are the times of frames that did not come whole."""
        self._run()
        self.frames = [replace(f, status="failed") if f.pts in damaged else f for f in self.frames]

    def _run(self) -> None:
        with self._clock.stage("detect"):
            found = self._detector.detect([picture.planes for picture in self._waiting])
        for picture, faces in zip(self._waiting, found, strict=True):
            self.frames.append(
                FrameFaces(picture.pts, "detected", self._cuts[len(self.frames)], faces)
            )
        self._waiting.clear()


def _pictures(
    video: VideoStream, size: Size, frames: Iterable[av.VideoFrame]
) -> Iterator[_Picture]:
    """Each frame as the detector sees it."""
    sideways = bool(video.rotation % 180)
    small_size = (size.height, size.width) if sideways else (size.width, size.height)
    for frame in frames:
        assert frame.pts is not None
        y, u, v = _small_planes(frame, small_size, video)
        grid = cv2.resize(_upright(y, video), SIGNATURE_SIZE, interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(cv2.merge((y, v, u)), cv2.COLOR_YCrCb2BGR)
        blue, green, red = (
            _upright(np.asarray(plane, np.uint8), video) for plane in cv2.split(bgr)
        )
        yield _Picture(frame.pts, (blue, green, red), tuple(int(value) for value in grid.ravel()))


def _small_planes(
    frame: av.VideoFrame, size: tuple[int, int], video: VideoStream
) -> tuple[Plane, Plane, Plane]:
    """Y, U and V at one small size, 8 bits, full range. Each plane is scaled by itself: a fifth of
    swscale's time."""
    colour = source_colour(video)
    if PLANAR.fullmatch(frame.format.name) and (frame.width, frame.height) == (
        video.width,
        video.height,
    ):
        samples = samples_of(frame, colour.range == FULL)
    else:
        samples = shown_samples(frame, video)
    # The two fields of a moving face lie apart; one of them is enough to find it.
    lines = slice(None, None, 2 if frame.interlaced_frame else 1)
    y, u, v = (_small(plane[lines], size) for plane in (samples.y, samples.u, samples.v))
    alpha = None if samples.alpha is None else _small(samples.alpha[lines], size)
    small = Samples(y, u, v, alpha, samples.bits, 0, 0, samples.full_range).on_black()
    if is_hdr(colour):
        small = in_sdr(small, colour, video.light)
    scale = 1 / (1 << small.bits - 8)
    if small.full_range:
        ranges = [(scale, 0.0)] * 3
    else:
        ranges = [
            (scale * 255 / 219, -16 * 255 / 219),
            *[(scale * 255 / 224, 128 - 128 * 255 / 224)] * 2,
        ]
    y, u, v = (
        plane if (alpha, beta) == (1.0, 0.0) else cv2.convertScaleAbs(plane, alpha=alpha, beta=beta)
        for plane, (alpha, beta) in zip((small.y, small.u, small.v), ranges, strict=True)
    )
    return np.asarray(y, np.uint8), np.asarray(u, np.uint8), np.asarray(v, np.uint8)


def _small(plane: AnyPlane, size: tuple[int, int]) -> AnyPlane:
    if plane.shape == size[::-1]:
        return plane
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), plane.dtype)


def _upright(plane: Plane, video: VideoStream) -> Plane:
    if video.mirrored:
        plane = plane[:, ::-1]
    return (
        np.ascontiguousarray(np.rot90(plane, -video.rotation // 90))
        if video.rotation or video.mirrored
        else plane
    )
