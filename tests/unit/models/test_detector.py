"""The detector finds the public-domain portrait's face where it is, at every size and shape of
frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from facepaint.detectors.registry import MAX_BYTES, SHIPPED
from facepaint.errors import InputError, UsageError
from facepaint.records.detector_card import DEFAULT_DETECTOR
from models import find_model
from models.detector import Detector, Pixels, Size, size_for, suppress
from models.providers import Runtime

FACE = (178, 60, 272, 180)
"""About where the face is in the portrait of 512 x 512 px."""


def planes_of(image: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    return image[..., 2], image[..., 1], image[..., 0]


def whole(width: int, height: int) -> Size:
    return Size(width, height, -(-width // 32) * 32, -(-height // 32) * 32, 1.0, 1.0)


@pytest.mark.parametrize("name", SHIPPED)
class TestEveryDetector:
    """What every detector of the registry must do."""

    def test_finds_the_face_of_the_portrait(self, name: str) -> None:
        portrait = skimage.data.astronaut()
        detector = Detector(find_model(name), whole(512, 512), Runtime("cpu"))
        (found,) = detector.detect([planes_of(portrait)])
        best = found[0]
        assert best.score > 0.6
        for side, expected in zip(best.box, FACE, strict=True):
            assert side == pytest.approx(expected, abs=25)
        right_eye, left_eye, nose, right_mouth, left_mouth = np.array(best.landmarks).reshape(5, 2)
        assert right_eye[0] < nose[0] < left_eye[0], "the subject's right eye is on the left"
        assert right_mouth[0] < left_mouth[0]
        assert right_eye[1] < nose[1] < right_mouth[1]

    def test_scores_fall_and_none_is_below_the_floor(self, name: str) -> None:
        detector = Detector(find_model(name), whole(512, 512), Runtime("cpu"))
        (found,) = detector.detect([planes_of(skimage.data.astronaut())])
        scores = [face.score for face in found]
        assert scores == sorted(scores, reverse=True)
        assert min(scores) >= 0.15

    def test_nothing_in_plain_grey(self, name: str) -> None:
        detector = Detector(find_model(name), whole(320, 192), Runtime("cpu"))
        grey = np.full((192, 320), 128, np.uint8)
        assert detector.detect([(grey, grey, grey)]) == [()]

    def test_a_batch_gives_what_single_images_give(self, name: str) -> None:
        portrait = skimage.data.astronaut()
        detector = Detector(find_model(name), whole(512, 512), Runtime("cpu"))
        both = detector.detect([planes_of(portrait), planes_of(portrait[:, ::-1])])
        assert both[0] == detector.detect([planes_of(portrait)])[0]
        assert both[1] == detector.detect([planes_of(portrait[:, ::-1])])[0]

    def test_boxes_are_in_px_of_the_frame(self, name: str) -> None:
        portrait = skimage.data.astronaut()
        model = find_model(name)
        size = size_for(model, 512, 512, 0.06)
        step = 512 / size.width
        rows = (np.arange(size.height) * step).astype(int)
        small = portrait[rows][:, rows]
        (found,) = Detector(model, size, Runtime("cpu")).detect([planes_of(small)])
        for side, expected in zip(found[0].box, FACE, strict=True):
            assert side == pytest.approx(expected, abs=30)


def test_a_smaller_face_needs_a_larger_input() -> None:
    model = find_model(DEFAULT_DETECTOR)
    coarse, fine = size_for(model, 1280, 720, 0.1), size_for(model, 1280, 720, 0.02)
    assert coarse.width < fine.width <= 1280
    assert (coarse.input_width % 32, coarse.input_height % 32) == (0, 0)


def test_a_image_is_never_enlarged() -> None:
    size = size_for(find_model(DEFAULT_DETECTOR), 160, 90, 0.01)
    assert (size.width, size.height) == (160, 90)
    assert (size.input_width, size.input_height) == (160, 96)


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60], [0, 0, 10, 9]], np.float32)
    assert suppress(boxes) == [0, 2]
    assert suppress(np.zeros((0, 4), np.float32)) == []


def test_an_unknown_detector_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown detector 'yolo'; there are facepaint-"):
        find_model("yolo")


def test_a_cpu_uses_int8_weights_and_names_them() -> None:
    model = find_model(DEFAULT_DETECTOR)
    detector = Detector(
        replace(model, weights=Path("no such file"), int8=model.weights),
        whole(64, 64),
        Runtime("cpu"),
    )
    assert detector.name == f"{model.card.label}-int8"


def test_a_file_over_the_size_limit_is_refused_unread(tmp_path: Path) -> None:
    large = tmp_path / "large.onnx"
    with large.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    model = replace(find_model(DEFAULT_DETECTOR), weights=large, int8=None)
    with pytest.raises(InputError, match=r"large\.onnx has more than 200 MiB"):
        Detector(model, whole(64, 64), Runtime("cpu"))


def test_the_detector_names_its_device() -> None:
    assert Detector(find_model(DEFAULT_DETECTOR), whole(64, 64), Runtime("cpu")).device == "cpu"
