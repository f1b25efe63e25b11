"""Redactions cover faces of people who lie, hang upside down, or are filmed sideways."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from facepaint.looks.parser import parse_look
from facepaint.records.faces import Faces
from facepaint.records.job import DetectorSpec, VideoJob
from facepaint.settings import Settings
from models.providers import Runtime
from models.rotated import turned_back
from tasks.detect import detect_segment
from tasks.paint import Inputs, paint_segment
from tasks.tracking.tracker import STICKERS, Tracks
from tasks.video.decode import RunSource
from tests.support.clips.write import Video, portrait, write_clip
from tests.support.cut_clip import CutClip, cut_clip
from uploader.upload import new_job

SIZE = (640, 360)


def frames() -> list[np.ndarray]:
    return [np.asarray(image) for image in portrait(seconds=1.2, size=SIZE)]


def detected(path: Path, images: list[np.ndarray]) -> tuple[VideoJob, CutClip, Faces]:
    write_clip(path, [np.ascontiguousarray(image) for image in images], Video())
    clip = cut_clip(path, 4.0)
    job = new_job(clip.probed, Settings.load(), DetectorSpec())
    job = replace(job, start_pts=clip.records[0].start)
    return job, clip, detect_segment(job, source_of(clip), Runtime("cpu"))


def source_of(clip: CutClip) -> RunSource:
    return RunSource(clip.records, [clip.segments[0].data])


@pytest.fixture(scope="module")
def upright(tmp_path_factory: pytest.TempPathFactory) -> Faces:
    return detected(tmp_path_factory.mktemp("upright") / "upright.mp4", frames())[2]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_faces_are_covered(turns: int, upright: Faces, tmp_path: Path) -> None:
    """A video that turns after a third of its time, as when a phone is turned while it records."""
    images = [np.rot90(image, -turns) for image in frames()]
    job, clip, faces = detected(tmp_path / "turned.mp4", images)
    result = paint_segment(job, parse_look(["fill"]), source_of(clip), Inputs({0: faces}))
    with av.open(BytesIO(result.data)) as container:
        painted = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(painted) == len(upright.frames)
    for image, frame in zip(painted, upright.frames, strict=True):
        straight = np.rot90(image, turns)
        clear = [face for face in frame.faces if face.score > 0.8]
        assert clear
        for face in clear:
            x1, y1, x2, y2 = map(round, face.box)
            assert straight[y1 + 6 : y2 - 6, x1 + 6 : x2 - 6].std() < 6


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_stickers_turn_with_the_head(turns: int, tmp_path: Path) -> None:
    images = [np.rot90(image, -turns) for image in frames()]
    job, _, faces = detected(tmp_path / "turned.mp4", images)
    tracks = Tracks([faces], job.video.time_base, STICKERS)
    for frame in faces.frames:
        leans = [face.head.roll % 360 for face in tracks.faces_at(frame.pts) if face.head]
        assert any(abs(lean - 90 * turns) < 45 for lean in leans), frame.pts


def test_faces_that_turn_within_a_video_are_covered(upright: Faces, tmp_path: Path) -> None:
    straight = frames()
    third = len(straight) // 3
    images = [
        image if third > number or number >= 2 * third else image[::-1, ::-1]
        for number, image in enumerate(straight)
    ]
    faces = detected(tmp_path / "partly.mp4", images)[2]
    for number, (frame, expected) in enumerate(zip(faces.frames, upright.frames, strict=True)):
        best = max(expected.faces, key=lambda face: face.score)
        is_turned = third <= number < 2 * third
        box = turned_back(best, 2, SIZE).box if is_turned else best.box
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        assert any(
            face.box[0] < x < face.box[2] and face.box[1] < y < face.box[3]
            for face in frame.faces
            if face.score > 0.3
        ), number
