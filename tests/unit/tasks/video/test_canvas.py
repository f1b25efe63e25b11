"""Painting at any depth: no change outside the paint, and nothing shows through."""

import math
from fractions import Fraction

import av
import numpy as np
import pytest

from facepaint.looks.parser import parse_look
from facepaint.records.colour import SDR, Colour
from facepaint.records.job import OutputProfile, VideoStream
from filters.face import Face
from filters.planes import Planes, Rect
from filters.registry import make_painter
from tasks.video.canvas import BLANK_GREY, Canvas
from tasks.video.normalize import Normalizer
from tasks.video.yuv import AnyPlane, code_range, planes_of
from tests.support.colours import HLG, PQ, SDR_FULL
from tests.support.filter_cases import face_at, painter_of

SIZE = (160, 96)
KEPT = [
    ("yuv420p", SDR),
    ("yuv422p", SDR),
    ("yuv420p10le", SDR),
    ("yuv422p10le", SDR),
    ("yuv444p12le", SDR),
    ("yuv420p10le", SDR_FULL),
    ("yuv420p10le", PQ),
    pytest.param("yuv422p10le", HLG, marks=pytest.mark.slow),
]
each_kept = pytest.mark.parametrize(
    ("pixel_format", "colour"),
    KEPT,
    ids=lambda value: value if isinstance(value, str) else f"{value.transfer}-{value.range}",
)


def upright_of(pixel_format: str, colour: Colour) -> Normalizer:
    video = VideoStream("rawvideo", "", b"", *SIZE, pixel_format, Fraction(1, 25), colour=colour)
    return Normalizer(video, OutputProfile("libx265", keep_format=True))


def noise(upright: Normalizer, seed: int = 1) -> av.VideoFrame:
    """A frame of random samples about the middle, as no colour of HDR is far out."""
    rng = np.random.default_rng(seed)
    frame = av.VideoFrame(*upright.size, upright.format)
    scale = 1 << upright.bits - 8
    for number, plane in enumerate(planes_of(frame)):
        low, high = (112 * scale, 144 * scale) if number else (60 * scale, 170 * scale)
        plane[:] = rng.integers(low, high, plane.shape)
    return frame


def copies(frame: av.VideoFrame) -> list[AnyPlane]:
    return [plane.copy() for plane in planes_of(frame)]


@each_kept
@pytest.mark.parametrize("look", ["sunglasses", "mosaic", "fill"])
def test_every_sample_outside_the_paint_stays(look: str, pixel_format: str, colour: Colour) -> None:
    upright = upright_of(pixel_format, colour)
    frame = noise(upright)
    before = copies(frame)
    painter, face = painter_of(look), face_at(80, 48, 30)
    regions: list[Rect] = []

    def paint(planes: Planes) -> list[Rect]:
        regions.extend(painter.paint(planes, [face]))
        return regions

    Canvas(upright).paint(frame, paint)
    changed = [plane != old for plane, old in zip(planes_of(frame), before, strict=True)]
    assert all(plane.any() for plane in changed)
    shift_x, shift_y = upright.shifts
    for region in regions:
        changed[0][region.slices] = False
        for plane in changed[1:]:
            plane[
                region.y1 >> shift_y : -(-region.y2 >> shift_y),
                region.x1 >> shift_x : -(-region.x2 >> shift_x),
            ] = False
    assert not any(plane.any() for plane in changed)


@each_kept
@pytest.mark.parametrize("look", ["fill:shape=box", "fill"])
def test_nothing_of_a_redacted_face_is_left(look: str, pixel_format: str, colour: Colour) -> None:
    """Two different faces give the same pixels where they are covered, to the last bit."""
    upright = upright_of(pixel_format, colour)
    painter = make_painter(parse_look([look]), {})
    face = Face((60.0, 30.0, 100.0, 70.0), (70, 42, 90, 42, 80, 50, 72, 60, 88, 60), 0.9)
    frames = [noise(upright, seed) for seed in (1, 2)]
    for frame in frames:
        Canvas(upright).paint(frame, lambda planes: painter.paint(planes, [face]))
    one, other = (copies(frame) for frame in frames)
    shift_x, shift_y = upright.shifts
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        x, y = (shift_x, shift_y) if number else (0, 0)
        covered = (slice(30 >> y, 70 >> y), slice(60 >> x, 100 >> x))
        assert (a[covered] == b[covered]).all()
        assert (a != b).any()


@each_kept
def test_a_covered_frame_keeps_nothing(pixel_format: str, colour: Colour) -> None:
    upright = upright_of(pixel_format, colour)
    painter = painter_of("fill")
    frames = [noise(upright, seed) for seed in (1, 2)]
    for frame in frames:
        Canvas(upright).paint(frame, painter.cover)
    assert all((a == b).all() for a, b in zip(*(copies(frame) for frame in frames), strict=True))


@pytest.mark.parametrize(
    ("colour", "white"),
    [(PQ, 0.5807), pytest.param(HLG, 0.75, marks=pytest.mark.slow), (SDR, 1.0)],
    ids=["PQ", "HLG", "SDR"],
)
def test_painted_white_is_as_bright_as_white(colour: Colour, white: float) -> None:
    """58 % of PQ's signal, 75 % of HLG's (BT.2408): not the brightest the format can show."""
    upright = upright_of("yuv420p10le", colour)
    frame = noise(upright)
    Canvas(upright).paint(frame, painter_of("fill:colour=#ffffff").cover)
    black, span, _ = code_range(10, full_range=False)
    y, u, v = planes_of(frame)
    assert (y.mean() - black) / span == pytest.approx(white, abs=0.004)
    assert np.abs(u.astype(int) - 512).max() <= 1
    assert np.abs(v.astype(int) - 512).max() <= 1


