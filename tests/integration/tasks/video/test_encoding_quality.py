"""Unpainted pixels are as good as in a plain transcode with the same settings."""

from pathlib import Path

import pytest

from benchmarks.clips import make_portrait_clip
from benchmarks.encoding import compared
from facepaint.records.job import OutputProfile

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_unpainted_pixels_are_no_worse_than_in_a_plain_transcode(
    encoder: str, tmp_path: Path
) -> None:
    """By no more than 0.1 dB of PSNR and 0.001 of SSIM in any plane; where segments begin, by no
    more than 0.3 dB."""
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=5, size=(320, 180), audio=None)
    painted, plain = compared(clip, OutputProfile(encoder))
    assert painted.frames == plain.frames == 150
    for ours, theirs in zip(painted.psnr, plain.psnr, strict=True):
        assert ours > theirs - 0.1
    for ours, theirs in zip(painted.ssim, plain.ssim, strict=True):
        assert ours > theirs - 0.001
    keyframe, *first, rest = painted.psnr_by_place
    assert keyframe > rest
    for ours, theirs in zip(first, plain.psnr_by_place[1:], strict=False):
        assert ours > theirs - 0.3
