"""A segment starts only at a keyframe that needs no earlier packets."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from benchmarks.clips import make_portrait_clip
from uploader.keyframes import begins_cleanly, shows_nothing

WAVE = {"bf": "0", "x264-params": "intra-refresh=1"}
OPEN = {"bf": "3", "x264-params": "open-gop=1:b-adapt=0"}


def keyframes(path: Path, **recipe: Any) -> tuple[list[int], list[int]]:
    """Which packets of two seconds at 24 frames/s are marked as keyframes, and which of those can
    start a segment."""
    make_portrait_clip(
        path, seconds=2, size=(160, 90), fps=Fraction(24), gop=12, audio=None, **recipe
    )
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        context = stream.codec_context
        called = [n for n, packet in enumerate(packets) if packet.is_keyframe]
        extradata = context.extradata or b""
        clean = [n for n in called if begins_cleanly(context.name, extradata, bytes(packets[n]))]
    return called, clean


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
def test_an_intra_refresh_is_no_keyframe(suffix: str, tmp_path: Path) -> None:
    called, clean = keyframes(tmp_path / f"clip.{suffix}", options=WAVE)
    assert len(called) > 1, "the container calls them keyframes"
    assert clean == [0]


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
@pytest.mark.parametrize("options", [{"bf": "0"}, OPEN], ids=["closed", "open"])
def test_other_keyframes_of_h264_are_accepted(
    suffix: str, options: dict[str, str], tmp_path: Path
) -> None:
    called, clean = keyframes(tmp_path / f"clip.{suffix}", options=options)
    assert len(called) > 2
    assert clean == called


def test_keyframes_of_other_codecs_are_accepted(tmp_path: Path) -> None:
    called, clean = keyframes(tmp_path / "clip.avi", codec="mpeg4")
    assert len(called) > 2
    assert clean == called


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0\0",
        b"\0\0\1",
        b"\0\0\1\6",
        b"\0\0\1\6\xff\xff\xff",
        b"\0\0\1\6\6\1\0",
        b"\0\0\0\x09\6\6",
    ],
)
@pytest.mark.parametrize(
    "extradata", [b"", b"\1\x64\0\x1f\xff\xe1\0"], ids=["start codes", "lengths"]
)
def test_keyframes_that_cannot_be_parsed_are_accepted(data: bytes, extradata: bytes) -> None:
    assert begins_cleanly("h264", extradata, data)


def test_a_vp8_packet_that_is_not_shown() -> None:
    """RFC 6386, 9.1: the fifth bit of the first byte is the show_frame flag."""
    assert not shows_nothing("vp8", bytes((0b0001_0000,)))
    assert shows_nothing("libvpx", bytes((0b0000_0001,)))
    assert not shows_nothing("vp9", bytes((0b0000_0001,)))
