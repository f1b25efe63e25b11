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
from models.rotated import merged
from tasks.claims import hold_claim
from tasks.context import (
    WorkerContext,
    failing_on_damaged_records,
    remove_if_deleted,
    run_or_give_up,
    stored_run,
)
from tasks.detector_cache import load_search, model_of
from tasks.images import detect_image
from tasks.stopwatch import Stopwatch
from tasks.tracking.tracker import scene_change
from tasks.turned_faces import TurnedFaces
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

    The second part is done even if the faces are stored: an earlier attempt may have missed it.

    Returns:
        The record, if this call made one.
    """
    loaded = context.job(job_id)
    if loaded is None:
        return None
    job, segments = loaded
    store = context.store
    done_key, failed_key = keys.faces(job_id, index), keys.faces_failed(job_id, index)
    faces = None
    if not store.exists(done_key) and not store.exists(failed_key):
        run = None
        with failing_on_damaged_records(store, (failed_key, index)):
            run = stored_run(segments, index)
            if run is None:
                return None
        if run is not None:
            with hold_claim(context, job_id, "detect", index, None, redelivered) as claim:
                if claim is None:
                    return None
                work = partial(_detect, context, job, run)
                faces = run_or_give_up(context, claim, (failed_key, index), work)
                if faces is not None:
                    store.put_record(done_key, faces)
    if not remove_if_deleted(context, job_id, [done_key, failed_key]):
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
        search = load_search(model, job.detector.min_face, job.video.square_size, runtime)
    detector = search.upright
    batches = _Batches(detector, TurnedFaces(search, job.video.time_base), clock)
    report = DecodeReport()
    frames = clock.each("decode", decode_window(job.video, source, report))
    for small in clock.each("scale", small_frames(job.video, detector.size, frames)):
        batches.add(small)
    batches.finish(damaged=report.damaged)
    seconds = clock.times_s
    # Scaling pulls the decoded frames, so its time includes theirs.
    seconds["scale"] = round(seconds["scale"] - seconds["decode"], 4)
    return Faces(
        index=source.target.index,
        frames=tuple(batches.frames),
        detector=detector.name,
        device=detector.device,
        first_signature=batches.first_signature,
        last_signature=batches.last_signature,
        worker=worker,
        times_s=seconds,
    )


@dataclass(frozen=True, slots=True)
class _SmallFrame:
    """A frame as the detector takes it: small and upright, with B, G and R planes."""

    pts: int
    planes: tuple[Plane, Plane, Plane]
    signature: tuple[int, ...]


class _Batches:
    """Collects the frames of a segment and runs the detector on batches of them."""

    def __init__(self, detector: Detector, turned: TurnedFaces, clock: Stopwatch) -> None:
        self._detector, self._turned, self._clock = detector, turned, clock
        self._waiting: list[_SmallFrame] = []
        self._scene_changes: list[float] = []
        self.frames: list[FrameFaces] = []
        self.first_signature: tuple[int, ...] = ()
        self.last_signature: tuple[int, ...] = ()

    def add(self, small: _SmallFrame) -> None:
        """Take the next frame."""
        # The segment before this one may be detected later, so the first frame's change is computed
        # from both signatures by `scene_changes`.
        if not self._scene_changes:
            self.first_signature = small.signature
        self._scene_changes.append(round(scene_change(self.last_signature, small.signature), 4))
        self.last_signature = small.signature
        self._waiting.append(small)
        if len(self._waiting) == self._detector.batch:
            self._run()

    def finish(self, damaged: Collection[int]) -> None:
        """Detect the rest.

        Args:
            damaged: the pts of frames that count as failed.
        """
        self._run()
        with self._clock.stage("turned"):
            self._turned.finish()
        self.frames = [self._complete(frame, frame.pts in damaged) for frame in self.frames]

    def _complete(self, frame: FrameFaces, is_damaged: bool) -> FrameFaces:
        faces = merged([frame.faces], self._turned.found.get(frame.pts, []))
        return replace(frame, faces=faces, status="failed" if is_damaged else "detected")

    def _run(self) -> None:
        with self._clock.stage("detect"):
            results = self._detector.detect([small.planes for small in self._waiting])
        for small, faces in zip(self._waiting, results, strict=True):
            self.frames.append(
                FrameFaces(small.pts, "detected", self._scene_changes[len(self.frames)], faces)
            )
            with self._clock.stage("turned"):
                self._turned.add(small.pts, small.planes, faces)
        self._waiting.clear()


def small_frames(
    video: VideoStream, size: Size, frames: Iterable[av.VideoFrame]
) -> Iterator[_SmallFrame]:
    """Scale frames for the detector and turn them upright."""
    # Frames are scaled before they are turned: fewer px to move.
    sideways = bool(video.rotation % 180)
    small_size = (size.height, size.width) if sideways else (size.width, size.height)
    for frame in frames:
        assert frame.pts is not None
        y, u, v = _small_planes(frame, small_size, video)
        grid = cv2.resize(_upright(y, video), SIGNATURE_SIZE, interpolation=cv2.INTER_AREA)
        signature = tuple(int(value) for value in grid.ravel())
        bgr = cv2.cvtColor(cv2.merge((y, v, u)), cv2.COLOR_YCrCb2BGR)
        blue, green, red = (
            _upright(np.asarray(plane, np.uint8), video) for plane in cv2.split(bgr)
        )
        yield _SmallFrame(frame.pts, (blue, green, red), signature)


def _small_planes(
    frame: av.VideoFrame, size: tuple[int, int], video: VideoStream
) -> tuple[Plane, Plane, Plane]:
    """Y, U and V at one small size, in 8 bits and full range.

    Each plane is scaled by itself, in a fifth of the time of swscale.
    """
    colour = source_colour(video)
    same_size = (frame.width, frame.height) == (video.width, video.height)
    if PLANAR.fullmatch(frame.format.name) and same_size:
        # Alpha is composited after scaling, which is faster.
        samples = yuv_of(frame, colour.is_full_range)
    else:
        samples = displayed_yuv(frame, video)
    # The two fields of a moving face lie apart; one of them is enough for detection.
    lines = slice(None, None, 2 if frame.interlaced_frame else 1)
    y, u, v = (_small(plane[lines], size) for plane in (samples.y, samples.u, samples.v))
    alpha = None if samples.alpha is None else _small(samples.alpha[lines], size)
    small = YuvPlanes(y, u, v, alpha, samples.bits, 0, 0, samples.full_range).on_black()
    if is_hdr(colour):
        small = in_sdr(small, colour, video.light)
    return _in_full_range(small)


def _in_full_range(small: YuvPlanes) -> tuple[Plane, Plane, Plane]:
    """Y, U and V in 8 bits and full range, which is what OpenCV's conversion to BGR takes."""
    scale = 1 / (1 << small.bits - 8)
    luma = chroma = scale, 0.0
    if not small.full_range:
        luma = scale * 255 / 219, -16 * 255 / 219
        chroma = scale * 255 / 224, 128 - 128 * 255 / 224
    return (
        _rescaled(small.y, *luma),
        _rescaled(small.u, *chroma),
        _rescaled(small.v, *chroma),
    )


def _rescaled(plane: AnyPlane, factor: float, offset: float) -> Plane:
    if (factor, offset) != (1.0, 0.0):
        plane = cv2.convertScaleAbs(plane, alpha=factor, beta=offset)
    return np.asarray(plane, np.uint8)


def _small(plane: AnyPlane, size: tuple[int, int]) -> AnyPlane:
    if plane.shape == size[::-1]:
        return plane
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), plane.dtype)


def _upright(plane: Plane, video: VideoStream) -> Plane:
    if not video.rotation and not video.mirrored:
        return plane
    if video.mirrored:
        plane = plane[:, ::-1]
    return np.ascontiguousarray(np.rot90(plane, -video.rotation // 90))
