"""Frames are brought into one form: sizes, formats and colours that streams come in."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from facepaint.jobs import Colour, VideoStream
from filters.planes import rgb_to_yuv
from tasks.upright import Upright, plane_views

RED = (200, 40, 90)


def stream(pixel_format: str, width: int, height: int, **more: Any) -> VideoStream:
    return VideoStream("rawvideo", "", b"", width, height, pixel_format, Fraction(1, 25), **more)


def red(pixel_format: str, width: int, height: int) -> av.VideoFrame:
    picture = np.full((height, width, 3), RED, np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixel_format)
    frame.pts = 7
    return frame


@pytest.mark.parametrize("size", [(320, 180), (1280, 720)])
@pytest.mark.parametrize("shown", [1, 2], ids=["the stream's size", "half the stream's size"])
@pytest.mark.parametrize("pixel_format", ["bgr0", "rgb24", "gbrp", "bgra"])
def test_rgb_is_written_in_the_matrix_that_the_file_declares(
    pixel_format: str, shown: int, size: tuple[int, int]
) -> None:
    """Most streams of RGB do not describe themselves (Matroska, AVI, GIF): their pixels tell."""
    upright = Upright(stream(pixel_format, *size))
    frame = upright(red(pixel_format, size[0] // shown, size[1] // shown))
    assert (frame.width, frame.height, frame.format.name, frame.pts) == (*size, "yuv420p", 7)
    assert (upright.colour.matrix, upright.colour.range, upright.matrix) == (1, 1, "bt709")
    wanted = rgb_to_yuv("bt709", False) @ np.array([*RED, 1.0])
    assert [int(plane[40, 40]) for plane in plane_views(frame)] == pytest.approx(wanted, abs=2)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p"])
def test_full_range_stays_as_it_was_decoded(pixel_format: str) -> None:
    upright = Upright(stream(pixel_format, 64, 48, colour=Colour(range=2)))
    source = av.VideoFrame(64, 48, pixel_format)
    for number, plane in enumerate(plane_views(source)):
        plane[:] = (3, 250, 128)[number]
    source.color_range = 2
    frame = upright(source)
    assert frame.format.name == "yuvj420p"
    assert [int(plane[9, 9]) for plane in plane_views(frame)] == [3, 250, 128]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_odd_sides_are_padded_after_the_turn(rotation: int, mirrored: bool) -> None:
    video = stream("yuv420p", 65, 33, rotation=rotation, mirrored=mirrored)
    source = av.VideoFrame(65, 33, "yuv420p")
    luma = np.random.default_rng(1).integers(0, 256, (33, 65), np.uint8)
    y, u, v = plane_views(source)
    y[:], u[:], v[:] = luma, 90, 160
    frame = Upright(video)(source)
    turned = np.rot90(luma[:, ::-1] if mirrored else luma, -rotation // 90)
    assert (frame.width, frame.height) == (turned.shape[1] + 1, turned.shape[0] + 1)
    y = plane_views(frame)[0]
    assert (y[:-1, :-1] == turned).all()
    assert (y[-1] == y[-2]).all()
    assert (y[:, -1] == y[:, -2]).all()
