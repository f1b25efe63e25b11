"""Augmentation changes images and labels alike."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepaint.records.faces import MIRRORED
from models.lab.training.augment import Augmentation, Sample, augmented, motion_kernel

GEOMETRY_ONLY = Augmentation(
    size=128,
    colour=0,
    grey=0,
    blur=0,
    motion_blur=0,
    coarse=0,
    noise=0,
    compression=0,
    mosaic=0,
    crop=(0.5, 1.5),
)
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255]], np.uint8)
"""One for each landmark, so that exchanged landmarks are detected."""


def marked() -> Sample:
    """A grey image with one face: a disc of its colour at each landmark."""
    image = np.full((240, 320, 3), 114, np.uint8)
    box = np.array([[120, 60, 200, 160]], np.float32)
    points = np.array([[[140, 95], [180, 95], [160, 115], [145, 138], [175, 138]]], np.float32)
    for point, colour in zip(points[0], COLOURS, strict=True):
        cv2.circle(
            image, (int(point[0]), int(point[1])), 6, tuple(int(value) for value in colour), -1
        )
    return Sample(image, box, points, np.ones(1, np.bool_))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60)
def test_landmarks_stay_on_their_discs(seed: int) -> None:
    made = augmented([marked()], GEOMETRY_ONLY, np.random.default_rng(seed))
    for points, learn in zip(made.points, made.learn, strict=True):
        for row, (x, y) in enumerate(points):
            if not (learn and 2 <= x < 126 and 2 <= y < 126):
                continue
            seen = made.image[round(float(y) - 0.5), round(float(x) - 0.5)].astype(int)
            wanted = COLOURS[row].astype(int)
            # In a mirrored image right and left change places, in the labels too.
            mirrored = COLOURS[MIRRORED[row]].astype(int)
            assert min(np.abs(seen - wanted).max(), np.abs(seen - mirrored).max()) < 100


@given(seed=st.integers(0, 10_000), crop=st.sampled_from([0.3, 0.7, 1.0, 1.9]))
@settings(max_examples=60)
def test_pixels_and_labels_move_by_the_same_fraction_of_a_pixel(seed: int, crop: float) -> None:
    """Labels count from the corner of the first pixel; the centroid of a blob has its label."""
    rows, columns = np.mgrid[:240, :320] + 0.5
    blob = np.exp(-((columns - 150.25) ** 2 + (rows - 110.75) ** 2) / 2 / 9**2) * 141
    image = np.repeat((blob + 114)[..., None], 3, 2).astype(np.uint8)
    points = np.full((1, 5, 2), (150.25, 110.75), np.float32)
    sample = Sample(
        image, np.array([[120, 80, 180, 140]], np.float32), points, np.ones(1, np.bool_)
    )
    made = augmented(
        [sample], replace(GEOMETRY_ONLY, crop=(crop, crop)), np.random.default_rng(seed)
    )
    for x, y in made.points[:, 0]:
        reach = round(25 / crop)
        left, top = round(float(x)) - reach, round(float(y)) - reach
        patch = (
            made.image[max(top, 0) : top + 2 * reach, max(left, 0) : left + 2 * reach, 0].astype(
                float
            )
            - 114
        )
        if patch.shape != (2 * reach, 2 * reach):
            continue
        patch = patch.clip(8) - 8
        seen_y, seen_x = (
            (patch.sum(1 - axis) * (np.arange(2 * reach) + 0.5)).sum() / patch.sum()
            for axis in (0, 1)
        )
        assert abs(seen_x + left - x) < 0.2
        assert abs(seen_y + top - y) < 0.2


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60)
def test_left_and_right_stay_the_subjects(seed: int) -> None:
    """Rotated or mirrored, the subject's right eye is on the left, seen upright."""
    made = augmented(
        [marked()], replace(GEOMETRY_ONLY, crop=(1.4, 1.5)), np.random.default_rng(seed)
    )
    for points in made.points:
        down = points[3:].mean(0) - points[:2].mean(0)
        across = points[1] - points[0]
        assert across[0] * down[1] - across[1] * down[0] > 0


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60)
def test_boxes_contain_their_landmarks_and_are_in_the_image(seed: int) -> None:
    made = augmented([marked()], GEOMETRY_ONLY, np.random.default_rng(seed))
    assert made.image.shape == (128, 128, 3)
    assert ((made.boxes >= 0) & (made.boxes <= 128)).all()
    for box, points in zip(made.boxes, made.points, strict=True):
        visible = points[((points > 0) & (points < 128)).all(1)]
        assert ((visible >= box[:2] - 0.5) & (visible <= box[2:] + 0.5)).all()


