"""The contract of every filter: it paints only in the rectangles that it returns, on any planes, at
any border."""

from dataclasses import replace

import numpy as np
import pytest

from facepaint.errors import InputError
from facepaint.looks.catalogue import CATALOGUE
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_filter, parse_look
from filters.effects import EFFECTS
from filters.face import Face
from filters.gallery import PORTRAIT_FACE
from filters.planes import Planes, Rect, rgb_to_yuv
from filters.redaction import REDACTIONS
from filters.registry import FILTERS, Painter, make_painter
from filters.warps import WARPS
from tests.support.filter_cases import FORMATS, copy, face_at, noise, painter_of, same

NEIGHBOURHOOD = {"blur", "mosaic", *EFFECTS, *WARPS}
"""Filters whose px depend on other px around them."""


def changed_outside(before: Planes, after: Planes, painted: list[Rect]) -> bool:
    """Whether any sample differs that belongs to no px of the rectangles."""
    luma = before.y != after.y
    chroma = (before.u != after.u) | (before.v != after.v)
    step_x, step_y = 1 << before.chroma_shift_x, 1 << before.chroma_shift_y
    for rect in painted:
        luma[rect.slices] = False
        chroma[
            rect.y1 // step_y : -(-rect.y2 // step_y), rect.x1 // step_x : -(-rect.x2 // step_x)
        ] = False
    return bool(luma.any() or chroma.any())


def test_every_filter_of_the_catalogue_has_a_painter() -> None:
    assert set(FILTERS) == set(CATALOGUE)
    assert set(REDACTIONS) == {name for name, kind in CATALOGUE.items() if kind.redacts}


@pytest.mark.parametrize("shifts", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_filter_paints_only_in_the_rectangles_that_it_returns(
    name: str, shifts: tuple[int, int]
) -> None:
    frame = noise(201, 151, shifts)
    before = copy(frame)
    painted = painter_of(name).paint(frame, [face_at(100, 90, 47)])
    assert painted
    assert all(
        0 <= rect.x1 < rect.x2 <= frame.width and 0 <= rect.y1 < rect.y2 <= frame.height
        for rect in painted
    )
    for samples, old in ((frame.y, before.y), (frame.u, before.u), (frame.v, before.v)):
        assert np.count_nonzero(samples != old) > 50
    assert not changed_outside(before, frame, painted)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_face_outside_of_the_frame_changes_nothing(name: str) -> None:
    frame = noise(120, 90)
    before = copy(frame)
    far = [
        face_at(x, y, 40) for x, y in ((-400, 45), (60, -400), (600, 45), (60, 600), (1e9, -1e9))
    ]
    assert painter_of(name).paint(frame, far) == []
    assert same(frame, before)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in NEIGHBOURHOOD])
@pytest.mark.parametrize(
    "at", [(2, 50), (130, 50), (66, 3), (66, 97), (0, 0), (131, 99), (66, 50)], ids=str
)
def test_a_border_of_the_frame_only_crops_the_paint(name: str, at: tuple[float, float]) -> None:
    """A crop of a frame is painted as the frame is."""
    large = noise(332, 300)
    part, chroma = (slice(100, 201), slice(100, 233)), (slice(50, 101), slice(50, 117))
    frame = Planes(large.y[part].copy(), large.u[chroma].copy(), large.v[chroma].copy(), 1, 1)
    painter = painter_of(name)
    painter.paint(large, [face_at(at[0] + 100, at[1] + 100, 50)])
    painter.paint(frame, [face_at(*at, 50)])
    # Interpolation is in fixed point from the corner of the block: the last bits may differ.
    for small, whole in ((frame.y, large.y[part]), (frame.u, large.u[chroma])):
        assert np.abs(small.astype(int) - whole).max() <= 8
        assert np.mean(np.abs(small.astype(int) - whole)) < 0.5


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (33, 1)], ids=str)
def test_tiny_frames_can_be_painted(name: str, size: tuple[int, int]) -> None:
    for shifts in FORMATS.values():
        frame = noise(*size, shifts)
        painter = painter_of(name)
        painter.paint(frame, [face_at(1, 1, 8), face_at(1, 1, 500)])
        painter.cover(frame)


@pytest.mark.parametrize("name", CATALOGUE)
def test_planes_may_have_any_strides(name: str) -> None:
    """A frame that is rotated upright is a view with negative or swapped strides."""
    plain = noise(121, 80)
    stored = [np.ascontiguousarray(samples.T[::-1]) for samples in (plain.y, plain.u, plain.v)]
    turned = Planes(*(samples[::-1].T for samples in stored), 1, 1)
    assert same(plain, turned)
    painter = painter_of(name)
    assert painter.paint(plain, [face_at(60, 41, 30)]) == painter.paint(
        turned, [face_at(60, 41, 30)]
    )
    assert same(plain, turned)
    assert np.shares_memory(turned.y, stored[0])


