"""A redacting look fails closed: a frame whose faces are not known is covered completely."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO

import av
import numpy as np
import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.looks.parser import parse_filter, parse_look
from facepaint.records.faces import Candidate, Faces, FrameFaces
from facepaint.records.job import DetectorSpec, Job
from facepaint.settings import Settings
from filters.face import Face
from filters.planes import Planes, Rect
from filters.registry import Painter
from models.providers import Runtime
from tasks.detect import detect_segment
from tasks.paint import Inputs, Result, paint_segment
from tasks.video.canvas import Canvas
from tasks.video.decode import RunSource
from tasks.video.normalize import Normalizer
from tasks.video.painter import FramePainter
from tests.support.cut_clip import CutClip, cut_clip
from uploader.upload import new_job

LOOK = parse_look(["fill"])
FRAMES = 12


@dataclass(frozen=True)
class Detected:
    """A clip of one segment, its job, and its detections."""

    clip: CutClip
    job: Job
    faces: Faces

    def painted(self, faces: Faces | None) -> Result:
        by_segment = {} if faces is None else {0: faces}
        return paint_segment(
            self.job,
            LOOK,
            RunSource(self.clip.records, [self.clip.segments[0].data]),
            Inputs(by_segment),
        )


@pytest.fixture(scope="module")
def detected(tmp_path_factory: pytest.TempPathFactory) -> Detected:
    path = tmp_path_factory.mktemp("closed") / "closed.mp4"
    make_portrait_clip(
        path, seconds=FRAMES / 10, size=(320, 180), fps=10, audio=None, options={"bf": "0"}
    )
    return detections_of(cut_clip(path, 2.0))


def detections_of(clip: CutClip) -> Detected:
    job = replace(
        new_job(clip.probed, Settings.load(), DetectorSpec()), start_pts=clip.records[0].start
    )
    return Detected(
        clip,
        job,
        detect_segment(job, RunSource(clip.records, [clip.segments[0].data]), Runtime("cpu")),
    )


def covered_frames(result: Result) -> list[int]:
    """The numbers of the frames that are of one colour."""
    with av.open(BytesIO(result.data)) as container:
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(pictures) == FRAMES
    return [number for number, picture in enumerate(pictures) if picture.std() < 3]


def with_frame(faces: Faces, number: int, frame: FrameFaces | None) -> Faces:
    frames = list(faces.frames)
    frames[number : number + 1] = [] if frame is None else [frame]
    return replace(faces, frames=tuple(frames))


NO_BOX = Candidate(0.9, (float("nan"), 0.0, 10.0, 10.0), (5.0,) * 10)
NO_LANDMARK = Candidate(0.9, (40.0, 40.0, 80.0, 90.0), (*(60.0,) * 9, float("inf")))

DOUBTS: dict[str, Callable[[FrameFaces], FrameFaces | None]] = {
    "its detection failed": lambda frame: replace(frame, status="failed"),
    "the record lacks it": lambda _: None,
    "a box is no number": lambda frame: replace(frame, faces=(NO_BOX, *frame.faces)),
    "a landmark is no number": lambda frame: replace(frame, faces=(*frame.faces, NO_LANDMARK)),
}


@pytest.mark.parametrize("why", DOUBTS)
def test_a_frame_whose_faces_are_not_known_is_covered_completely(
    detected: Detected, why: str
) -> None:
    low_confidence = with_frame(detected.faces, 4, DOUBTS[why](detected.faces.frames[4]))
    result = detected.painted(low_confidence)
    assert covered_frames(result) == [4]
    assert result.record.notes == ("1 frame covered completely: its faces are not known",)


def test_without_a_record_of_faces_every_frame_is_covered(detected: Detected) -> None:
    assert covered_frames(detected.painted(None)) == list(range(FRAMES))
    assert covered_frames(detected.painted(detected.faces)) == []


def test_a_frame_that_the_decoder_concealed_in_part_is_covered_completely(
    detected: Detected,
) -> None:
    """The second half of a packet is noise, which the decoder conceals with earlier frames."""
    (segment,) = detected.clip.segments
    data, packets = bytearray(segment.data), segment.record.packets
    end = sum(packet.stored_bytes for packet in packets[:7])
    size = packets[6].stored_bytes // 2
    data[end - size : end] = random.Random(3).randbytes(size)
    damaged = replace(detected.clip, segments=[replace(segment, data=bytes(data))])
    seen = detections_of(damaged)
    assert [frame.status for frame in seen.faces.frames] == ["detected"] * 6 + ["failed"] + [
        "detected"
    ] * 5
    assert seen.faces.frames[6].faces, "its detections are kept"
    result = seen.painted(seen.faces)
    assert covered_frames(result) == [6]
    assert "1 frame covered completely: the decoder concealed damaged parts" in result.record.notes
    # Whoever detects may have been luckier.
    assert covered_frames(seen.painted(detected.faces)) == [6]


class Raising:
    """A filter with a bug that shows in some frames, after it has begun to paint."""

    def paint(self, planes: Planes, face: Face, time_s: float) -> list[Rect]:
        planes.y[:10] = 0
        if time_s > 1:
            raise IndexError("list index out of range")
        return []


def frames() -> Iterator[av.VideoFrame]:
    for pts in range(3):
        frame = av.VideoFrame.from_ndarray(
            np.random.default_rng(pts).integers(0, 255, (90, 160, 3), np.uint8)
        )
        yield frame.reformat(format="yuv420p")


def test_a_filter_that_raises_covers_the_frame_and_is_named(detected: Detected) -> None:
    canvas = Canvas(Normalizer(replace(detected.job.video, width=160, height=90)))
    face = Face((20.0, 20.0, 60.0, 70.0), (), 0.9)
    painter = Painter(((parse_filter("blur"), Raising()),))
    brush = FramePainter(canvas, painter, True, {0, 1, 2}, [])
    spread = []
    for pts, frame in enumerate(frames()):
        frame.pts = pts
        brush.paint(frame, [face], float(pts))
        spread.append(frame.to_ndarray(format="gray").std() > 3)
    assert spread == [True, True, False]
    assert list(brush.notes()) == [
        "1 frame covered completely: painting failed with IndexError: list index out of range"
    ]


def test_a_sticker_that_raises_is_an_error(detected: Detected) -> None:
    canvas = Canvas(Normalizer(replace(detected.job.video, width=160, height=90)))
    brush = FramePainter(canvas, Painter(((parse_filter("dog"), Raising()),)), False, (), [])
    with pytest.raises(IndexError):
        brush.paint(next(frames()), [Face((20.0, 20.0, 60.0, 70.0), (), 0.9)], 2.0)
