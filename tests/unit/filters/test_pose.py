"""Head poses, estimated from five landmarks and a box."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.pose import MEAN_FACE, Floats, HeadPose, head_poses, pose_of_box

ANGLES = st.tuples(st.floats(-75, 75), st.floats(-20, 20), st.floats(-179, 179))


def seen(head: HeadPose, narrowed: float = 1.0) -> tuple[Floats, Floats]:
    """The box (1, 4) and landmarks (1, 10) of a head; ``narrowed`` scales the width of the box."""
    points = np.array([head.at(*point) for point in MEAN_FACE.tolist()])
    x, y = head.at(0.0, 0.36, 0.0)
    width, height = 1.1 * head.size * narrowed, 1.4 * head.size
    return np.array([[x - width, y - height, x + width, y + height]]), points.reshape(1, 10)


def pose(boxes: Floats, landmarks: Floats) -> HeadPose:
    return HeadPose(*head_poses(boxes, landmarks)[0].tolist())


def apart(a: float, b: float) -> float:
    """How far apart two angles are, in degrees."""
    return abs(math.remainder(a - b, 360))


@given(ANGLES, st.floats(8, 400))
def test_the_estimate_recovers_the_pose(angles: tuple[float, float, float], size: float) -> None:
    yaw, pitch, roll = angles
    head = HeadPose(320, 180, size, *angles)
    found = pose(*seen(head, 1 - 0.2 * abs(math.sin(math.radians(yaw)))))
    # The priors bias the estimate, the more the larger the angle.
    assert apart(found.yaw, yaw) < 2 + 0.06 * abs(yaw)
    assert apart(found.pitch, pitch) < 2 + 0.3 * abs(pitch)
    assert apart(found.roll, roll) < 3
    assert found.size == pytest.approx(size, rel=0.08)
    assert math.dist((found.x, found.y), (320, 180)) < 0.06 * size


def test_angles_have_the_documented_signs() -> None:
    nose = (0.0, 0.565, 0.47)
    front = HeadPose(0, 0, 100).at(*nose)
    assert HeadPose(0, 0, 100, yaw=30).at(*nose)[0] > front[0]
    assert HeadPose(0, 0, 100, pitch=30).at(*nose)[1] > front[1]
    leaning = HeadPose(0, 0, 100, roll=30).at(0.0, -1.0)
    assert leaning[0] > 0, "the top of the head goes to the right: clockwise"


def test_roll_is_the_lean_of_the_head_even_in_profile() -> None:
    for yaw in (-90.0, -45.0, 0.0, 90.0):
        x, y = HeadPose(0, 0, 100, yaw, 10, 25).at(0.0, 1.0)
        assert math.degrees(math.atan2(-x, y)) == pytest.approx(25)


@given(ANGLES, st.integers(0, 2**32 - 1))
def test_noise_does_not_flip_a_face(angles: tuple[float, float, float], seed: int) -> None:
    """Noise of a tenth of the eye distance is four times that of the detector."""
    boxes, landmarks = seen(HeadPose(320, 180, 60, *angles))
    found = pose(
        boxes, landmarks + np.random.default_rng(seed).normal(0, 6 / math.sqrt(2), (1, 10))
    )
    assert apart(found.yaw, angles[0]) < 45
    assert apart(found.roll, angles[2]) < 30
    assert abs(found.pitch) < 45


def test_poses_of_several_faces_are_independent() -> None:
    views = [seen(HeadPose(100 + 9 * n, 80, 30 + n, 12 * n - 50, 3 * n, 25 * n)) for n in range(9)]
    boxes, landmarks = (np.concatenate(arrays) for arrays in zip(*views, strict=True))
    alone = np.concatenate([head_poses(*view) for view in views])
    assert head_poses(boxes, landmarks) == pytest.approx(alone, abs=1e-9)


@pytest.mark.parametrize(
    "landmarks", [np.full((1, 10), np.nan), np.full((1, 10), 50.0), np.arange(10.0)[None] * 300]
)
def test_implausible_landmarks_give_the_pose_of_the_box(landmarks: Floats) -> None:
    box = (100.0, 100.0, 200.0, 230.0)
    estimated, by_box = pose(np.array([box]), landmarks), pose_of_box(box)
    assert estimated.x == pytest.approx(by_box.x, abs=1)
    assert estimated.y == pytest.approx(by_box.y, abs=1)
    assert estimated.size == pytest.approx(by_box.size, rel=0.01)
    assert (estimated.yaw, estimated.pitch, estimated.roll) == pytest.approx((0, 0, 0), abs=0.1)
