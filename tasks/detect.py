"""The detect task: find the faces of one segment, then queue what has become ready."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import av
import cv2
import numpy as np

from facepaint.jobs.readiness import enqueue_ready
from facepaint.records import keys
from facepaint.records.faces import Faces, FrameFaces
from facepaint.records.job import ImageJob, Job, VideoJob, VideoStream
from facepaint.records.segment import Segment
from models import DetectorModel, shipped_model
from models.detector import Detector, Size
from models.providers import AUTO, Runtime
from tasks.claims import hold_claim
from tasks.context import WorkerContext, remove_if_deleted, run_or_give_up, stored_run
from tasks.detector_cache import load_detector, model_of
from tasks.images import detect_image
from tasks.stopwatch import Stopwatch
from tasks.tracking.tracker import scene_change
from tasks.video.decode import DecodeReport, RunSource, decode_window
from tasks.video.hdr import is_hdr
from tasks.video.normalize import displayed_yuv, source_colour
from tasks.video.tonemap import in_sdr
from tasks.video.yuv import PLANAR, AnyPlane, Plane, YuvPlanes, yuv_of

SIGNATURE_SIZE = (16, 9)


def run_detect(
    context: WorkerContext, job_id: str, index: int, redelivered: bool = False
) -> Faces | None:
    """Detect one segment, then queue the painting that has become ready.

    The second part is never skipped: it is what an earlier attempt may have missed.

    Returns:
        The record, if this call made one.
    """
    known = context.job(job_id)
    if known is None:
        return None
    job, segments = known
    store = context.store
    done, failed = keys.faces(job_id, index), keys.faces_failed(job_id, index)
    faces = None
    if not store.exists(done) and not store.exists(failed):
        run = stored_run(segments, index)
        if run is None:
            return None
        with hold_claim(context, job_id, "detect", index, None, redelivered) as claim:
            if claim is None:
                return None
            work = partial(_detect, context, job, run)
            faces = run_or_give_up(context, claim, (failed, index), work)
            if faces is not None:
                store.put_record(done, faces)
    if not remove_if_deleted(context, job_id, [done, failed]):
        enqueue_ready(store, context.queue, job, [index], segments=segments)
    return faces


def _detect(context: WorkerContext, job: Job, run: Sequence[Segment]) -> Faces:
    settings = context.settings
    source = context.source(job.id, run)
    model = model_of(job.detector, context.store)
    runtime = Runtime(settings.device, settings.threads, settings.detect_batch, settings.float16)
    if isinstance(job, ImageJob):
        index, data = source.target.index, source.data[0]
        return detect_image(job, index, data, runtime, settings.worker_name, model)
    return detect_segment(job, source, runtime, settings.worker_name, model)


def detect_segment(
    job: VideoJob,
    source: RunSource,
    runtime: Runtime = AUTO,
    worker: str = "",
    model: DetectorModel | None = None,
) -> Faces:
    """Detect the faces in every frame of a segment's window.

    A frame that the decoder concealed in part counts as failed, because a face may be in the
    missing part. Its detections are kept.

    Args:
        model: the job's detector, unless it is shipped.

    Raises:
        UnreadableMedia: the segment cannot be decoded.
        DeviceError: the requested device is missing.
    """
    clock = Stopwatch()
    with clock.stage("load"):
        model = model or shipped_model(job.detector.name)
        detector = load_detector(model, job.detector.min_face, *job.video.upright_size, runtime)
    findings = _Findings(detector, clock)
    report = DecodeReport()
    frames = clock.each("decode", decode_window(job.video, source, report))
    for small in clock.each("scale", _small_frames(job.video, detector.size, frames)):
        findings.add(small)
    findings.finish(damaged=report.damaged)
    seconds = clock.times_s
    # Scaling pulls the decoded frames, so its time includes theirs.
    seconds["scale"] = round(seconds["scale"] - seconds["decode"], 4)
    return Faces(
        index=source.target.index,
        frames=tuple(findings.frames),
        detector=detector.name,
        device=detector.device,
        first_signature=findings.first_signature,
        last_signature=findings.last_signature,
        worker=worker,
        times_s=seconds,
    )


@dataclass(frozen=True, slots=True)
class _SmallFrame:
    """A frame as the detector sees it: small, upright, B, G and R planes, with its time and
    signature."""

    pts: int
    planes: tuple[Plane, Plane, Plane]
    signature: tuple[int, ...]


class _Findings:
    """Collects the frames of a segment and detects them in batches."""

    def __init__(self, detector: Detector, clock: Stopwatch) -> None:
        self._detector, self._clock = detector, clock
        self._waiting: list[_SmallFrame] = []
        self._scene_changes: list[float] = []
        self.frames: list[FrameFaces] = []
        self.first_signature: tuple[int, ...] = ()
        self.last_signature: tuple[int, ...] = ()

    def add(self, small: _SmallFrame) -> None:
        """Take the next frame."""
        if not self._scene_changes:
            self.first_signature = small.signature
        self._scene_changes.append(round(scene_change(self.last_signature, small.signature), 4))
        self.last_signature = small.signature
        self._waiting.append(small)
        if len(self._waiting) == self._detector.batch:
            self._run()

    def finish(self, damaged: Collection[int]) -> None:
        """Detect the rest. ``damaged`` are the pts of frames that count as failed."""
        self._run()
        self.frames = [replace(f, status="failed") if f.pts in damaged else f for f in self.frames]

    def _run(self) -> None:
        with self._clock.stage("detect"):
            found = self._detector.detect([small.planes for small in self._waiting])
        for small, faces in zip(self._waiting, found, strict=True):
            self.frames.append(
                FrameFaces(small.pts, "detected", self._scene_changes[len(self.frames)], faces)
            )
        self._waiting.clear()


def _small_frames(
    video: VideoStream, size: Size, frames: Iterable[av.VideoFrame]
) -> Iterator[_SmallFrame]:
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
        yield _SmallFrame(
            frame.pts, (blue, green, red), tuple(int(value) for value in grid.ravel())
        )


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
        samples = yuv_of(frame, colour.is_full_range)
    else:
        samples = displayed_yuv(frame, video)
    # The two fields of a moving face lie apart; one of them is enough to find it.
    lines = slice(None, None, 2 if frame.interlaced_frame else 1)
    y, u, v = (_small(plane[lines], size) for plane in (samples.y, samples.u, samples.v))
    alpha = None if samples.alpha is None else _small(samples.alpha[lines], size)
    small = YuvPlanes(y, u, v, alpha, samples.bits, 0, 0, samples.full_range).on_black()
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
