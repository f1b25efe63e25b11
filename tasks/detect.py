"""Find the faces in a segment: decode, scale down, detect. The plain function behind the detect task."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import av
import cv2
import numpy as np

from facepaint.jobs import Faces, FrameFaces, Job, Segment, VideoStream
from models import DetectorModel, shipped_model
from models.detector import Detector, Size, size_for
from models.providers import AUTO, Runtime
from tasks.decode import Bins, decode_window
from tasks.hdr import is_hdr
from tasks.samples import FULL, PLANAR, AnyPlane, Plane, Samples, samples_of
from tasks.stopwatch import Stopwatch
from tasks.tonemap import in_sdr
from tasks.track import CUT, cut_score
from tasks.upright import shown_samples, source_colour

SIGNATURE_SIZE = (16, 9)


@lru_cache(maxsize=4)
def load_detector(model: DetectorModel, min_face: float, width: int, height: int, runtime: Runtime) -> Detector:
    """The detector for upright frames of a size; remembered, because making one takes longer than using it."""
    return Detector(model, size_for(model, width, height, min_face), runtime)


def detect_segment(
    job: Job,
    run: Sequence[Segment],
    bins: Bins,
    runtime: Runtime = AUTO,
    worker: str = "",
    model: DetectorModel | None = None,
) -> Faces:
    """Find the faces in a segment's window: in every frame, or in as many of them as the job's detector is told to.

    Whatever that is, the first and last frame of the window and those on either side of a cut are detected.

    Args:
        run: the records from the segment's ``decode_from`` to itself, ``bins`` their bytes in the same order.
        model: the job's detector, where that is not one that ships.

    Raises:
        UnreadableMedia: the segment cannot be decoded.
        DeviceError: the device asked for is not there.
    """
    assert job.video is not None
    clock = Stopwatch()
    with clock.stage("load"):
        model = model or shipped_model(job.detector.name)
        detector = load_detector(model, job.detector.min_face, *job.video.upright_size, runtime)
    findings = _Findings(detector, clock)
    frames = clock.each("decode", decode_window(job.video, run, bins, runtime.threads))
    for picture in clock.each("scale", _pictures(job.video, detector.size, frames)):
        findings.add(picture, _slot(job, picture.pts))
    findings.finish()
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


def _slot(job: Job, pts: int) -> int:
    """Which stretch of `DetectorSpec.every` nominal frames a time lies in; one frame of each is detected.

    It follows from the times alone, not from where the video was cut. Counting the frames that came would do so no
    less, but not in a stream that shows fewer or more of them than its rate says.
    """
    assert job.video is not None
    rate = job.video.frame_rate
    if job.detector.every <= 1 or not rate:
        return pts
    # A quarter of a frame keeps times that were rounded down in the stretch that they are meant for.
    number = (pts - job.start_pts) * job.video.time_base * rate + Fraction(1, 4)
    return int(number // job.detector.every)


@dataclass(frozen=True, slots=True)
class _Picture:
    """A frame as the detector sees it: small, upright, B, G and R planes, with its time and signature."""

    pts: int
    planes: tuple[Plane, Plane, Plane]
    signature: tuple[int, ...]


class _Findings:
    """Gathers the pictures of a segment, detects those that are to be detected in batches, keeps what was found."""

    def __init__(self, detector: Detector, clock: Stopwatch) -> None:
        self._detector, self._clock = detector, clock
        self._waiting: list[tuple[int, _Picture]] = []
        self._skipped: _Picture | None = None
        self._slot: int | None = None
        self.frames: list[FrameFaces] = []
        self.first_signature: tuple[int, ...] = ()
        self.last_signature: tuple[int, ...] = ()

    def add(self, picture: _Picture, slot: int) -> None:
        """Take the next frame; the first one in each slot is detected."""
        first = not self.frames
        cut = 0.0 if first else round(cut_score(self.last_signature, picture.signature), 4)
        if cut >= CUT and self._skipped is not None:
            self._detect(len(self.frames) - 1, self._skipped)
        self.frames.append(FrameFaces(picture.pts, "skipped", cut))
        self._skipped = picture
        if slot != self._slot or cut >= CUT:
            self._detect(len(self.frames) - 1, picture)
        if first:
            self.first_signature = picture.signature
        self.last_signature = picture.signature
        self._slot = slot

    def finish(self) -> None:
        """The window has ended."""
        if self._skipped is not None:
            self._detect(len(self.frames) - 1, self._skipped)
        self._run()

    def _detect(self, row: int, picture: _Picture) -> None:
        self._skipped = None
        self._waiting.append((row, picture))
        if len(self._waiting) == self._detector.batch:
            self._run()

    def _run(self) -> None:
        with self._clock.stage("detect"):
            found = self._detector.detect([picture.planes for _, picture in self._waiting])
        for (row, _), faces in zip(self._waiting, found, strict=True):
            self.frames[row] = replace(self.frames[row], status="detected", faces=faces)
        self._waiting.clear()


def _pictures(video: VideoStream, size: Size, frames: Iterable[av.VideoFrame]) -> Iterator[_Picture]:
    """Each frame as the detector sees it."""
    sideways = bool(video.rotation % 180)
    small_size = (size.height, size.width) if sideways else (size.width, size.height)
    for frame in frames:
        assert frame.pts is not None
        y, u, v = _small_planes(frame, small_size, video)
        grid = cv2.resize(_upright(y, video), SIGNATURE_SIZE, interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(cv2.merge((y, v, u)), cv2.COLOR_YCrCb2BGR)
        blue, green, red = (_upright(np.asarray(plane, np.uint8), video) for plane in cv2.split(bgr))
        yield _Picture(frame.pts, (blue, green, red), tuple(int(value) for value in grid.ravel()))


def _small_planes(frame: av.VideoFrame, size: tuple[int, int], video: VideoStream) -> tuple[Plane, Plane, Plane]:
    """Y, U and V at one small size, 8 bits, full range. Each plane is scaled by itself: a fifth of swscale's time."""
    colour = source_colour(video)
    if PLANAR.fullmatch(frame.format.name) and (frame.width, frame.height) == (video.width, video.height):
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
        ranges = [(scale * 255 / 219, -16 * 255 / 219), *[(scale * 255 / 224, 128 - 128 * 255 / 224)] * 2]
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
    return np.ascontiguousarray(np.rot90(plane, -video.rotation // 90)) if video.rotation or video.mirrored else plane
