"""Animated images: each becomes a video with the same frames, times and last duration."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from facepaint.client import Client
from facepaint.looks.parser import parse_look
from facepaint.media.open import open_media
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import JobRecord
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.paint import run_paint
from uploader.classify import classify

LASTS_MS = (40, 110, 70, 300, 30, 1230)
KINDS: dict[str, dict[str, Any]] = {
    "GIF": {"disposal": 2},
    "PNG": {},
    "WEBP": {"lossless": True, "minimize_size": True},
}


def drawn(number: int, alpha: int = 255) -> Image.Image:
    """A moving square over a moving disk, on a uniform background of that opacity."""
    picture = Image.new("RGBA", (98, 62), (200, 30, 40, alpha))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((10 + 7 * number, 10, 30 + 7 * number, 40), fill=(20, 200, 60, 255))
    draw.ellipse((40, 5 + 4 * number, 70, 30 + 4 * number), fill=(0, 0, 250, 255))
    return picture


def animation(
    path: Path, kind: str, alpha: int = 255, lasts_ms: tuple[int, ...] = LASTS_MS
) -> Path:
    first, *more = (drawn(number, alpha) for number in range(len(lasts_ms)))
    options = KINDS[kind]
    first.save(
        path, kind, save_all=True, append_images=more, duration=list(lasts_ms), loop=3, **options
    )
    return path


def on_black(picture: Image.Image) -> npt.NDArray[np.uint8]:
    whole = picture.convert("RGBA")
    black = Image.new("RGBA", whole.size, (0, 0, 0, 255))
    return np.asarray(Image.alpha_composite(black, whole).convert("RGB"))


@pytest.mark.parametrize("alpha", [255, 0], ids=["opaque", "transparent"])
def test_an_animated_webp_is_read_frame_by_frame(alpha: int, tmp_path: Path) -> None:
    path = animation(tmp_path / "moving", "WEBP", alpha)
    assert classify([path]) == ([path], [], [])
    with open_media(path) as container, Image.open(path) as expected:
        assert container.streams.video[0].time_base == Fraction(1, 1000)
        frames = list(container.decode(video=0))
        assert [frame.duration for frame in frames] == list(LASTS_MS)
        assert [frame.pts for frame in frames] == [
            sum(LASTS_MS[:number]) for number in range(len(LASTS_MS))
        ]
        for number, frame in enumerate(frames):
            expected.seek(number)
            assert (frame.to_ndarray(format="rgba") == np.asarray(expected.convert("RGBA"))).all()


def test_very_short_frames_last_as_long_as_in_browsers(tmp_path: Path) -> None:
    path = animation(tmp_path / "moving", "WEBP", lasts_ms=(0, 10, 11, 500))
    with open_media(path) as container:
        assert [frame.duration for frame in container.decode(video=0)] == [100, 100, 11, 500]


def test_an_animated_webp_damaged_in_the_middle_ends_there(tmp_path: Path) -> None:
    noise = np.random.default_rng(3)
    frames = [Image.fromarray(noise.integers(0, 256, (300, 300, 3), np.uint8)) for _ in range(30)]
    file = io.BytesIO()
    frames[0].save(
        file, "WEBP", save_all=True, append_images=frames[1:], duration=40, lossless=True, quality=0
    )
    data = bytearray(file.getvalue())
    at = data.rindex(b"ANMF") + 60
    data[at : at + 4000] = bytes(4000)
    path = tmp_path / "moving.webp"
    path.write_bytes(data)
    with open_media(path) as container:
        packets = container.demux()
        assert [next(packets).pts for _ in range(29)] == list(range(0, 29 * 40, 40))
        with pytest.raises(av.error.InvalidDataError, match="frame 29 is damaged"):
            next(packets)


@pytest.mark.parametrize("kind", KINDS)
def test_an_animation_becomes_a_video_of_the_same_frames(
    kind: str, tmp_path: Path, store: Store, queue: Queue, settings: Settings
) -> None:
    path = animation(tmp_path / "moving", kind)
    client = Client(settings)
    result = client.upload(path, ["sunglasses"])
    assert any("MP4" in warning for warning in result.warnings)
    context = WorkerContext(store, queue, settings)
    for index in range(result.segments):
        run_detect(context, result.job_id, index)
    for index in range(result.segments):
        assert run_paint(context, result.job_id, index, parse_look(["sunglasses"]).id)
    assert store.get_record(keys.job(result.job_id), JobRecord).kind == "video"
    report = client.save(result.job_id, tmp_path / "painted.mp4")
    assert report.check.passed
    with av.open(str(report.path)) as container, Image.open(path) as expected:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        tick_ms = 1000 * stream.time_base
        assert [frame.pts * tick_ms for frame in frames] == [
            sum(LASTS_MS[:number]) for number in range(len(LASTS_MS))
        ]
        assert stream.duration is not None
        assert stream.duration * tick_ms == sum(LASTS_MS)
        for number, frame in enumerate(frames):
            expected.seek(number)
            difference = np.abs(frame.to_ndarray(format="rgb24").astype(int) - on_black(expected))
            assert difference.mean() < 8
