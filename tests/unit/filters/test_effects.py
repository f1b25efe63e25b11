"""Colour effects and warps: within the face, in the frame's own range, as strong as asked for,
without a tear."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from filters.effects import EFFECTS
from filters.face import pose_of
from filters.gallery import PORTRAIT_FACE, portrait
from filters.planes import Planes
from filters.warps import WARPS
from tests.support.filter_cases import copy, painter_of, same


def drawn() -> Planes:
    """The portrait as a frame."""
    return Planes.from_rgb(portrait(0, 480))


@pytest.mark.parametrize("name", [*EFFECTS, *WARPS])
def test_the_face_changes_and_what_is_about_it_does_not(name: str) -> None:
    frame, before = drawn(), drawn()
    painter_of(name).paint(frame, [PORTRAIT_FACE])
    changed = np.abs(frame.y.astype(int) - before.y)
    assert changed[193:418, 153:327].mean() > 1
    assert not changed[:120].any()
    assert not changed[:, :110].any()
    assert not changed[:, 370:].any()


@pytest.mark.parametrize("name", [*EFFECTS, *WARPS])
def test_a_face_that_fades_is_left_as_it_is(name: str) -> None:
    frame = drawn()
    painter_of(name).paint(frame, [replace(PORTRAIT_FACE, opacity=0.0)])
    assert same(frame, drawn())


@pytest.mark.parametrize("name", WARPS)
def test_no_warp_on_a_head_turned_away_and_none_of_no_strength(name: str) -> None:
    away = replace(PORTRAIT_FACE, head=replace(pose_of(PORTRAIT_FACE), yaw=70.0))
    for text, face in ((name, away), (f"{name}:strength=0", PORTRAIT_FACE)):
        frame = drawn()
        assert painter_of(text).paint(frame, [face]) == []
        assert same(frame, drawn())


@pytest.mark.parametrize("name", WARPS)
def test_a_warp_has_no_tear(name: str) -> None:
    """A ramp of luma stays a ramp: neighbours differ little, also where a lens ends and at the
    frame's border."""
    ramp = np.tile((np.arange(480) / 2).astype(np.uint8), (480, 1))
    flat = np.full((480, 480), 128, np.uint8)
    for shift in (0.0, -240.0, 240.0):
        frame = Planes(ramp.copy(), flat.copy(), flat.copy(), 0, 0)
        x1, y1, x2, y2 = PORTRAIT_FACE.box
        face = replace(PORTRAIT_FACE, box=(x1 + shift, y1, x2 + shift, y2), landmarks=())
        painter_of(f"{name}:strength=1").paint(frame, [face])
        assert np.abs(np.diff(frame.y.astype(int), axis=1)).max() <= 4
        assert np.abs(np.diff(frame.y.astype(int), axis=0)).max() <= 12
        assert same(replace(frame, y=ramp), Planes(ramp, flat, flat, 0, 0))


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_do_not_flicker(name: str) -> None:
    """Noise as of a camera, and a box that trembles, move the mean of what is shown as little as
    that of the frame."""
    means = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        frame = drawn()
        noisy = frame.y.astype(float) + random.normal(0, 3, frame.y.shape)
        frame = replace(frame, y=np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
        head = replace(pose_of(PORTRAIT_FACE), x=240 + random.normal(0, 0.3))
        painter_of(name).paint(frame, [replace(PORTRAIT_FACE, head=head)])
        means.append(cv2.mean(frame.y[220:400, 180:300])[0])
    assert np.ptp(means) < 1.0


def test_in_limited_range_an_effect_stays_in_it() -> None:
    frame = copy(drawn())
    limited = Planes((frame.y * (219 / 255) + 16).astype(np.uint8), frame.u, frame.v, 0, 0)
    for name in EFFECTS:
        painted = copy(limited)
        painter_of(name).paint(painted, [PORTRAIT_FACE])
        assert 15 <= painted.y.min() <= painted.y.max() <= 236
