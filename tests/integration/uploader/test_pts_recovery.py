"""Videos whose packets have no presentation times: they follow from the display order."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.clips import make_portrait_clip
from tests.support.clips.ordinary import decode_ordinarily
from tests.support.clips.registry import Media
from tests.support.cut_clip import cut_clip

X265 = "log-level=none:keyint=16"

TIMELESS: dict[str, dict[str, Any]] = {
    "reordered.avi": {"options": {"bf": "3"}},
    "pyramid.h264": {"options": {"bf": "5", "x264-params": "open-gop=1:b-pyramid=normal"}},
    "interlaced.avi": {"options": {"bf": "3", "x264-params": "tff=1"}, "size": (160, 96)},
    "one-keyframe.h264": {"options": {"bf": "2"}, "gop": 999},
    "in-order.avi": {"options": {"bf": "0"}},
    "open.hevc": {"codec": "libx265", "options": {"x265-params": X265}},
    "leading.hevc": {"codec": "libx265", "options": {"x265-params": f"{X265}:open-gop=0:radl=2"}},
}

QUICK = ("reordered.avi", "open.hevc")


def assert_in_order(path: Path, segment_s: float, frames: int) -> None:
    """Every frame is there, as a player shows it, at one of the equally spaced times of the
    packets."""
    cut = cut_clip(path, segment_s)
    seen = cut.all_frames()
    assert cut.probed.recover_pts
    assert [pixels for _, pixels in seen] == [pixels for _, pixels in decode_ordinarily(path)]
    step = 1 / (cut.probed.video.frame_rate or 1) / cut.probed.video.time_base
    assert [time for time, _ in seen] == [number * step for number in range(frames)]
    assert cut.truncated == ""


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in TIMELESS],
)
def test_frames_get_the_times_of_the_packets_in_display_order(name: str, tmp_path: Path) -> None:
    recipe = {
        "seconds": 4,
        "size": (160, 90),
        "fps": 20,
        "gop": 16,
        "audio": None,
        **TIMELESS[name],
    }
    path = make_portrait_clip(tmp_path / name, **recipe)
    for segment_s in (0.5, 7):
        assert_in_order(path, segment_s, 80)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_few_frames_without_times(frames: int, tmp_path: Path) -> None:
    path = make_portrait_clip(
        tmp_path / "short.h264",
        seconds=frames / 20,
        size=(160, 90),
        fps=20,
        options={"bf": "2"},
        audio=None,
    )
    assert_in_order(path, 2, frames)


def test_a_stream_that_breaks_off_keeps_its_frames(tmp_path: Path) -> None:
    """Its last frame was decoded before others that are missing; the decoder conceals the rest
    of a truncated packet."""
    path = make_portrait_clip(
        tmp_path / "whole.h264", seconds=4, size=(160, 90), fps=20, options={"bf": "2"}, audio=None
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    seen = cut_clip(path, 0.5).all_frames()
    expected = decode_ordinarily(path)
    assert len(seen) == len(expected) > 20
    assert [pixels for _, pixels in seen][:-4] == [pixels for _, pixels in expected][:-4]


@pytest.mark.slow
def test_packed_b_frames_are_unpacked(media: Media) -> None:
    """Xvid and DivX write AVI so: a packet with a frame and its B-frame, then an empty one."""
    path = media("mpeg4-packed.avi")
    cut = cut_clip(path, 0.5)
    seen = cut.all_frames()
    assert cut.probed.recover_pts
    assert [pixels for _, pixels in seen] == [pixels for _, pixels in decode_ordinarily(path)]
    times = [time for time, _ in seen if time is not None]
    assert times == sorted(set(times))
    # The encoder leaves the places of the first packets empty: the first frame takes them.
    assert times[1:] == list(range(times[-1] - len(times) + 2, times[-1] + 1))