def test_the_box_of_a_rotated_face_is_that_of_its_ellipse() -> None:
    tilted = replace(GEOMETRY_ONLY, tilt=0, strong_tilt=1, strong_tilt_degrees=90, crop=(1.4, 1.5))
    for seed in range(20):
        made = augmented([marked()], tilted, np.random.default_rng(seed))
        right_eye, left_eye = made.points[0, 0], made.points[0, 1]
        scale = np.hypot(*(left_eye - right_eye)) / 40
        turn = np.arctan2(*(left_eye - right_eye)[::-1])
        half = (
            np.hypot(np.array([40, 50]) * np.cos(turn), np.array([50, 40]) * np.sin(turn)) * scale
        )
        box = made.boxes[0]
        if ((box > 1) & (box < 127)).all():
            np.testing.assert_allclose((box[2:] - box[:2]) / 2, half, rtol=1e-3)


def test_small_and_ignored_faces_stay_ignored() -> None:
    tiny = replace(GEOMETRY_ONLY, smallest_face=1000)
    assert not augmented([marked()], tiny, np.random.default_rng(0)).learn.any()
    ignored = replace(marked(), learn=np.zeros(1, np.bool_))
    for seed in range(10):
        assert not augmented([ignored], GEOMETRY_ONLY, np.random.default_rng(seed)).learn.any()


def test_a_mosaic_has_faces_of_four_images() -> None:
    mosaic = replace(GEOMETRY_ONLY, crop=(1.4, 1.5))
    made = augmented([marked()] * 4, mosaic, np.random.default_rng(3))
    assert made.image.shape == (128, 128, 3)
    quarters = {
        (bool(x > 64), bool(y > 64)) for x, y in (made.boxes[:, :2] + made.boxes[:, 2:]) / 2
    }
    assert len(quarters) == 4


def test_an_image_without_faces_is_background() -> None:
    empty = Sample(
        np.zeros((50, 60, 3), np.uint8),
        np.zeros((0, 4), np.float32),
        np.zeros((0, 5, 2), np.float32),
        np.zeros(0, bool),
    )
    made = augmented([empty], Augmentation(size=64), np.random.default_rng(0))
    assert made.image.shape == (64, 64, 3)
    assert len(made.boxes) == 0


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60)
def test_motion_blur_is_symmetric(seed: int) -> None:
    """The centroid of a dot stays, except for the rounding of the line's ends."""
    dot = np.zeros((31, 31), np.float32)
    dot[15, 15] = 1
    smeared = cv2.filter2D(dot, -1, motion_kernel(np.random.default_rng(seed)))
    rows, columns = np.mgrid[:31, :31]
    assert smeared.sum() == pytest.approx(1, abs=1e-5)
    assert abs((smeared * rows).sum() - 15) < 0.3
    assert abs((smeared * columns).sum() - 15) < 0.3


@pytest.mark.parametrize(
    "what", ["colour", "grey", "blur", "motion_blur", "coarse", "noise", "compression"]
)
def test_degrading_an_image_moves_nothing(what: str) -> None:
    plain = augmented([marked()], GEOMETRY_ONLY, np.random.default_rng(5))
    degraded = augmented(
        [marked()], replace(GEOMETRY_ONLY, **{what: 1.0}), np.random.default_rng(5)
    )
    np.testing.assert_array_equal(plain.boxes, degraded.boxes)
    assert (plain.image != degraded.image).any()
