"""Several looks at one picture agree on its faces."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.lab.datasets.voting import MIRRORED, STEADY, Look, agree, mirrored_back
from models.lab.evaluation.detections import Found

SMALLEST_PX = 10.0


def found(
    *faces: tuple[tuple[float, float, float, float], float], points: float | None = None
) -> Found:
    """Boxes with their scores; all landmarks at one place, or not known."""
    boxes = np.array([box for box, _ in faces], np.float64).reshape(-1, 4)
    value = float("nan") if points is None else points
    return Found(boxes, np.array([score for _, score in faces]), np.full((len(faces), 5, 2), value))


def test_a_face_is_the_mean_of_what_the_looks_saw_weighted_by_score() -> None:
    looks = [
        Look(found(((0, 0, 40, 40), 0.9), points=10), 1.0),
        Look(found(((4, 4, 44, 44), 0.3), points=12), 1.0),
    ]
    (face,) = agree(looks, SMALLEST_PX)
    assert face.box == pytest.approx([1, 1, 41, 41])
    assert face.points == pytest.approx(np.full((5, 2), 10.5))
    assert (face.score, face.votes) == (pytest.approx(0.6), 2)
    assert face.is_sure(0.6)
    assert not face.is_sure(0.61)


def test_what_one_look_alone_saw_is_not_sure_and_loses_score_by_the_others() -> None:
    looks = [Look(found(((0, 0, 40, 40), 0.9)), 1.0), Look(found(), 1.0), Look(found(), 1.0)]
    (face,) = agree(looks, SMALLEST_PX)
    assert (face.score, face.votes) == (pytest.approx(0.3), 1)
    assert not face.is_sure(0.0)
    assert face.points is None


def test_a_look_that_could_not_see_a_face_does_not_vote_against_it() -> None:
    """12 px high in a picture seen at a quarter, 2000 px in one seen as it is."""
    small, large = ((0, 0, 12, 24), 0.8), ((500, 0, 2000, 2000), 0.8)
    looks = [
        Look(found(small), 1.0),
        Look(found(small), 1.0),
        Look(found(large), 0.25),
        Look(found(large), 0.25),
    ]
    by_height = {round(float(face.box[3])): face for face in agree(looks, SMALLEST_PX * 10 / 9)}
    assert {height: face.votes for height, face in by_height.items()} == {24: 2, 2000: 2}
    assert all(face.score == pytest.approx(0.8) for face in by_height.values())


def test_two_boxes_of_one_look_are_one_vote() -> None:
    looks = [Look(found(((0, 0, 40, 40), 0.9), ((2, 0, 42, 40), 0.5)), 1.0), Look(found(), 1.0)]
    (face,) = agree(looks, SMALLEST_PX)
    assert (face.votes, face.score) == (1, pytest.approx(0.45))


def test_landmarks_that_the_looks_disagree_on_are_not_known() -> None:
    far = 100 * STEADY * 2
    looks = [
        Look(found(((0, 0, 100, 100), 0.8), points=30), 1.0),
        Look(found(((0, 0, 100, 100), 0.8), points=30 + far), 1.0),
    ]
    (face,) = agree(looks, SMALLEST_PX)
    assert face.points is None
    assert face.votes == 2


def test_nobody_is_found_where_nothing_was_seen() -> None:
    assert agree([Look(found(), 1.0)], SMALLEST_PX) == []


def points(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    return (
        np.array(draw(st.lists(st.integers(0, 400), min_size=10, max_size=10)), float).reshape(
            1, 5, 2
        )
        / 4
    )


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_mirroring_twice_changes_nothing_and_once_swaps_right_and_left(data: st.DataObject) -> None:
    one = Found(
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
