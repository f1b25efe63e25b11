"""Smoothing: no jitter at rest, no lag in motion, independent of where the video was cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.pose import MEAN_FACE, Floats, HeadPose, head_poses
from tasks.tracking.smoothing import BEYOND_GAP_S, NEAR_S, WINDOW_S, smoothed, smoothed_faces

EYES_PX = 50.0


def times_of(frames: int, rate: float = 30.0) -> Floats:
    return np.arange(frames) / rate


def ones(times: Floats) -> Floats:
    return np.ones(len(times))


def trembling(values: Floats) -> float:
    """What is left of a motion without everything slow: third differences, as large as white noise
    itself would be."""
    return float(np.sqrt((np.diff(values, n=3, axis=0) ** 2).mean() / 20))


def faces(heads: list[HeadPose], noise: float, seed: int) -> tuple[Floats, Floats]:
    """Boxes (n, 4) and landmarks (n, 10) of heads, each number off by ``noise`` eye distances."""
    random = np.random.default_rng(seed)
    landmarks = np.array(
        [[value for point in MEAN_FACE.tolist() for value in head.at(*point)] for head in heads]
    )
    corners = np.array([(-1.1, -1.1), (1.1, 1.75)]) * EYES_PX
    boxes = np.array([[head.x, head.y, head.x, head.y] for head in heads]) + corners.ravel()
    return tuple(
        array + random.normal(0, noise * EYES_PX, array.shape) for array in (boxes, landmarks)
    )  # type: ignore[return-value]


def moving(kind: str, seconds: float) -> HeadPose:
    """Where a head is then: it stands, walks, shakes to and fro, or starts suddenly after two
    seconds."""
    swing = np.sin(2 * np.pi * seconds)
    if kind == "shaking":
        return HeadPose(200 + 30 * float(swing), 150, EYES_PX, yaw=25 * float(swing))
    x = {
        "still": 200.0,
        "walking": 200 + 80 * seconds,
        "starting": 200 + 400 * max(0.0, seconds - 2),
    }[kind]
    return HeadPose(x, 150, EYES_PX, 10, 5, 8)


@pytest.mark.parametrize("rate", [12.5, 30.0, 60.0])
@pytest.mark.parametrize("kind", ["still", "walking"])
@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_steady_motion_does_not_jitter(rate: float, kind: str, noise: float) -> None:
    times = times_of(int(4 * rate), rate)
    heads = [moving(kind, t) for t in times.tolist()]
    raw = faces(heads, noise, seed=1)
    placed = smoothed_faces(times, *raw, ones(times), times)
    corners = np.array([face.head.at(1.5, -0.5) for face in placed if face.head])
    true = np.array([head.at(1.5, -0.5) for head in heads])
    landmarks = np.array([face.landmarks for face in placed])
    unsmoothed = np.array([HeadPose(*row).at(1.5, -0.5) for row in head_poses(*raw).tolist()])
    assert trembling(corners - true) < trembling(unsmoothed - true) / (10 if rate > 20 else 6)
    assert trembling(landmarks - faces(heads, 0, 0)[1]) < noise * EYES_PX / (10 if rate > 20 else 6)


@pytest.mark.parametrize("kind", ["shaking", "starting", "walking"])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_fast_motion_is_followed_without_lag(kind: str, noise: float) -> None:
    times = times_of(120)
    heads = [moving(kind, t) for t in times.tolist()]
    placed = smoothed_faces(times, *faces(heads, noise, seed=2), ones(times), times)
    result = np.array([face.head.x for face in placed if face.head])
    true = np.array([head.x for head in heads])
    speed = np.gradient(true)
    lag_frames = -((result - true) * speed).sum() / (speed**2).sum()
    assert abs(lag_frames) < 0.1
    assert np.abs(result - true).max() < 0.1 * EYES_PX


def test_a_sudden_start_does_not_overshoot() -> None:
    times = times_of(120)
    values = np.where(times < 2, 0.0, (times - 2) * 400)[:, None]
    result = smoothed(times, values, ones(times), times)
    # 13 px a frame are being moved.
    assert result.min() > -0.5
    assert np.abs(result - values).max() < 4


def test_an_outlier_is_not_followed() -> None:
    times = times_of(90)
    values = np.random.default_rng(3).normal(0, 1, (90, 4))
    calm = smoothed(times, values, ones(times), times)
    values[40] += 50
    assert np.abs(smoothed(times, values, ones(times), times) - calm).max() < 1


def test_positions_are_constant_beyond_the_ends() -> None:
    times = times_of(30)
    values = np.random.default_rng(4).normal(0, 1, (30, 6)) + 100
    result = smoothed(times, values, ones(times), np.array([-5.0, 0.0, 0.5, times[-1], 9.0]))
    assert np.abs(result - 100).max() < 2
    assert result[0] == pytest.approx(result[1])
    assert result[-1] == pytest.approx(result[-2])


def test_a_gap_is_filled_from_both_sides() -> None:
    times = times_of(60)
    seen = (times < 0.7) | (times > 1.3)
    values = np.column_stack([300 * times, 40 - 10 * times])
    noisy = values + np.random.default_rng(5).normal(0, 1, values.shape)
    result = smoothed(times[seen], noisy[seen], ones(times[seen]), times)
    assert np.abs(result - values).max() < 4


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_few_detections_are_enough(count: int) -> None:
    times = times_of(count)
    boxes, landmarks = faces([moving("still", t) for t in times.tolist()], 0.01, seed=6)
    for face in smoothed_faces(times, boxes, landmarks, ones(times), times):
        assert face.box == pytest.approx(boxes[0], abs=4)
        assert face.head is not None
        assert face.head.x == pytest.approx(200, abs=3)


def test_a_detector_without_landmarks_gets_boxes() -> None:
    times = times_of(60)
    boxes, _ = faces([moving("still", t) for t in times.tolist()], 0.03, seed=7)
    placed = smoothed_faces(times, boxes, np.zeros((60, 0)), ones(times), times)
    assert {(face.landmarks, face.head) for face in placed} == {((), None)}
    assert trembling(np.array([face.box for face in placed])) < trembling(boxes) / 8


def test_a_head_may_turn_over() -> None:
    """Roll passes 180 degrees without a jump."""
    times = times_of(60)
    heads = [HeadPose(200, 150, EYES_PX, roll=150 + 40 * t) for t in times.tolist()]
    boxes, landmarks = faces(heads, 0.005, seed=8)
    result = [
        face.head.roll
        for face in smoothed_faces(times, boxes, landmarks, ones(times), times)
        if face.head
    ]
    true = np.array([head.roll for head in heads])
    assert np.abs((np.array(result) - true + 180) % 360 - 180).max() < 2


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.sampled_from([5.0, 12.5, 25.0, 30.0, 59.94]),
    missing=st.sampled_from([0.0, 0.1, 0.5]),
    gap=st.sampled_from([0.0, 0.3, 0.7]),
)
def test_only_detections_in_the_window_count(
    seed: int, rate: float, missing: float, gap: float
) -> None:
    """However much of the track is known beyond the promised window, what comes out at a time is
    the same."""
    random = np.random.default_rng(seed)
    frames = np.sort(random.uniform(0, 0.2 / rate, int(4 * rate))) + times_of(int(4 * rate), rate)
    seen = (random.random(len(frames)) >= missing) & ((frames < 2) | (frames > 2 + gap))
    times, at = frames[seen], frames[(frames >= frames[seen][0]) & (frames <= frames[seen][-1])]
    heads = [moving("shaking", t) for t in times.tolist()]
    boxes, landmarks = faces(heads, 0.03, seed)
    weights = random.uniform(0.3, 1, len(times))
    everything = smoothed_faces(times, boxes, landmarks, weights, at)
    for row in random.choice(len(at), 12):
        since, until = (
            at[row] - times[times <= at[row]].max(),
            times[times >= at[row]].min() - at[row],
        )
        in_gap = max(since, until) + BEYOND_GAP_S + NEAR_S if since else 0.0
        near = np.abs(times - at[row]) <= max(WINDOW_S, in_gap) + 1e-6
        (alone,) = smoothed_faces(
            times[near], boxes[near], landmarks[near], weights[near], at[[row]]
        )
        whole = everything[row]
        assert alone.box == pytest.approx(whole.box, abs=1e-9)
        assert alone.landmarks == pytest.approx(whole.landmarks, abs=1e-9)
        assert (
            alone.head == pytest.approx(whole.head, abs=1e-9)
            if whole.head is None
            else alone.head is not None
        )
        if alone.head and whole.head:
            assert alone.head.at(1, 1, 1) == pytest.approx(whole.head.at(1, 1, 1), abs=1e-9)
