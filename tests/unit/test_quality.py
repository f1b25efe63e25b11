"""Stickers hold still and lag nowhere, on faces that are wrong as a detector's are; and the
measuring measures."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from benchmarks.motion import FPS, Motion, dashing, still, stopping, talking
from benchmarks.residuals import FAST, STILL, WANDERING, Noise, made_up, residuals
from benchmarks.seams import compare
from benchmarks.trembling import Trembling, above, moving_mean, nearest, trembling
from facepaint.records.faces import Faces
from facepaint.records.segment import REACH_S
from filters.face import Face
from tasks.tracking.tracker import STICKERS, Tracks

TIME_BASE = Fraction(1, FPS)


def both(motion: Motion, noise: Noise, seed: int = 0) -> tuple[Trembling, Trembling]:
    """How stickers tremble on what was detected, and on what is made of it."""
    motion = replace(motion, seconds=2.5)
    record, truth = made_up(motion, noise, seed), motion.faces
    tracks = Tracks([record], TIME_BASE, STICKERS)
    raw = [
        [Face(face.box, face.landmarks, face.score) for face in frame.faces]
        for frame in record.frames
    ]
    return (
        trembling(truth, [nearest(*pair) for pair in zip(truth, raw, strict=True)], FPS),
        trembling(
            truth, [nearest(face, tracks.faces_at(pts)) for pts, face in enumerate(truth)], FPS
        ),
    )


def test_a_still_face_gives_a_still_sticker() -> None:
    unsmoothed, now = both(still(100), STILL)
    assert now.percent < 0.15, "% of the face's width"
    assert now.percent < unsmoothed.percent / 5
    assert now.missing == 0


def test_a_face_missed_now_and_then_is_no_less_still() -> None:
    _, now = both(still(100), replace(STILL, missed=0.15))
    assert now.percent < 0.15
    assert now.missing == 0


@pytest.mark.parametrize("make", [dashing, stopping], ids=["dashing", "stopping"])
def test_a_fast_face_has_a_sticker_that_neither_lags_nor_cuts_corners(
    make: Callable[[float], Motion],
) -> None:
    unsmoothed, now = both(make(100), FAST)
    assert abs(now.lag_frames) < 0.5
    assert now.percent < unsmoothed.percent
    assert now.worst_percent < 5, "where it turns back or stops"


def test_someone_who_talks_has_a_sticker_that_is_steadier_than_what_was_found() -> None:
    unsmoothed, now = both(talking(100), WANDERING)
    assert abs(now.lag_frames) < 0.5
    assert now.percent < unsmoothed.percent / 1.5


@pytest.mark.parametrize("frames", [15, 60])
def test_the_faces_are_the_same_however_the_clip_was_cut(frames: int) -> None:
    record = made_up(replace(talking(100), seconds=3.0), replace(WANDERING, missed=0.1))
    whole = Tracks([record], TIME_BASE, STICKERS)
    reach = round(REACH_S * FPS)
    pieces: dict[int, list[Face]] = {}
    for first in range(0, len(record.frames), frames):
        near = record.frames[max(0, first - reach) : first + frames + reach]
        piece = Tracks([Faces(0, near, "made up", "cpu")], TIME_BASE, STICKERS)
        pieces |= {
            frame.pts: piece.faces_at(frame.pts) for frame in record.frames[first : first + frames]
        }
    difference = compare(pieces, {frame.pts: whole.faces_at(frame.pts) for frame in record.frames})
    assert difference.frames == 0
    assert difference.px < 1e-6


def test_made_up_noise_is_as_measured() -> None:
    motion = replace(still(100), seconds=30)
    found = [
        Face(f.faces[0].box, f.faces[0].landmarks, 1.0) for f in made_up(motion, WANDERING).frames
    ]
    measured = residuals(motion.faces, found)
    assert np.hypot(measured.box.slow, measured.box.fast) == pytest.approx(
        100 * WANDERING.box, rel=0.15
    )
    assert np.hypot(measured.landmarks.slow, measured.landmarks.fast) == pytest.approx(
        100 * WANDERING.landmarks, rel=0.15
    )
    assert measured.landmarks.kept == pytest.approx(WANDERING.kept, abs=0.05)


def test_a_sticker_two_frames_late_is_measured_as_such() -> None:
    truth = talking(100).faces
    late = [truth[max(0, number - 2)] for number in range(len(truth))]
    assert trembling(truth, late, FPS).lag_frames == pytest.approx(2, abs=0.05)
    assert trembling(truth, truth, FPS).percent == 0


def test_what_is_slow_is_no_trembling() -> None:
    seconds = np.arange(150) / FPS
    slow, fast = (
        np.sin(2 * np.pi * 0.2 * seconds)[:, None],
        np.sin(2 * np.pi * 6 * seconds)[:, None],
    )
    for high in (
        lambda values: values - moving_mean(values, 15),
        lambda values: above(values, 2, FPS),
    ):
        assert high(slow)[20:-20].std() < 0.02
        assert high(fast)[20:-20].std() == pytest.approx(fast.std(), rel=0.1)