@each_kept
def test_blank_frames_are_dark_grey(pixel_format: str, colour: Colour) -> None:
    upright = upright_of(pixel_format, colour)
    frame = Canvas(upright).blank()
    assert (frame.width, frame.height, frame.format.name) == (*SIZE, upright.format)
    y, u, v = (int(plane[5, 5]) for plane in planes_of(frame))
    middle = 1 << upright.bits - 1
    assert (u, v) == (middle, middle)
    if not upright.hdr:
        assert y == BLANK_GREY[0] << upright.bits - 8
    else:
        painted = noise(upright)
        Canvas(upright).paint(painted, painter_of("fill:colour=#1c1c1c").cover)
        assert y == pytest.approx(int(planes_of(painted)[0][5, 5]), abs=3)


def test_overlapping_regions_are_painted_once() -> None:
    """Two stickers over each other, each with soft edges: what they leave is what both leave."""
    upright = upright_of("yuv420p10le", SDR)
    frame, flat = noise(upright), noise(upright_of("yuv420p", SDR))
    for deep, shallow in zip(planes_of(frame), planes_of(flat), strict=True):
        deep[:] = shallow.astype(np.uint16) << 2
    faces = [face_at(70, 48, 40), face_at(90, 50, 36)]
    painter = painter_of("me-gusta")
    Canvas(upright).paint(frame, lambda planes: painter.paint(planes, faces))
    Canvas(upright_of("yuv420p", SDR)).paint(flat, lambda planes: painter.paint(planes, faces))
    for deep, shallow in zip(planes_of(frame), planes_of(flat), strict=True):
        assert np.abs(deep.astype(int) - (shallow.astype(int) << 2)).max() <= 1


STRETCHED = [
    ("yuv420p", SDR, Fraction(32, 11)),
    ("yuv420p", SDR, Fraction(3, 4)),
    ("yuv422p10le", SDR, Fraction(2)),
    ("yuv420p10le", PQ, Fraction(16, 15)),
]
each_stretched = pytest.mark.parametrize(
    ("pixel_format", "colour", "aspect"),
    STRETCHED,
    ids=lambda value: value if isinstance(value, str) else str(getattr(value, "transfer", value)),
)


def stretched(pixel_format: str, colour: Colour, aspect: Fraction) -> Normalizer:
    video = VideoStream(
        "rawvideo",
        "",
        b"",
        *SIZE,
        pixel_format,
        Fraction(1, 25),
        sample_aspect_ratio=aspect,
        colour=colour,
    )
    return Normalizer(video, OutputProfile("libx265", keep_format=True))


def in_square_px(
    box: tuple[int, int, int, int], normalizer: Normalizer
) -> tuple[float, float, float, float]:
    x, y = map(float, normalizer.stretch)
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


@each_stretched
def test_paint_in_square_px_changes_no_sample_outside(
    pixel_format: str, colour: Colour, aspect: Fraction
) -> None:
    upright = stretched(pixel_format, colour, aspect)
    frame = noise(upright)
    before = copies(frame)
    box = in_square_px((60, 30, 100, 70), upright)
    painter = make_painter(parse_look(["fill:shape=box,scale=1.0"]), {})
    Canvas(upright).paint(frame, lambda planes: painter.paint(planes, [Face(box, (), 0.9)]))
    changed = planes_of(frame)[0] != before[0]
    assert changed[30:70, 60:100].all()
    # The soft edge is a twentieth of the face's width, and scaling spreads it by a px.
    soft = math.ceil(0.05 * (box[2] - box[0])) + 2
    changed[30 - soft : 70 + soft, 60 - soft : 100 + soft] = False
    assert not changed.any()


@each_stretched
def test_nothing_of_a_face_redacted_in_square_px_is_left(
    pixel_format: str, colour: Colour, aspect: Fraction
) -> None:
    """Two different faces give the same pixels where they are covered, to the last bit."""
    upright = stretched(pixel_format, colour, aspect)
    painter = make_painter(parse_look(["fill:shape=box"]), {})
    face = Face(in_square_px((60, 30, 100, 70), upright), (), 0.9)
    frames = [noise(upright, seed) for seed in (1, 2)]
    for frame in frames:
        Canvas(upright).paint(frame, lambda planes: painter.paint(planes, [face]))
    shift_x, shift_y = upright.shifts
    for number, (one, two) in enumerate(zip(*map(planes_of, frames), strict=True)):
        x, y = (shift_x, shift_y) if number else (0, 0)
        covered = (slice(30 >> y, 70 >> y), slice(60 >> x, 100 >> x))
        assert np.array_equal(one[covered], two[covered])


def test_paint_has_its_shape_when_it_is_shown() -> None:
    """A circle in square px is a circle once the player has stretched the frame."""
    upright = stretched("yuv420p", SDR, Fraction(2))
    frame = av.VideoFrame(*upright.size, upright.format)
    for number, plane in enumerate(planes_of(frame)):
        plane[:] = 128 if number else 200
    painter = make_painter(parse_look(["fill:shape=box,scale=1.0"]), {})
    face = Face((120.0, 28.0, 160.0, 68.0), (), 0.9)
    Canvas(upright).paint(frame, lambda planes: painter.paint(planes, [face]))
    dark = planes_of(frame)[0] < 100
    assert abs(int(dark.any(axis=0).sum()) * 2 - 41) <= 4
    assert abs(int(dark.any(axis=1).sum()) - 41) <= 2
