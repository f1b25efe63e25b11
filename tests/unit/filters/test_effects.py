"""Colour effects and warps: within the face, in the frame's range, without tears or flicker."""

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
def test_an_effect_changes_the_face_and_nothing_around_it(name: str) -> None:
    frame, before = drawn(), drawn()
    painter_of(name).paint(frame, [PORTRAIT_FACE])
    changed = np.abs(frame.y.astype(int) - before.y)
    assert changed[193:418, 153:327].mean() > 1
    assert not changed[:120].any()
    assert not changed[:, :110].any()
    assert not changed[:, 370:].any()


@pytest.mark.parametrize("name", [*EFFECTS, *WARPS])
def test_a_faded_face_is_not_changed(name: str) -> None:
    frame = drawn()
    painter_of(name).paint(frame, [replace(PORTRAIT_FACE, opacity=0.0)])
    assert same(frame, drawn())


@pytest.mark.parametrize("name", WARPS)
def test_a_warp_does_nothing_on_a_head_turned_away_or_at_strength_0(name: str) -> None:
    away = replace(PORTRAIT_FACE, head=replace(pose_of(PORTRAIT_FACE), yaw=70.0))
    for text, face in ((name, away), (f"{name}:strength=0", PORTRAIT_FACE)):
        frame = drawn()
        assert painter_of(text).paint(frame, [face]) == []
        assert same(frame, drawn())


@pytest.mark.parametrize("name", WARPS)
def test_a_warp_does_not_tear_the_image(name: str) -> None:
    """A ramp of luma stays continuous, also at the rim of a lens and at the border of the frame."""
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
    """Camera noise and jitter of the box hardly change the mean of the painted face."""
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


def test_an_effect_stays_in_limited_range() -> None:
    frame = copy(drawn())
    limited = Planes((frame.y * (219 / 255) + 16).astype(np.uint8), frame.u, frame.v, 0, 0)
    for name in EFFECTS:
        painted = copy(limited)
        painter_of(name).paint(painted, [PORTRAIT_FACE])
        assert 15 <= painted.y.min() <= painted.y.max() <= 236
