"""Stability is measured to a fraction of a px, with detectors of known jitter and rotation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facepaint.detectors.labels import LabelledFace, LabelledImage
from facepaint.records.detector_card import DEFAULT_DETECTOR
from facepaint.records.faces import Candidate
from models import find_model
from models.detector import Pixels, Size
from models.lab.evaluation.detections import Floats, Options
from models.lab.evaluation.landmarks import roll
from models.lab.evaluation.stability import (
    NOISE,
    SCALES,
    SHIFTS,
    TURNS,
    large_faces,
    measure_faces,
    stability,
    transformed,
    transforms,
)
from models.providers import Runtime
from tests.support.portraits import write_portraits

CPU = Runtime("cpu")

EXTENT = Size(240, 200, 256, 224, 2.0, 2.0)
"""The detector's input is half as large as the labelled image."""

POINTS = np.array([[105.0, 88], [135, 92], [121, 101], [108, 118], [132, 121]])
"""Of a slightly tilted head near the middle, px of the input."""

MARKS = [(0, 90), (0, -90), (1, 90), (1, -90), (2, 90)]
"""Channel and height of the mark at each point."""

EYES = float(np.linalg.norm(POINTS[1] - POINTS[0]))
FACE = np.array([[90.0, 75, 150, 135]])


def marked() -> Pixels:
    """Grey with a soft mark at each of the five points, whose centre is exact to a hundredth of a
    px."""
    rows, columns = np.mgrid[: EXTENT.height, : EXTENT.width] + 0.5
    image = np.full((EXTENT.height, EXTENT.width, 3), 128.0)
    for (x, y), (channel, height) in zip(POINTS, MARKS, strict=True):
        image[:, :, channel] += height * np.exp(
            -((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.5**2)
        )
    return np.rint(image).clip(0, 255).astype(np.uint8)


class MarkFinder:
    """A detector that finds the marks exactly and then changes the points by ``spoil``."""

    def __init__(self, spoil: Callable[[Floats], Floats], misses: tuple[int, ...] = ()) -> None:
        self.size = EXTENT
        self.spoil, self.misses = spoil, misses

    def detect(self, images: list[tuple[Pixels, Pixels, Pixels]]) -> list[tuple[Candidate, ...]]:
        return [
            () if row in self.misses else (self._face(planes),) for row, planes in enumerate(images)
        ]

    def _face(self, planes: tuple[npt.NDArray[np.uint8], ...]) -> Candidate:
        points = []
        rows, columns = np.mgrid[: EXTENT.height, : EXTENT.width] + 0.5
        for channel, height in MARKS:
            weight = np.clip(np.sign(height) * (planes[channel].astype(float) - 128) - 25, 0, None)
            points.append(
                ((weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum())
            )
        found = np.array(points)
        centre = found.mean(axis=0)
        box = np.concatenate([centre - 30, centre + 30])
        scaled = 2 * self.spoil(found)
        return Candidate(0.9, tuple((2 * box).tolist()), tuple(scaled.ravel().tolist()))


def measured(spoil: Callable[[Floats], Floats], misses: tuple[int, ...] = ()) -> list[float]:
    finder = MarkFinder(spoil, misses)
    (row,) = measure_faces(finder, marked(), FACE)  # type: ignore[arg-type]
    return row


def test_points_that_follow_every_transform_are_stable() -> None:
    jitter, found, drift, followed = measured(lambda points: points)
    assert jitter * EYES < 0.15, "px"
    assert drift * EYES < 0.15, "px"
    assert found == 1
    assert followed == pytest.approx(1, abs=0.01)


def test_points_that_stay_upright_follow_no_turn() -> None:
    layout = POINTS - POINTS.mean(axis=0)
    jitter, _, drift, followed = measured(lambda points: points.mean(axis=0) + layout)
    assert followed == pytest.approx(0, abs=0.01)
    assert jitter < 0.04, "of scaling only"
    turns = np.radians(TURNS)
    expected = (
        np.mean([np.abs(2 * np.sin(turns / 2)) * np.linalg.norm(row) for row in layout]) / EYES
    )
    assert drift == pytest.approx(expected, rel=0.03)


def test_points_that_follow_half_of_a_rotation() -> None:
    """Points of a detector that turns half as far as the head."""

    def half(points: Floats) -> Floats:
        angle = np.radians(roll(points[None]) - roll(POINTS[None]))[0] / 2
        back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        centre = points.mean(axis=0)
        return np.asarray((points - centre) @ back.T + centre)

    assert measured(half)[3] == pytest.approx(0.5, abs=0.01)


def test_jitter_is_measured_in_eye_distances() -> None:
    rng = np.random.default_rng(5)
    jitter, *_ = measured(lambda points: points + rng.normal(0, 0.06 * EYES, points.shape))
    views = len(SHIFTS) + len(SCALES) + 3
    assert jitter == pytest.approx(0.06 * np.sqrt(2 * (views - 1) / views), rel=0.25)


def test_missed_faces_are_counted() -> None:
    total = len(transforms(EXTENT.width, EXTENT.height))
    assert measured(lambda points: points, misses=(3, 7))[1] == pytest.approx(1 - 2 / total)
    jitter, found, drift, followed = measured(
        lambda points: points, misses=tuple(range(1, total + 1))
    )
    assert found == 0
    assert np.isnan([jitter, drift, followed]).all()
    jitter, found, drift, followed = measured(lambda points: points, misses=(0,))
    assert found == 0
    assert np.isnan([jitter, drift, followed]).all()


def test_without_landmarks_only_the_share_found_is_measured() -> None:
    jitter, found, drift, followed = measured(lambda points: np.full_like(points, np.nan))
    assert found == 1
    assert np.isnan([jitter, drift, followed]).all()


def test_noise_has_its_strength_and_is_reproducible() -> None:
    still = np.full((100, 100, 3), 128, np.uint8)
    noisy = [
        transformed(still, change)
        for change in transforms(100, 100)
        if change.noise_seed is not None
    ]
    assert np.std(noisy[0].astype(float)) == pytest.approx(NOISE, rel=0.05)
    assert not np.array_equal(noisy[0], noisy[1])
    again = [
        transformed(still, change)
        for change in transforms(100, 100)
        if change.noise_seed is not None
    ]
    np.testing.assert_array_equal(noisy[0], again[0])


def test_small_and_ignored_faces_are_left_out() -> None:
    faces = (
        LabelledFace((0, 0, 100, 100)),
        LabelledFace((0, 0, 40, 40)),
        LabelledFace((100, 100, 200, 200), ignore=True),
    )
    assert large_faces(LabelledImage("a.png", faces=faces), EXTENT).tolist() == [[0, 0, 50, 50]]


def test_a_real_detector(tmp_path: Path) -> None:
    images = write_portraits(tmp_path)
    found = stability(
        find_model(DEFAULT_DETECTOR), tmp_path, images, Options(side=320, runtime=CPU)
    )
    assert len(found.found) == 2
    assert (found.found > 0.8).all()
    assert (found.jitter < 0.15).all()
    assert np.isfinite([found.drift, found.followed]).all()
