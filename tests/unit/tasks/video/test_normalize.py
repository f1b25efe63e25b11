"""Normalizing: all sizes, formats and colours, exact where nothing must change."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from facepaint.media.encoders import kept_format
from facepaint.records.colour import SDR, Colour, ColourRange, LightLevels
from facepaint.records.job import OutputProfile, VideoStream
from filters.planes import rgb_to_yuv
from tasks.video.normalize import Normalizer, fitting
from tasks.video.yuv import planes_of, yuv_of
from tests.support.colours import HLG, PQ

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
    """Most streams of RGB do not describe themselves (Matroska, AVI, GIF)."""
    upright = Normalizer(stream(pixel_format, *size))
    frame = upright(red(pixel_format, size[0] // shown, size[1] // shown))
    assert (frame.width, frame.height, frame.format.name, frame.pts) == (*size, "yuv420p", 7)
    assert (upright.colour.matrix, upright.colour.range, upright.matrix) == (1, 1, "bt709")
    wanted = rgb_to_yuv("bt709", False) @ np.array([*RED, 1.0])
    assert [int(plane[40, 40]) for plane in planes_of(frame)] == pytest.approx(wanted, abs=2)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p"])
def test_full_range_stays_as_it_was_decoded(pixel_format: str) -> None:
    upright = Normalizer(stream(pixel_format, 64, 48, colour=Colour(range=ColourRange.FULL)))
    source = av.VideoFrame(64, 48, pixel_format)
    for number, plane in enumerate(planes_of(source)):
        plane[:] = (3, 250, 128)[number]
    source.color_range = 2
    frame = upright(source)
    assert frame.format.name == "yuvj420p"
    assert [int(plane[9, 9]) for plane in planes_of(frame)] == [3, 250, 128]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_odd_sides_are_padded_after_rotation(rotation: int, mirrored: bool) -> None:
    video = stream("yuv420p", 65, 33, rotation=rotation, mirrored=mirrored)
    source = av.VideoFrame(65, 33, "yuv420p")
    luma = np.random.default_rng(1).integers(0, 256, (33, 65), np.uint8)
    y, u, v = planes_of(source)
    y[:], u[:], v[:] = luma, 90, 160
    frame = Normalizer(video)(source)
    turned = np.rot90(luma[:, ::-1] if mirrored else luma, -rotation // 90)
    assert (frame.width, frame.height) == (turned.shape[1] + 1, turned.shape[0] + 1)
    y = planes_of(frame)[0]
    assert (y[:-1, :-1] == turned).all()
    assert (y[-1] == y[-2]).all()
    assert (y[:, -1] == y[:, -2]).all()


KEEP = OutputProfile("libx265", keep_format=True)

FORMATS = [
    f"yuv{chroma}p{depth}"
    for chroma in ("420", "422", "440", "444")
    for depth in ("", "10le", "12le")
] + ["yuvj420p", "yuvj422p", "yuvj444p", "yuv420p9le", "yuv422p16le"]


def noise(pixel_format: str, width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, pixel_format)
    rng = np.random.default_rng(5)
    for plane in planes_of(frame):
        plane[:] = rng.integers(0, 1 << frame.format.components[0].bits, plane.shape)
    frame.pts = 7
    return frame


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_kept_formats_are_kept_to_the_last_bit(pixel_format: str) -> None:
    """Normalizer, of even sides, nothing to deinterlace: the very samples, whatever the depth and
    chroma."""
    upright = Normalizer(stream(pixel_format, 64, 48), KEEP)
    source = noise(pixel_format, 64, 48)
    frame = upright(source)
    assert frame.format.name == upright.format == kept_format(pixel_format)
    if pixel_format == upright.format:
        assert frame is source
    if pixel_format.replace("j", "") == upright.format:
        assert all((a == b).all() for a, b in zip(planes_of(frame), planes_of(source), strict=True))
        assert not upright.notes


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p", "yuv444p12le"]
)
@pytest.mark.parametrize("output", [KEEP, None], ids=["kept", "8 bit"])
def test_rotation_moves_samples_and_changes_none(
    output: OutputProfile | None, pixel_format: str, rotation: int, mirrored: bool
) -> None:
    upright = Normalizer(stream(pixel_format, 64, 48, rotation=rotation, mirrored=mirrored), output)
    source = noise(pixel_format, 64, 48)
    frame = upright(source)
    luma = planes_of(source)[0]
    wanted = np.rot90(luma[:, ::-1] if mirrored else luma, -rotation // 90)
    assert (frame.width, frame.height) == wanted.shape[::-1]
    depth = source.format.components[0].bits - frame.format.components[0].bits
    got = planes_of(frame)[0].astype(int)
    assert np.abs(got - (wanted >> depth)).max() <= (1 if depth else 0)
    if pixel_format == upright.format and not (rotation % 180 and "422" in pixel_format):
        for plane, before in zip(planes_of(frame), planes_of(source), strict=True):
            assert (
                plane == np.rot90(before[:, ::-1] if mirrored else before, -rotation // 90)
            ).all()


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_every_format_becomes_8_bit_420(pixel_format: str) -> None:
    """As near as 8 bits and a quarter of the chroma come: a flat colour stays itself."""
    full = pixel_format.startswith("yuvj")
    colour_range = ColourRange.FULL if full else ColourRange.LIMITED
    upright = Normalizer(stream(pixel_format, 66, 50, colour=Colour(range=colour_range)))
    source = av.VideoFrame(66, 50, pixel_format)
    shift = source.format.components[0].bits - 8
    for plane, value in zip(planes_of(source), (77, 99, 166), strict=True):
        plane[:] = value << shift
    source.pts = 7
    frame = upright(source)
    assert (frame.format.name, frame.pts) == ("yuvj420p" if full else "yuv420p", 7)
    assert [np.unique(plane).tolist() for plane in planes_of(frame)] == [[77], [99], [166]]
    assert upright.colour.range == colour_range


@pytest.mark.parametrize("colour", [PQ, HLG], ids=["PQ", "HLG"])
def test_hdr_is_tone_mapped_and_tagged_unless_it_is_kept(colour: Colour) -> None:
    video = stream("yuv420p10le", 64, 48, colour=colour, light=LightLevels(max_content=600))
    source = av.VideoFrame(64, 48, "yuv420p10le")
    white = round(64 + 876 * (0.5807 if colour == PQ else 0.75))
    for plane, value in zip(planes_of(source), (white, 512, 512), strict=True):
        plane[:] = value
    mapped, kept = Normalizer(video), Normalizer(video, KEEP)
    frame = mapped(source)
    assert mapped.colour == SDR
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (
        1,
        1,
        1,
        1,
    )
    assert frame.format.name == mapped.format == "yuv420p"
    assert 205 < planes_of(frame)[0].mean() < 225, "white is near white, and leaves room for lights"
    assert any("tone-mapped" in note for note in mapped.notes)
    assert kept(source) is source
    assert (kept.colour, kept.format, dict(kept.notes)) == (colour, "yuv420p10le", {})


def test_a_frame_of_another_shape_is_not_stretched() -> None:
    """A call that goes from a phone held upright to one held flat: faces keep their shape."""
    upright = Normalizer(stream("yuv420p", 160, 120))
    source = av.VideoFrame(60, 120, "yuv420p")
    for plane, value in zip(planes_of(source), (200, 90, 170), strict=True):
        plane[:] = value
    y, u, _ = planes_of(upright(source))
    assert (y[:, 50:110] == 200).all()
    assert (y[:, :50] == 16).all()
    assert (y[:, 110:] == 16).all()
    assert (u[:, :25] == 128).all()
    assert list(upright.notes) == ["frames of 60x120 scaled to 160x120"]


@pytest.mark.parametrize(
    ("size", "into", "wanted"),
    [
        ((640, 360), (1280, 720), (1280, 720)),
        ((240, 136), (320, 180), (320, 180)),
        ((360, 640), (1280, 720), (404, 720)),
        ((1920, 800), (1280, 720), (1280, 534)),
    ],
    ids=["same shape", "nearly the same shape", "tall", "wide"],
)
def test_frames_are_fitted(
    size: tuple[int, int], into: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert fitting(*size, *into) == wanted


def test_a_padded_line_is_noted() -> None:
    upright = Normalizer(stream("yuv444p", 65, 33), KEEP)
    frame = upright(noise("yuv444p", 65, 33))
    assert (frame.width, frame.height) == (66, 34)
    assert list(upright.notes) == ["odd sides padded by one line: 65x33 made 66x34"]


def test_kept_rgb_keeps_its_chroma() -> None:
    upright = Normalizer(stream("gbrp12le", 64, 48), KEEP)
    frame = upright(red("gbrp12le", 64, 48))
    assert frame.format.name == "yuv444p12le"
    wanted = rgb_to_yuv("bt709", False) @ np.array([*RED, 1.0])
    assert [int(plane[9, 9]) / 16 for plane in planes_of(frame)] == pytest.approx(wanted, abs=0.5)


def test_transparent_parts_are_black_and_noted() -> None:
    upright = Normalizer(stream("yuva444p12le", 64, 48))
    source = noise("yuva444p12le", 64, 48)
    planes_of(source)[3][:, :32] = 0
    y, u, v = planes_of(upright(source))
    assert (y[:, :32] == 16).all()
    assert (u[:, :15] == 128).all()
    assert (v[:, :15] == 128).all()
    assert "transparent parts shown on black" in upright.notes
    assert yuv_of(source, False).alpha is not None


@pytest.mark.parametrize(
    ("came", "rotation", "note"),
    [
        ("yuv422p10le", 0, []),
        ("yuv422p10le", 90, ["chroma of yuv422p10le resampled, since the frame is rotated"]),
        ("yuv422p10le", 180, []),
        ("yuv444p", 0, ["yuv444p converted to yuv422p10le"]),
    ],
)
def test_changes_are_noted_if_the_format_is_kept(came: str, rotation: int, note: list[str]) -> None:
    """A stream may change its format."""
    upright = Normalizer(
        stream("yuv422p10le", 64, 48, rotation=rotation), OutputProfile(keep_format=True)
    )
    upright(red(came, 64, 48))
    assert list(upright.notes) == note
