"""Animated stickers: periodic without a jump, and functions of time alone."""

from itertools import pairwise

import pytest

from facepaint.looks.catalogue import CATALOGUE
from filters.layers import Layer
from filters.motion import Motion, MotionState
from filters.stickers_table import STICKERS
from tests.support.filter_cases import face_at, noise, painter_of, same

ANIMATED = {
    name: tuple(layer.motion for layer in layers if layer.motion)
    for name, layers in STICKERS.items()
    if any(layer.motion for layer in layers)
}
MOTIONS = {motion for motions in ANIMATED.values() for motion in motions}


def test_the_catalogue_lists_the_animated_stickers() -> None:
    assert set(ANIMATED) == {kind.name for kind in CATALOGUE.values() if kind.animated}
    assert len(ANIMATED) >= 3


@pytest.mark.parametrize("name", ANIMATED)
def test_an_animated_sticker_repeats_after_its_period_and_changes_in_between(name: str) -> None:
    period = max(motion.period for motion in ANIMATED[name])
    painted = []
    for time_s in (0.3, 0.3 + period, 0.3 + 1000 * period, 0.3 + period / 2.3):
        frame = noise(200, 200)
        assert painter_of(name).paint(frame, [face_at(100, 110, 70)], time_s)
        painted.append(frame)
    assert same(painted[0], painted[1])
    assert same(painted[0], painted[2])
    assert not same(painted[0], painted[3])


@pytest.mark.parametrize("name", ["sunglasses", "dog"])
def test_other_stickers_look_the_same_at_any_time(name: str) -> None:
    first, later = noise(120, 120), noise(120, 120)
    painter_of(name).paint(first, [face_at(60, 60, 50)], 0.0)
    painter_of(name).paint(later, [face_at(60, 60, 50)], 1.23)
    assert same(first, later)


@pytest.mark.parametrize("motion", MOTIONS, ids=str)
def test_a_motion_never_jumps(motion: Motion) -> None:
    """In a hundredth of a period a layer hardly moves, except while it is invisible."""
    states = [motion.at((n / 100 - 1) * motion.period) for n in range(301)]
    for before, after in pairwise(states):
        seen = min(before.opacity, after.opacity)
        for way in (after.right - before.right, after.down - before.down, after.out - before.out):
            assert abs(way) * seen < 0.08
        assert abs(after.opacity - before.opacity) < 0.1
        assert abs(after.size - before.size) * seen < 0.06
        assert abs((after.degrees - before.degrees + 180) % 360 - 180) * seen < 10


def test_a_rising_layer_fades_in_at_its_place_and_fades_out_above_it() -> None:
    motion = Motion(2.0, rise=1.5)
    start, middle, end = (motion.at(time_s) for time_s in (0.0, 1.0, 1.98))
    assert (start.opacity, start.down) == (0, 0)
    assert start.size < middle.size == 1
    assert middle == MotionState(down=-0.75, progress=0.5)
    assert end.opacity < 0.01
    assert end.down == pytest.approx(-1.485)


def test_the_drawings_of_a_sprite_follow_one_another() -> None:
    layer = Layer("flames", (0, 0), (0.0, 0.0, 0.0), motion=Motion(0.6), frames=6)
    assert layer.assets == tuple(f"flames-{n}" for n in range(1, 7))
    assert [int(layer.state_at(n / 10 + 0.05).progress * 6) for n in range(8)] == [
        0,
        1,
        2,
        3,
        4,
        5,
        0,
        1,
    ]
