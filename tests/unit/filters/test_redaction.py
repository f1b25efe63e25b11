"""Redactions: nothing of the covered area is left, and nothing else is changed."""

import math
from dataclasses import replace

import numpy as np
import pytest

from facepaint.looks.parser import parse_look
from filters.area import covered_area
from filters.face import Face
from filters.planes import Planes, Rect
from filters.pose import HeadPose
from filters.redaction import NOISE, REDACTIONS
from filters.registry import make_painter
from tests.support.filter_cases import FORMATS, copy, face_at, noise, painter_of, same

SHAPES = ("ellipse", "box")


def box_of(face: Face, frame: Planes) -> tuple[slice, slice]:
    """The rows and columns of every px that the face's box touches."""
    x1, y1, x2, y2 = face.box
    return (
        slice(max(0, math.floor(y1)), min(frame.height, math.ceil(y2))),
        slice(max(0, math.floor(x1)), min(frame.width, math.ceil(x2))),
    )


def rolled(face: Face, degrees: float) -> Face:
    """The face rotated about the centre of its box, with the box around it."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = face.centre
    points = zip(face.landmarks[0::2], face.landmarks[1::2], strict=True)
    turned = [
        (x + cos * (a - x) - sin * (b - y), y + sin * (a - x) + cos * (b - y)) for a, b in points
    ]
    width = abs(cos) * face.width / 2 + abs(sin) * face.height / 2
    height = abs(sin) * face.width / 2 + abs(cos) * face.height / 2
    return Face(
        (x - width, y - height, x + width, y + height),
        tuple(n for point in turned for n in point),
        0.9,
    )


@pytest.mark.parametrize("shifts", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("degrees", [0, 20, -45, 90, 165])
def test_fill_leaves_one_colour_in_the_box_of_a_face(
    shape: str, shifts: tuple[int, int], degrees: float
) -> None:
    painter = make_painter(parse_look([f"fill:shape={shape},colour=#336699"]), {})
    for x, y, width in (
        (100, 90, 61),
        (97.3, 81.9, 8),
        (3, 90, 40),
        (197, 88, 40),
        (100, 2, 40),
        (99, 148, 40),
    ):
        frame, face = noise(201, 151, shifts), rolled(face_at(x, y, width), degrees)
        painter.paint(frame, [face])
        rows, columns = box_of(face, frame)
        assert np.ptp(frame.y[rows, columns]) == 0
        chroma = (
            slice(rows.start >> shifts[1], -(-rows.stop >> shifts[1])),
            slice(columns.start >> shifts[0], -(-columns.stop >> shifts[0])),
        )
        assert np.ptp(frame.u[chroma]) == 0
        assert np.ptp(frame.v[chroma]) == 0


@pytest.mark.parametrize("corner", [(0, 0), (160, 0), (0, 120), (160, 120)], ids=str)
@pytest.mark.parametrize("name", REDACTIONS)
def test_a_face_in_a_corner_is_covered_up_to_the_border(name: str, corner: tuple[int, int]) -> None:
    frame, face = noise(161, 121), face_at(*corner, 50)
    before = copy(frame)
    painter_of(name).paint(frame, [face])
    box = box_of(face, frame)
    assert np.mean(frame.y[box] == before.y[box]) < 0.05


@pytest.mark.parametrize("size", [8, 11, 20, 45, 120, 300])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["blur", "mosaic"])
def test_no_detail_of_a_face_of_any_size_is_left(name: str, shape: str, size: int) -> None:
    """Of noise, the means of cells are left: its standard deviation falls as that of means does."""
    painter = make_painter(parse_look([f"{name}:shape={shape}"]), {})
    for plane, least in (("y", 2.2), ("u", 1.4), ("v", 1.4)):
        redacted, original = [], []
        for seed in range(1 if size > 100 else 12):
            frame = noise(3 * size + 1, 3 * size + 11, seed=seed)
            face = face_at(1.5 * size + 0.4, 1.5 * size + 3.7, size)
            rows, columns = box_of(face, frame)
            if plane != "y":
                rows, columns = (
                    slice(-(-part.start // 2), part.stop // 2) for part in (rows, columns)
                )
            samples = getattr(frame, plane)
            original.append(samples[rows, columns].ravel().copy())
            painter.paint(frame, [face])
            redacted.append(samples[rows, columns].ravel())
        now, then = np.concatenate(redacted), np.concatenate(original)
        assert now.std() < then.std() / least
        # Equal samples are as rare as by chance.
        assert np.mean(now == then) < 0.04


@pytest.mark.parametrize("name", ["blur", "mosaic"])
def test_images_with_equal_means_give_equal_results(name: str) -> None:
    """Nothing finer than the cells has an effect: two opposite checkerboards come out alike."""
    shown = []
    for phase in (0, 1):
        board = ((np.indices((240, 240)).sum(0) + phase) % 2 * 200 + 20).astype(np.uint8)
        frame = Planes(board.copy(), board[::2, ::2].copy(), board[1::2, 1::2].copy(), 1, 1)
        face = face_at(120, 120, 96)
        painter_of(name).paint(frame, [face])
        shown.append(frame.y[box_of(face, frame)].astype(int))
    assert np.abs(shown[0] - shown[1]).max() <= 12


@pytest.mark.parametrize("tiles", [2, 6, 12])
def test_mosaic_has_the_requested_number_of_tiles(tiles: int) -> None:
    frame = noise(400, 400)
    frame.y[...] = np.arange(400) // 2
    face = face_at(200, 200, 120)
    make_painter(parse_look([f"mosaic:size={tiles},shape=box,scale=1"]), {}).paint(frame, [face])
    rows, columns = box_of(face, frame)
    row = frame.y[rows.start + 5, columns].astype(int)
    assert np.count_nonzero(np.diff(row)) + 1 == pytest.approx(tiles, abs=1)


def test_each_tile_is_the_mean_of_its_px_with_noise() -> None:
    frame = noise(64, 64, (0, 0))
    before = copy(frame)
    make_painter(parse_look(["mosaic:size=4"]), {}).cover(frame)
    errors = []
    for y in range(0, 64, 16):
        for x in range(0, 64, 16):
            tile = Rect(x, y, x + 16, y + 16).slices
            assert np.ptp(frame.y[tile]) == 0
            errors.append(float(frame.y[tile][0, 0]) - float(before.y[tile].mean()))
    assert max(map(abs, errors)) <= NOISE + 1.5
    assert np.std(errors) > NOISE / 3


@pytest.mark.parametrize("name", ["blur", "mosaic"])
def test_the_noise_depends_on_the_secret_and_is_constant_over_time(
    name: str,
) -> None:
    """Fresh noise in every frame would average out over a second of video."""
    shown = {}
    for secret, time_s in ((b"one", 0.0), (b"one", 1.5), (b"other", 0.0)):
        frame = noise(200, 200)
        make_painter(parse_look([name]), {}).with_noise_secret(secret).paint(
            frame, [face_at(100, 100, 80)], time_s
        )
        shown[secret, time_s] = frame
    assert same(shown[b"one", 0.0], shown[b"one", 1.5])
    assert np.ptp(shown[b"one", 0.0].y.astype(int) - shown[b"other", 0.0].y) > NOISE / 3


@pytest.mark.parametrize("shape", SHAPES)
def test_the_soft_edge_lies_outside_of_the_covered_area(shape: str) -> None:
    face = rolled(face_at(100.3, 90.8, 60), 25)
    area = covered_area(face, 1.3, shape)
    block = noise(200, 200).block(*area.bounds)
    assert block is not None
    mask = area.mask(block)
    box = box_of(face, noise(200, 200))
    inside = mask[
        box[0].start - block.y1 : box[0].stop - block.y1,
        box[1].start - block.x1 : box[1].stop - block.x1,
    ]
    assert inside.min() == 255
    assert 0 < np.count_nonzero((mask > 0) & (mask < 255)) < mask.size / 4
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    assert all(edge.min() < 40 for edge in edges)


def test_scale_grows_the_covered_area() -> None:
    face = face_at(200, 200, 60)
    areas = []
    for scale in (1.0, 1.3, 2.0, 3.0):
        frame = noise(400, 400)
        before = copy(frame)
        make_painter(parse_look([f"fill:scale={scale}"]), {}).paint(frame, [face])
        areas.append(np.count_nonzero(frame.y != before.y))
    assert areas == sorted(areas)
    assert areas[-1] / areas[0] == pytest.approx(9, rel=0.15)


@pytest.mark.parametrize("shifts", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", REDACTIONS)
def test_cover_redacts_the_whole_frame(name: str, shifts: tuple[int, int]) -> None:
    frame = noise(321, 181, shifts)
    before = copy(frame)
    painter_of(name).cover(frame)
    planes = ((frame.y, before.y), (frame.u, before.u), (frame.v, before.v))
    for (now, then), most in zip(planes, (NOISE, 0, 0), strict=True):
        assert now.std() < then.std() / 8 + most / math.sqrt(3)
        assert np.mean(now == then) < 0.05


def test_cover_redacts_even_if_the_look_does_not() -> None:
    frame = noise(64, 48)
    painter_of("sunglasses").cover(frame)
    assert np.ptp(frame.y) == np.ptp(frame.u) == np.ptp(frame.v) == 0


@pytest.mark.parametrize("broken", ["box", "landmarks", "margin"])
@pytest.mark.parametrize("number", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize("name", REDACTIONS)
def test_a_face_without_a_finite_position_covers_the_whole_frame(
    name: str, number: float, broken: str
) -> None:
    face = face_at(50, 50, 20)
    wrong = {
        "box": (10.0, number, 30.0, 40.0),
        "landmarks": (*face.landmarks[:9], number),
        "margin": number,
    }
    frame, covered = noise(161, 121), noise(161, 121)
    painter = painter_of(name)
    assert painter.paint(frame, [replace(face, **{broken: wrong[broken]})]) == painter.cover(
        covered
    )
    assert same(frame, covered)


def head_at(yaw: float, pitch: float, roll: float) -> Face:
    """A face in that pose in the middle of a frame of 400 px, with the box around it."""
    head = HeadPose(200, 180, 30, yaw, pitch, roll)
    points = [
        head.at(x, y, z) for x in (-0.9, 0.9) for y, z in ((-0.7, -0.2), (0.5, 0.0), (1.7, 0.0))
    ]
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    places = ((-0.5, 0, 0), (0.5, 0, 0), (0, 0.6, 0.4), (-0.4, 1.02, 0), (0.4, 1.02, 0))
    landmarks = tuple(number for place in places for number in head.at(*place))
    return Face((min(xs), min(ys), max(xs), max(ys)), landmarks, 0.9, head=head)


POINTS_OF_A_HEAD = {
    "top": (0.0, -1.9, -1.2),
    "forehead": (0.0, -1.1, -0.2),
    "right ear": (-1.3, 0.4, -1.5),
    "left ear": (1.3, 0.4, -1.5),
    "back": (0.0, 0.0, -3.0),
    "chin": (0.0, 1.8, -0.1),
    "throat": (0.0, 2.1, -0.9),
    "nose": (0.0, 0.6, 0.4),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (45, 0, 0), (-80, 10, 0), (20, 25, -30), (0, -25, 90), (90, 0, 10)]
)
def test_cover_head_covers_a_head_from_hair_to_throat_in_any_pose(
    angles: tuple[int, ...], shape: str
) -> None:
    face = head_at(*angles)
    assert face.head is not None
    frame = noise(400, 400)
    make_painter(parse_look([f"fill:cover=head,shape={shape},colour=#000000"]), {}).paint(
        frame, [face]
    )
    covered = frame.y == 16
    for name, place in POINTS_OF_A_HEAD.items():
        x, y = face.head.at(*place)
        assert covered[round(y), round(x)], name
    only_face = noise(400, 400)
    make_painter(parse_look([f"fill:shape={shape},colour=#000000"]), {}).paint(only_face, [face])
    assert (covered | (only_face.y != 16)).all(), "the area of the face is part of it"
    assert covered.mean() < 0.45


@pytest.mark.parametrize("cover", ["face", "head"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_margin_enlarges_the_covered_area(shape: str, cover: str) -> None:
    face = face_at(200, 200, 60)
    exact = covered_area(face, 1.3, shape, cover).bounds
    uncertain = covered_area(replace(face, margin=12.0), 1.3, shape, cover).bounds
    assert all(a + 12 <= b for a, b in zip(uncertain[:2], exact[:2], strict=True))
    assert all(a - 12 >= b for a, b in zip(uncertain[2:], exact[2:], strict=True))


@pytest.mark.parametrize("name", ["blur", "mosaic"])
def test_of_the_colours_of_a_face_only_the_mean_is_left(name: str) -> None:
    frame, face = noise(200, 200), face_at(100, 100, 80)
    painter_of(name).paint(frame, [face])
    rows, columns = (slice(-(-part.start // 2), part.stop // 2) for part in box_of(face, frame))
    assert np.ptp(frame.u[rows, columns]) == np.ptp(frame.v[rows, columns]) == 0
