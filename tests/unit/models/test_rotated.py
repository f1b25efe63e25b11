"""Turned faces: copies of a frame are searched in three rotations."""

import cv2
import numpy as np
import pytest
import skimage.data

from facepaint.records.detector_card import DEFAULT_DETECTOR
from facepaint.records.faces import Candidate
from models import find_model
from models.boxes import shared_part
from models.providers import Runtime
from models.rotated import TURNS, BgrPlanes, FaceSearch, merged, rotated, turned_back
from tests.support.portraits import BOX, POINTS

FRAME, MIN_FACE = (512, 384), 0.06


def planes_of(image: np.ndarray, search: FaceSearch) -> BgrPlanes:
    size = search.upright.size
    small = cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_AREA)
    red, green, blue = (np.ascontiguousarray(small[..., channel]) for channel in range(3))
    return blue, green, red


def portrait(turns: int) -> np.ndarray:
    """The upper part of the portrait in a frame of 512 x 384 or 384 x 512 px, turned."""
    return np.ascontiguousarray(np.rot90(skimage.data.astronaut()[:384], -turns))


@pytest.fixture(scope="module")
def search() -> FaceSearch:
    return FaceSearch(find_model(DEFAULT_DETECTOR), FRAME, MIN_FACE, Runtime("cpu"))


@pytest.mark.parametrize("turns", TURNS)
def test_pixels_and_faces_are_turned_alike(turns: int) -> None:
    """A px of the copy is found where a face on it is turned back to."""
    width, height = FRAME
    plane = np.arange(width * height).reshape(height, width)
    copy = np.rot90(plane, turns)
    face = turned_back(Candidate(0.9, (10.0, 20.0, 11.0, 21.0), (10.5, 20.5) * 5), turns, FRAME)
    assert plane[int(face.box[1]), int(face.box[0])] == copy[20, 10]
    assert face.box[2] - face.box[0] == face.box[3] - face.box[1] == 1
    assert plane[int(face.landmarks[1]), int(face.landmarks[0])] == copy[20, 10]


def test_four_turns_are_none(search: FaceSearch) -> None:
    planes = planes_of(portrait(0), search)
    turned = rotated(rotated(planes, 3), 1)
    assert all(np.array_equal(a, b) for a, b in zip(planes, turned, strict=True))


def test_upright_faces_are_no_turned_ones(search: FaceSearch) -> None:
    planes = planes_of(portrait(0), search)
    (upright,) = search.upright.detect([planes])
    turned = search.in_turns(planes, TURNS, upright)
    assert all(shared_part(face.box, BOX) < 0.5 for faces in turned for face in faces)


def test_an_upside_down_face_is_found_where_it_is(search: FaceSearch) -> None:
    planes = planes_of(portrait(2), search)
    (upright,) = search.upright.detect([planes])
    assert search.turns_with_faces(planes, upright) == {2}
    ((face, *_),) = search.in_turns(planes, {2}, upright)
    width, height = FRAME
    expected = (width - BOX[2], height - BOX[3], width - BOX[0], height - BOX[1])
    assert face.box == pytest.approx(expected, abs=20)
    points = [width - x if at % 2 == 0 else height - x for at, x in enumerate(POINTS)]
    assert face.landmarks == pytest.approx(points, abs=10)


@pytest.mark.parametrize("turns", [1, 3])
def test_a_sideways_face_is_found_where_it_is(turns: int) -> None:
    image = portrait(turns)
    size = (image.shape[1], image.shape[0])
    sideways = FaceSearch(find_model(DEFAULT_DETECTOR), size, MIN_FACE, Runtime("cpu"))
    planes = planes_of(image, sideways)
    (upright,) = sideways.upright.detect([planes])
    assert sideways.turns_with_faces(planes, upright) == {turns}
    ((face, *_),) = sideways.in_turns(planes, {turns}, upright)
    straight = turned_back(face, 4 - turns, FRAME)
    assert straight.box == pytest.approx(BOX, abs=20)
    assert straight.landmarks == pytest.approx(POINTS, abs=10)


def test_one_face_of_those_that_overlap_is_kept() -> None:
    left, same = Candidate(0.7, (0, 0, 10, 10), ()), Candidate(0.8, (1, 0, 11, 10), ())
    other = Candidate(0.5, (50, 0, 60, 10), ())
    assert merged([(left,)], [[same], [other]]) == (same, other)
    assert merged([(left,)], []) == (left,)
    assert merged([()], [[]]) == ()
