"""Frames lose the side data of decoders, and keep everything visible."""

from pathlib import Path

import av
import numpy as np

from tasks.video.strip_side_data import strip_side_data
from tests.support.videos_with_secrets import mp4_with_secrets


def test_captions_and_user_data_are_removed_and_pixels_stay(tmp_path: Path) -> None:
    with av.open(str(mp4_with_secrets(tmp_path / "source.mp4"))) as container:
        for frame in container.decode(video=0):
            assert {kind.type.name for kind in frame.side_data} >= {"A53_CC", "SEI_UNREGISTERED"}
            bare = strip_side_data(frame)
            assert not len(bare.side_data)
            assert (bare.pts, bare.format.name, bare.color_range) == (
                frame.pts,
                frame.format.name,
                frame.color_range,
            )
            assert (bare.to_ndarray() == frame.to_ndarray()).all()


def test_a_frame_without_side_data_is_not_copied() -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((10, 10, 3), np.uint8), "rgb24")
    assert strip_side_data(frame) is frame
