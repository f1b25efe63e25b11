"""Stickers neither jitter nor lag on detections with a detector's errors, and the measurement
measures what it says."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from benchmarks.jitter import Jitter, above, corners, measure_jitter, moving_mean, nearest
from benchmarks.motion import (
    FAST,
    FPS,
    STILL,
    TALKING,
    Motion,
    Noise,
    dashing,
    still,
    stopping,
    synthetic_detections,
    talking,
)
from facepaint.records.faces import Faces
from facepaint.records.segment import REACH_S
from filters.face import Face
from tasks.tracking.tracker import STICKERS, Tracks

TIME_BASE = Fraction(1, FPS)


def both(motion: Motion, noise: Noise, seed: int = 0) -> tuple[Jitter, Jitter]:
    """The jitter of stickers put on each detection, and of stickers on the tracked faces."""
    motion = replace(motion, seconds=2.5)
    record, truth = synthetic_detections(motion, noise, seed), motion.faces
    tracks = Tracks([record], TIME_BASE, STICKERS)
    detections = [
        [Face(face.box, face.landmarks, face.score) for face in frame.faces]
        for frame in record.frames
    ]
    unsmoothed = [nearest(*pair) for pair in zip(truth, detections, strict=True)]
    tracked = [nearest(face, tracks.faces_at(pts)) for pts, face in enumerate(truth)]
    return measure_jitter(truth, unsmoothed, FPS), measure_jitter(truth, tracked, FPS)


def test_a_sticker_on_a_still_face_is_still() -> None:
    unsmoothed, tracked = both(still(100), STILL)
    assert tracked.percent < 0.15, "% of the face's width"
    assert tracked.percent < unsmoothed.percent / 5
    assert tracked.missing == 0


def test_missed_detections_do_not_add_jitter() -> None:
    _, tracked = both(still(100), replace(STILL, missed=0.15))
    assert tracked.percent < 0.15
    assert tracked.missing == 0


@pytest.mark.parametrize("make", [dashing, stopping], ids=["dashing", "stopping"])
def test_a_sticker_on_a_fast_face_neither_lags_nor_overshoots(
    make: Callable[[float], Motion],
) -> None:
    unsmoothed, tracked = both(make(100), FAST)
    assert abs(tracked.lag_frames) < 0.5
    assert tracked.percent < unsmoothed.percent
    assert tracked.worst_percent < 5, "where it turns back or stops"


def test_a_sticker_on_a_talking_face_is_steadier_than_the_detections() -> None:
    unsmoothed, tracked = both(talking(100), TALKING)
    assert abs(tracked.lag_frames) < 0.5
    assert tracked.percent < unsmoothed.percent / 1.5


@pytest.mark.parametrize("frames", [15, 60])
def test_the_faces_do_not_depend_on_where_the_clip_was_cut(frames: int) -> None:
    record = synthetic_detections(replace(talking(100), seconds=3.0), replace(TALKING, missed=0.1))
    whole = Tracks([record], TIME_BASE, STICKERS)
    reach = round(REACH_S * FPS)
    for first in range(0, len(record.frames), frames):
        near = record.frames[max(0, first - reach) : first + frames + reach]
        piece = Tracks([Faces(0, near, "synthetic", "cpu")], TIME_BASE, STICKERS)
        for frame in record.frames[first : first + frames]:
            pairs = zip(piece.faces_at(frame.pts), whole.faces_at(frame.pts), strict=True)
            for alone, together in pairs:
                assert coordinates(alone) == pytest.approx(coordinates(together), abs=1e-6)


def coordinates(face: Face) -> list[float]:
    """Everything of a face that a sticker depends on."""
    return [*face.box, *face.landmarks, *corners(face).ravel(), face.opacity, face.margin]


def test_a_sticker_two_frames_late_has_a_lag_of_two_frames() -> None:
    truth = talking(100).faces
    late = [truth[max(0, number - 2)] for number in range(len(truth))]
    assert measure_jitter(truth, late, FPS).lag_frames == pytest.approx(2, abs=0.05)
    assert measure_jitter(truth, truth, FPS).percent == 0


def test_slow_drift_is_no_jitter() -> None:
    seconds = np.arange(150) / FPS
    slow = np.sin(2 * np.pi * 0.2 * seconds)[:, None]
    fast = np.sin(2 * np.pi * 6 * seconds)[:, None]
    for high in (
        lambda values: values - moving_mean(values, 15),
        lambda values: above(values, 2, FPS),
    ):
        assert high(slow)[20:-20].std() < 0.02
        assert high(fast)[20:-20].std() == pytest.approx(fast.std(), rel=0.1)
