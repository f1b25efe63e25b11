"""Find the faces in a segment: decode, scale down, detect. The plain function behind the detect task."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import av
import cv2
import numpy as np

from facepaint.jobs import DetectorSpec, Faces, FrameFaces, Job, Segment, VideoStream
from models import find_model
from models.detector import Detector, Device, Size, size_for
from tasks.decode import decode_window
from tasks.stopwatch import Stopwatch
from tasks.tracking import cut_score
from tasks.upright import FULL, Plane, plane_views

SIGNATURE_SIZE = (16, 9)

PLANAR_8_BIT = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})


@lru_cache(maxsize=4)
def load_detector(spec: DetectorSpec, width: int, height: int, device: Device, threads: int) -> Detector:
    """The detector for upright frames of a size; remembered, because making one takes longer than using it."""
    model = find_model(spec.name)
    return Detector(model, size_for(model, width, height, spec.min_face), device, threads)


def detect_segment(
    job: Job, run: Sequence[Segment], bins: Iterable[bytes], device: Device, threads: int = 1, worker: str = ""
) -> Faces:
    """Find the faces in every frame of a segment's window.

    Args:
        run: the records from the segment's ``decode_from`` to itself, ``bins`` their bytes in the same order.

    Raises:
        UnreadableMedia: the segment cannot be decoded.
        DeviceError: the device asked for is not there.
    """
    assert job.video is not None
    clock = Stopwatch()
    with clock.stage("load"):
        detector = load_detector(job.detector, *job.video.upright_size, device, threads)
    times: list[int] = []
    found = []
    signatures: list[tuple[int, ...]] = []
    frames = clock.each("decode", decode_window(job.video, run, bins, threads))
    pictures = clock.each("scale", _pictures(job.video, detector.size, frames, times, signatures))
    for batch in _batches(pictures, detector.batch):
        with clock.stage("detect"):
            found += detector.detect(batch)
    cuts = [0.0, *(round(cut_score(a, b), 4) for a, b in pairwise(signatures))]
    seconds = clock.times_s
    seconds["scale"] = round(seconds["scale"] - seconds["decode"], 4)
    return Faces(
        index=run[-1].index,
        frames=tuple(FrameFaces(pts, cut=cut, faces=faces) for pts, cut, faces in zip(times, cuts, found, strict=True)),
        detector=detector.name,
        device=detector.device,
        first_signature=signatures[0] if signatures else (),
        last_signature=signatures[-1] if signatures else (),
        worker=worker,
        times_s=seconds,
    )


_Bgr = tuple[Plane, Plane, Plane]


def _pictures(
    video: VideoStream,
    size: Size,
    frames: Iterable[av.VideoFrame],
    times: list[int],
    signatures: list[tuple[int, ...]],
) -> Iterator[_Bgr]:
    """Each frame small, upright and as B, G, R planes; its time and signature are appended on the way."""
    sideways = bool(video.rotation % 180)
    small_size = (size.height, size.width) if sideways else (size.width, size.height)
    full_range = video.colour.range == FULL
    for frame in frames:
        assert frame.pts is not None
        y, u, v = _small_planes(frame, small_size, full_range)
        times.append(frame.pts)
        grid = cv2.resize(_upright(y, video), SIGNATURE_SIZE, interpolation=cv2.INTER_AREA)
        signatures.append(tuple(int(value) for value in grid.ravel()))
        bgr = cv2.cvtColor(cv2.merge((y, v, u)), cv2.COLOR_YCrCb2BGR)
        blue, green, red = (_upright(np.asarray(plane, np.uint8), video) for plane in cv2.split(bgr))
        yield blue, green, red


def _small_planes(frame: av.VideoFrame, size: tuple[int, int], full_range: bool) -> tuple[Plane, Plane, Plane]:
    """Y, U and V at one small size, full range. Each plane is scaled by itself: a fifth of the time swscale takes."""
    if frame.format.name not in PLANAR_8_BIT:
        frame = frame.reformat(*size, "yuvj444p", interpolation="AREA")
        full_range = True
    y, u, v = (
        plane if plane.shape == size[::-1] else cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        for plane in plane_views(frame)
    )
    if not full_range:
        y = cv2.convertScaleAbs(y, alpha=255 / 219, beta=-16 * 255 / 219)
        u, v = (cv2.convertScaleAbs(plane, alpha=255 / 224, beta=128 - 128 * 255 / 224) for plane in (u, v))
    return np.asarray(y, np.uint8), np.asarray(u, np.uint8), np.asarray(v, np.uint8)


def _upright(plane: Plane, video: VideoStream) -> Plane:
    if video.mirrored:
        plane = plane[:, ::-1]
    return np.ascontiguousarray(np.rot90(plane, -video.rotation // 90)) if video.rotation or video.mirrored else plane


def _batches(pictures: Iterable[_Bgr], size: int) -> Iterator[list[_Bgr]]:
    batch: list[_Bgr] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
