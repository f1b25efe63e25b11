"""Stickers take the brightness of the scene, and their edges lie between sticker and background."""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facepaint.looks.parser import parse_look
from filters.affine import Affine
from filters.artwork import Artwork
from filters.blit import blit
from filters.gallery import PORTRAIT_FACE, portrait
from filters.layers import Layer
from filters.planes import Pixels, Planes, rgb_to_yuv
from filters.registry import make_painter
from filters.scene_light import DARKEST, SceneLight
from filters.stickers import Sticker, UserSticker
from tests.support.filter_cases import FORMATS, copy, same

WHITE = Artwork(np.full((60, 60, 4), 255, np.uint8))


def scene(brightness: float, *, full_range: bool = False) -> Planes:
    """The portrait as a frame, darkened uniformly."""
    matrix = rgb_to_yuv("bt709", full_range)
    yuv = cv2.transform(portrait(0, 480), matrix).astype(np.float64)
    dark = np.rint((yuv - matrix[:, 3]) * brightness + matrix[:, 3]).astype(np.uint8)
    return Planes(
        *(np.ascontiguousarray(dark[:, :, n]) for n in range(3)), 0, 0, full_range=full_range
    )


def luma_of_white(frame: Planes) -> float:
    """The luma of a white user sticker on the portrait's face, from 0 (black) to 1."""
    face = replace(PORTRAIT_FACE, light=SceneLight.of_frame(frame).light_on(PORTRAIT_FACE))
    UserSticker(WHITE, 1.0).paint(frame, face, 0.0)
    black, white = (0, 255) if frame.full_range else (16, 235)
    return float((frame.y[310, 240] - float(black)) / (white - black))


@pytest.mark.parametrize("full_range", [True, False])
def test_a_white_sticker_is_white_by_day_and_dim_by_night(full_range: bool) -> None:
    shown = [
        luma_of_white(scene(brightness, full_range=full_range))
        for brightness in (1.0, 0.5, 0.3, 0.2, 0.1, 0.0)
    ]
    assert shown[:2] == [1.0, 1.0]
    assert all(darker < brighter for brighter, darker in itertools.pairwise(shown[1:]))
    assert shown[-2] < 0.55
    assert shown[-1] == pytest.approx(DARKEST, abs=0.01)


def test_in_daylight_a_sticker_keeps_its_exact_colours() -> None:
    by_day, plain = scene(1.0), scene(1.0)
    make_painter(parse_look(["sunglasses"]), {}).paint(by_day, [PORTRAIT_FACE])
    make_painter(parse_look(["sunglasses"]), {}).filters[0][1].paint(plain, PORTRAIT_FACE, 0.0)
    assert same(by_day, plain)


def test_colours_fade_to_black_with_the_light() -> None:
    red = np.zeros((60, 60, 4), np.uint8)
    red[..., [0, 3]] = 255
    for light, shown in ((1.0, [63, 102, 240]), (0.5, [39.5, 115, 184])):
        frame = scene(0.1)
        blit(frame, Artwork(red), Affine.shift(200, 280), light=light)
        assert (
            np.abs(
                [
                    float(plane[310, 240]) - n
                    for plane, n in zip((frame.y, frame.u, frame.v), shown, strict=True)
                ]
            ).max()
            <= 1
        )


def test_a_glowing_layer_is_not_dimmed() -> None:
    layer = Layer("", (30, 30), (0.0, 0.3, 0.0))
    painted = []
    for glows in (False, True):
        frame = scene(0.1)
        Sticker(((replace(layer, glows=glows), (WHITE,)),), 3.0).paint(
            frame, replace(PORTRAIT_FACE, light=0.5), 0.0
        )
        painted.append(int(frame.y[310, 240]))
    assert painted == [pytest.approx(16 + 219 / 2, abs=1), 235]


def test_the_light_is_measured_before_anything_is_painted() -> None:
    """Else a white filter would light the next one, and a covered face would darken its own hat."""
    covered, alone = scene(0.15), scene(0.15)
    make_painter(parse_look(["fill:colour=#ffffff,scale=3", "party-hat"]), {}).paint(
        covered, [PORTRAIT_FACE]
    )
    make_painter(parse_look(["party-hat"]), {}).paint(alone, [PORTRAIT_FACE])
    hat = (slice(110, 150), slice(220, 260))
    assert np.array_equal(covered.y[hat], alone.y[hat])


def test_the_light_hardly_changes_when_a_face_moves() -> None:
    frame = scene(0.3)
    still = SceneLight.of_frame(frame).light_on(PORTRAIT_FACE)
    for step, most in ((0.7, 0.003), (4.0, 0.01)):
        x1, y1, x2, y2 = PORTRAIT_FACE.box
        moved = replace(PORTRAIT_FACE, box=(x1 - step, y1 + step, x2 + step, y2 + step))
        assert SceneLight.of_frame(frame).light_on(moved) == pytest.approx(still, rel=most)


def disc(colour: tuple[int, int, int]) -> Artwork:
    """An opaque disc with a smooth edge."""
    alpha = np.zeros((200, 200), np.uint8)
    cv2.circle(alpha, (100, 100), 90, 255, -1, cv2.LINE_AA)
    rgba = np.dstack([np.rint(alpha * (value / 255)) for value in colour] + [alpha])
    return Artwork(rgba.astype(np.uint8))


def flat(colour: tuple[int, int, int], shifts: tuple[int, int], *, full_range: bool) -> Planes:
    """A frame of one colour."""
    values = np.rint(rgb_to_yuv("bt709", full_range) @ [*colour, 1]).clip(0, 255).astype(int)
    chroma = (120 >> shifts[1], 120 >> shifts[0])
    planes: list[Pixels] = [
        np.full(shape, value, np.uint8)
        for shape, value in zip(((120, 120), chroma, chroma), values, strict=True)
    ]
    return Planes(planes[0], planes[1], planes[2], *shifts, full_range=full_range)


@pytest.mark.parametrize("shifts", [FORMATS["4:2:0"], FORMATS["4:4:4"]], ids=["4:2:0", "4:4:4"])
@pytest.mark.parametrize("full_range", [True, False])
def test_edges_lie_between_sticker_and_background(
    shifts: tuple[int, int], full_range: bool
) -> None:
    """A fringe, dark or bright, is a sample outside of the range of the two."""
    colours = [(255, 255, 255), (0, 0, 0), (230, 30, 40), (20, 160, 60), (30, 60, 220)]
    for sticker in colours:
        artwork = disc(sticker)
        for background in colours:
            frame = flat(background, shifts, full_range=full_range)
            before = copy(frame)
            own = flat(sticker, shifts, full_range=full_range)
            for scale in (1.3, 0.4, 0.13):
                frame = copy(before)
                assert blit(
                    frame, artwork, Affine(scale, 0.1 * scale, 3.3, -0.1 * scale, scale, 13.6)
                )
                for painted, old, full in zip(
                    *((p.y, p.u, p.v) for p in (frame, before, own)), strict=True
                ):
                    low, high = sorted((int(old[0, 0]), int(full[0, 0])))
                    assert low - 2 <= painted.min() <= painted.max() <= high + 2
                    assert np.any(np.abs(painted.astype(int) - full[0, 0]) <= 2)