@pytest.mark.parametrize("name", CATALOGUE)
def test_implausible_landmarks_fall_back_to_the_box(name: str) -> None:
    box = (40.0, 30.0, 80.0, 82.0)
    painter = painter_of(name)
    painted = []
    # Redactions cover the whole frame if a coordinate is not finite: see test_redaction.py.
    not_finite = () if CATALOGUE[name].redacts else ((float("nan"),) * 10,)
    for landmarks in ((60.0, 50.0) * 5, *not_finite, (0.0,) * 10, (5000.0, 1.0) * 5):
        frame = noise(120, 120)
        assert painter.paint(frame, [Face(box, landmarks, 0.5)])
        painted.append(frame)
    assert all(same(painted[0], other) for other in painted[1:])


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_person_number_selects_the_face(name: str) -> None:
    # Not by `make_painter`, which would render the drawings again.
    painter = Painter(
        tuple((replace(spec, face=2), painted) for spec, painted in painter_of(name).filters)
    )
    first, second, unknown = (
        Face(PORTRAIT_FACE.box, PORTRAIT_FACE.landmarks, 0.9, identity) for identity in (1, 2, None)
    )
    assert not painter.touches([first])
    assert painter.touches([first, second])
    frame = noise(480, 480)
    before = copy(frame)
    assert painter.paint(frame, [first]) == []
    assert same(frame, before)
    # Of unknown identity: a redaction fails closed, a sticker needs certainty.
    assert painter.touches([unknown]) == CATALOGUE[name].redacts
    assert bool(painter.paint(frame, [unknown])) == CATALOGUE[name].redacts


def test_without_faces_nothing_is_painted() -> None:
    assert not painter_of("blur").touches([])
    assert painter_of("sunglasses").paint(noise(64, 64), []) == []


def test_filters_are_painted_in_the_order_given() -> None:
    under, over = noise(200, 200), noise(200, 200)
    face = face_at(100, 100, 80)
    make_painter(parse_look(["sunglasses", "fill"]), {}).paint(under, [face])
    make_painter(parse_look(["fill", "sunglasses"]), {}).paint(over, [face])
    box = (slice(70, 130), slice(70, 130))
    assert np.ptp(under.y[box]) == 0
    assert np.ptp(over.y[box]) > 50


def test_near_faces_are_painted_over_far_ones() -> None:
    frame, other = noise(300, 300), noise(300, 300)
    near, far = face_at(150, 150, 120), face_at(180, 150, 60)
    painter = painter_of("me-gusta")
    painter.paint(frame, [near, far])
    painter.paint(other, [far, near])
    assert same(frame, other)


def test_a_sticker_that_is_not_stored_is_refused() -> None:
    look = Look((parse_filter("sticker:any.png").stored_as("0" * 64),))
    with pytest.raises(InputError, match="sticker 000000000000 is not stored"):
        make_painter(look, {})


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full_range", [True, False])
def test_colours_use_the_matrix_and_range_of_the_frame(matrix: str, full_range: bool) -> None:
    planes = noise(64, 64, (0, 0))
    frame = Planes(planes.y, planes.u, planes.v, 0, 0, full_range, matrix)  # type: ignore[arg-type]
    make_painter(parse_look(["fill:colour=#e8410c,shape=box"]), {}).cover(frame)
    assert np.abs(frame.to_rgb().astype(int) - (0xE8, 0x41, 0x0C)).max() <= 2


def test_rgb_to_yuv_gives_the_samples_of_the_standards() -> None:
    """White, black and red in BT.709 limited range (ITU-R BT.709), and in JPEG (JFIF)."""
    rgb = np.array([[255, 255, 255, 1], [0, 0, 0, 1], [255, 0, 0, 1]]).T
    assert np.rint(rgb_to_yuv("bt709", False) @ rgb).T.tolist() == [
        [235, 128, 128],
        [16, 128, 128],
        [63, 102, 240],
    ]
    assert np.rint(rgb_to_yuv("bt601", True) @ rgb).T.tolist() == [
        [255, 128, 128],
        [0, 128, 128],
        [76, 85, 256],
    ]


def test_rgb_survives_the_conversion_to_planes_and_back() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (37, 53, 3), np.uint8)
    planes = Planes.from_rgb(rgb)
    assert np.abs(planes.to_rgb().astype(int) - rgb).max() <= 2
    rect = Rect(5, 7, 31, 20)
    assert np.array_equal(planes.to_rgb(rect), planes.to_rgb()[rect.slices])
