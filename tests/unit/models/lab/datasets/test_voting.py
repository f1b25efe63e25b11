"""The detections of several views of one image are fused."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepaint.records.faces import MIRRORED
from models.lab.datasets.voting import STEADY, View, fuse, mirrored_back
from models.lab.evaluation.detections import Detections

SMALLEST_PX = 10.0


def found(
    *faces: tuple[tuple[float, float, float, float], float], points: float | None = None
) -> Detections:
    """Boxes with their scores; all landmarks at one place, or not known."""
    boxes = np.array([box for box, _ in faces], np.float64).reshape(-1, 4)
    value = float("nan") if points is None else points
    return Detections(
        boxes, np.array([score for _, score in faces]), np.full((len(faces), 5, 2), value)
    )


def test_a_face_is_the_mean_of_its_detections_weighted_by_score() -> None:
    views = [
        View(found(((0, 0, 40, 40), 0.9), points=10), 1.0),
        View(found(((4, 4, 44, 44), 0.3), points=12), 1.0),
    ]
    (face,) = fuse(views, SMALLEST_PX)
    assert face.box == pytest.approx([1, 1, 41, 41])
    assert face.points == pytest.approx(np.full((5, 2), 10.5))
    assert (face.score, face.votes) == (pytest.approx(0.6), 2)
    assert face.is_accepted(0.6)
    assert not face.is_accepted(0.61)


def test_a_face_in_one_view_is_not_accepted_and_the_others_lower_its_score() -> None:
    views = [View(found(((0, 0, 40, 40), 0.9)), 1.0), View(found(), 1.0), View(found(), 1.0)]
    (face,) = fuse(views, SMALLEST_PX)
    assert (face.score, face.votes) == (pytest.approx(0.3), 1)
    assert not face.is_accepted(0.0)
    assert face.points is None


def test_a_view_that_cannot_show_a_face_does_not_vote_against_it() -> None:
    """24 px high in a view at a quarter of the size, 2000 px in one at full size."""
    small, large = ((0, 0, 12, 24), 0.8), ((500, 0, 2000, 2000), 0.8)
    views = [
        View(found(small), 1.0),
        View(found(small), 1.0),
        View(found(large), 0.25),
        View(found(large), 0.25),
    ]
    by_height = {round(float(face.box[3])): face for face in fuse(views, SMALLEST_PX * 10 / 9)}
    assert {height: face.votes for height, face in by_height.items()} == {24: 2, 2000: 2}
    assert all(face.score == pytest.approx(0.8) for face in by_height.values())


def test_two_detections_of_one_view_are_one_vote() -> None:
    views = [View(found(((0, 0, 40, 40), 0.9), ((2, 0, 42, 40), 0.5)), 1.0), View(found(), 1.0)]
    (face,) = fuse(views, SMALLEST_PX)
    assert (face.votes, face.score) == (1, pytest.approx(0.45))


def test_landmarks_on_which_views_disagree_are_dropped() -> None:
    far = 100 * STEADY * 2
    views = [
        View(found(((0, 0, 100, 100), 0.8), points=30), 1.0),
        View(found(((0, 0, 100, 100), 0.8), points=30 + far), 1.0),
    ]
    (face,) = fuse(views, SMALLEST_PX)
    assert face.points is None
    assert face.votes == 2


def test_no_detections_give_no_face() -> None:
    assert fuse([View(found(), 1.0)], SMALLEST_PX) == []


def points(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    return (
        np.array(draw(st.lists(st.integers(0, 400), min_size=10, max_size=10)), float).reshape(
            1, 5, 2
        )
        / 4
    )


@settings(max_examples=30)
@given(st.data())
def test_mirroring_twice_changes_nothing_and_once_swaps_right_and_left(data: st.DataObject) -> None:
    one = Detections(
        np.array([[10.0, 20.0, 30.0, 50.0]]), np.array([0.5]), data.draw(st.composite(points)())
    )
    back = mirrored_back(one, 100)
    assert back.boxes.tolist() == [[70.0, 20.0, 90.0, 50.0]]
    for place, other in enumerate(MIRRORED):
        assert back.points[0, place, 0] == 100 - one.points[0, other, 0]
        assert back.points[0, place, 1] == one.points[0, other, 1]
    again = mirrored_back(back, 100)
    assert again.boxes.tolist() == one.boxes.tolist()
    assert again.points.tolist() == one.points.tolist()
