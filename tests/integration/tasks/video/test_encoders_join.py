"""A whole job with each encoder: segments join to a file that FFmpeg reads without warnings."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from facepaint.client import Client
from facepaint.errors import UsageError
from facepaint.media.encoders import ENCODERS, Encoder
from facepaint.queue import Queue
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.paint import run_paint
from tasks.video.encoder_options import available_encoders
from tests.support.clips import Media
from tests.support.programs import run_silently
from uploader.cutter import MAX_WORK_PX
from uploader.probe import probe
from uploader.reader import Reader

pytestmark = pytest.mark.slow

Paint = Callable[..., Path]


@pytest.fixture
def painted(store: Store, queue: Queue, settings: Settings, tmp_path: Path) -> Paint:
    """Upload, detect, paint, save: ``painted(clip, suffix, **settings)``."""

    def paint(clip: Path, suffix: str = ".mp4", **choices: Any) -> Path:
        chosen = settings.model_copy(update={"preset": "ultrafast", "segment_s": 1.0, **choices})
        client, context = Client(chosen), WorkerContext(store, queue, chosen)
        done = client.upload(clip, ["sunglasses"])
        for index in range(done.segments):
            run_detect(context, done.job_id, index)
        look = client.look_of(done.job_id)
        for index in range(done.segments):
            run_paint(context, done.job_id, index, look)
        report = client.save(done.job_id, tmp_path / f"painted{suffix}")
        assert report.check.passed, report.check
        assert done.segments > 1
        return report.path

    return paint


def stream_of(path: Path) -> dict[str, Any]:
    """The video stream as Debian's ffprobe describes it, all frames decoded."""
    asked = (
        "-v",
        "warning",
        "-count_frames",
        "-show_streams",
        "-select_streams",
        "v",
        "-of",
        "json",
        str(path),
    )
    stream: dict[str, Any] = json.loads(run_silently("ffprobe", *asked))["streams"][0]
    return stream


def times_of(path: Path) -> list[Fraction]:
    with av.open(str(path), "r") as container:
        return [
            Fraction(frame.pts or 0) * (frame.time_base or 0) for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=lambda encoder: encoder.name)
def test_segments_of_an_encoder_join(painted: Paint, media: Media, encoder: Encoder) -> None:
    """Of a variable frame rate, which no encoder may even out."""
    if encoder.name not in available_encoders():
        pytest.skip(f"this machine has no {encoder.name}")
    clip = media("uneven.mp4")
    saved = painted(clip, encoder=encoder.name)
    stream = stream_of(saved)
    assert stream["codec_name"] == encoder.codec.lower().replace(".", "")
    assert stream["codec_tag_string"] == encoder.tag
    assert times_of(saved) == times_of(clip)
    assert int(stream["nb_read_frames"]) == len(times_of(clip))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("encoder", [None, "libsvtav1"])
def test_hdr_is_kept(painted: Paint, media: Media, encoder: str | None, suffix: str) -> None:
    clip = media("pq.mp4")
    saved = stream_of(painted(clip, suffix, encoder=encoder, keep_format=True))
    source = stream_of(clip)
    for fact in (
        "pix_fmt",
        "color_primaries",
        "color_transfer",
        "color_space",
        "color_range",
        "nb_read_frames",
    ):
        assert saved[fact] == source[fact], fact
    sides = {side["side_data_type"]: side for side in saved["side_data_list"]}
    display, content = sides["Mastering display metadata"], sides["Content light level metadata"]
    assert float(Fraction(display["max_luminance"])) == pytest.approx(1000)
    assert float(Fraction(display["red_x"])) == pytest.approx(0.68, abs=1e-3)
    assert (content["max_content"], content["max_average"]) == (900, 250)


@pytest.mark.parametrize(
    ("name", "codec"), [("422.mp4", "h264"), ("444.mp4", "h264"), ("prores.mov", "hevc")]
)
def test_chroma_is_kept(painted: Paint, media: Media, name: str, codec: str) -> None:
    clip = media(name)
    saved, source = stream_of(painted(clip, keep_format=True)), stream_of(clip)
    assert (saved["codec_name"], saved["pix_fmt"]) == (codec, source["pix_fmt"])
    assert saved["nb_read_frames"] == source["nb_read_frames"]


def test_a_slow_encoder_has_shorter_segments_of_large_frames(media: Media) -> None:
    """So that each is painted within a task's time."""
    clip = media("minute.mp4")
    probed = probe(clip)
    plain, costly = (
        [cut.record for cut in Reader(clip, probed, 2.0, work).segments()]
        for work in (1.0, MAX_WORK_PX / (probed.video.width * probed.video.height * 10))
    )
    assert (
        max(len(record.own_packets) for record in costly)
        == 10
        < max(len(record.own_packets) for record in plain)
    )
    assert sum(len(record.own_packets) for record in costly) == sum(
        len(record.own_packets) for record in plain
    )


def test_an_encoder_that_cannot_keep_the_format_is_refused_at_once(
    painted: Paint, media: Media
) -> None:
    clip = media("prores.mov")
    with pytest.raises(
        UsageError, match="libsvtav1 cannot keep 10-bit 4:2:2: choose libx264, libx265"
    ):
        painted(clip, encoder="libsvtav1", keep_format=True)
