"""Which frames of a segment are looked at."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from facepaint.jobs import DetectorSpec, Job, OutputProfile, SourceFile
from tasks.detect import detect_segment
from tests.cut_clip import cut_clip

FRAMES = 48


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """A clip in 60ths of a second that shows only the odd ones: half the frames its rate promises."""
    path = tmp_path / "sparse.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=60)
        stream.width, stream.height = 128, 96
        stream.codec_context.time_base = Fraction(1, 60)
        for n in range(FRAMES):
            frame = av.VideoFrame(128, 96, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([100]) * plane.buffer_size)
            frame.pts, frame.time_base = 2 * n + 1, Fraction(1, 60)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("start", [0, 17], ids=["from the first frame", "from between two"])
def test_frames_are_looked_at_as_often_as_told_whatever_rate_the_stream_promises(sparse: Path, start: int) -> None:
    clip = cut_clip(sparse, 2.0)
    job = Job(
        "20260101T000000-aaaaaaaa",
        "video",
        SourceFile("sparse.mkv", 1, ""),
        datetime.now(UTC),
        DetectorSpec(every=4),
        OutputProfile(),
        video=replace(clip.probed.video, frame_rate=Fraction(60)),
        start_pts=start,
    )
    faces = detect_segment(job, clip.records[:1], [clip.segments[0].data], "cpu")
    looked_at = [n for n, frame in enumerate(faces.frames) if frame.status == "detected"]
    assert len(faces.frames) == FRAMES
    assert (looked_at[0], looked_at[-1]) == (0, FRAMES - 1)
    assert max(b - a for a, b in pairwise(looked_at)) == 2
