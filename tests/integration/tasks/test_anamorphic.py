"""Video with pixels that are not square: faces are detected and painted as players show them."""

from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facepaint.looks.parser import parse_look
from facepaint.records.faces import Faces
from facepaint.records.job import DetectorSpec, VideoJob
from facepaint.settings import Settings
from models.boxes import iou
from models.providers import Runtime
from tasks.detect import detect_segment
from tasks.paint import Inputs, paint_segment
from tasks.video.decode import RunSource
from tests.support.clips.write import Video, portrait, write_clip
from tests.support.cut_clip import CutClip, cut_clip
from uploader.upload import new_job

SHOWN = (1024, 576)
"""The size at which every clip of this module is shown, in square px."""

SHAPES = [
    ((352, 576), Fraction(32, 11)),
    ((480, 576), Fraction(32, 15)),
    ((544, 576), Fraction(32, 17)),
    ((512, 576), Fraction(2)),
    ((1024, 432), Fraction(3, 4)),
]


def shown_frames() -> list[np.ndarray]:
    return [np.asarray(image) for image in portrait(seconds=0.4, size=SHOWN)]


def clip_of(path: Path, size: tuple[int, int], video: Video) -> CutClip:
    frames = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in shown_frames()]
    turned = bool(video.shown)
    write_clip(
        path, [np.ascontiguousarray(np.rot90(f)) for f in frames] if turned else frames, video
    )
    return cut_clip(path, 2.0)


def job_and_faces(clip: CutClip) -> tuple[VideoJob, Faces]:
    job = new_job(clip.probed, Settings.load(), DetectorSpec())
    job = replace(job, start_pts=clip.records[0].start)
    return job, detect_segment(job, source_of(clip), Runtime("cpu"))


def source_of(clip: CutClip) -> RunSource:
    return RunSource(clip.records, [clip.segments[0].data])


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Faces:
    """The faces of the same frames with square px."""
    path = tmp_path_factory.mktemp("square") / "square.mp4"
    return job_and_faces(clip_of(path, SHOWN, Video()))[1]


@pytest.mark.parametrize(("size", "aspect"), SHAPES, ids=str)
@pytest.mark.parametrize("turned", [False, True], ids=["upright", "turned"])
def test_faces_are_found_and_covered(
    size: tuple[int, int], aspect: Fraction, turned: bool, expected: Faces, tmp_path: Path
) -> None:
    # The aspect is of the stored pixels, whose sides a turn by 90 degrees swaps.
    video = Video(aspect=1 / aspect, shown=(-90, False)) if turned else Video(aspect=aspect)
    clip = clip_of(tmp_path / "clip.mp4", size, video)
    job, faces = job_and_faces(clip)
    assert job.video.square_size == pytest.approx(SHOWN, abs=1)
    for frame, square in zip(faces.frames, expected.frames, strict=True):
        certain = np.array([face.box for face in square.faces if face.score > 0.7])
        assert len(certain)
        overlaps = iou(certain, np.array([face.box for face in frame.faces]))
        assert overlaps.max(axis=1).min() > 0.6, "boxes are in square px"
    result = paint_segment(job, parse_look(["fill"]), source_of(clip), Inputs({0: faces}))
    with av.open(BytesIO(result.data)) as container:
        images = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio == aspect
    for image, square in zip(images, expected.frames, strict=True):
        shown = cv2.resize(image, SHOWN, interpolation=cv2.INTER_LINEAR)
        for face in square.faces:
            if face.score > 0.7:
                x1, y1, x2, y2 = map(round, face.box)
                assert shown[y1:y2, x1:x2].std() < 6, "one colour covers the whole box"
