"""Detections are compared with labels: images are prepared as documented, figures as computed by
hand."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facepaint.detectors.labels import LabelledFace, LabelledImage, image_path
from facepaint.errors import InputError, UnreadableMedia
from facepaint.records.detector_card import DEFAULT_DETECTOR, Thresholds
from models import find_model
from models.lab.evaluation.average_precision import WIDER_SETS
from models.lab.evaluation.detections import (
    Detections,
    Floats,
    Options,
    detect_all,
    read_image,
    size_within,
)
from models.lab.evaluation.evaluate import Truth, evaluate, judge, split, thresholds_of, truth_of
from models.lab.evaluation.landmarks import (
    POSES,
    ROLL_CLASSES,
    landmark_errors,
    pose_sets,
    roll,
    turn,
)
from models.providers import Runtime
from tasks.tracking.tracker import REDACTION, STICKERS
from tests.support.portraits import BOX, POINTS, write_portraits

CPU = Runtime("cpu")
MODEL = find_model(DEFAULT_DETECTOR)
WITHOUT_THRESHOLDS = replace(MODEL.card, redaction=None, stickers=None)
HEAD = np.array([[-10.0, -10], [10, -10], [0, 0], [-8, 10], [8, 10]])
"""Five points of a head seen from in front."""


def turned_by(degrees: float) -> Floats:
    angle = np.radians(degrees)
    return HEAD @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def images(count: int) -> list[LabelledImage]:
    return [LabelledImage(f"{number}.jpg") for number in range(count)]


class TestSplit:
    def test_every_image_is_in_one_part(self) -> None:
        training, validation = split(images(1000))
        assert sorted(one.image for one in [*training, *validation]) == sorted(
            one.image for one in images(1000)
        )
        assert 70 < len(validation) < 130

    def test_a_image_stays_in_its_part_whatever_the_others_are(self) -> None:
        _, among_many = split(images(200))
        _, among_few = split(images(200)[150:][::-1])
        assert {one.image for one in among_few} == {
            one.image for one in among_many if int(one.image[:-4]) >= 150
        }

    def test_the_parts_never_change(self) -> None:
        _, validation = split(images(60))
        assert [one.image for one in validation] == ["26.jpg", "34.jpg", "36.jpg", "38.jpg"]

    @pytest.mark.parametrize(("share", "count"), [(0.0, 0), (1.0, 50)])
    def test_none_or_all(self, share: float, count: int) -> None:
        assert len(split(images(50), share)[1]) == count


class TestImages:
    def test_the_longest_side_is_made_smaller_and_never_larger(self) -> None:
        size = size_within(MODEL, 1280, 720, 640)
        assert (size.width, size.height, size.input_width, size.input_height) == (
            640,
            360,
            640,
            384,
        )
        assert (size.scale_x, size.scale_y) == (2, 2)
        assert size_within(MODEL, 100, 300, 640).height == 300
        assert size_within(MODEL, 1, 4000, 640).width == 1

    def test_detections_have_the_order_and_px_of_the_labels(self, tmp_path: Path) -> None:
        labelled = write_portraits(tmp_path)
        assert [one.image for one in labelled] == ["b.png", "a.png", "c.png"]
        found = detect_all(MODEL, tmp_path, labelled, Options(side=256, runtime=CPU))
        for one, image in zip(found, labelled, strict=True):
            assert one.boxes[0] == pytest.approx(image.faces[0].box, abs=25)
            assert list(one.scores) == sorted(one.scores, reverse=True)
            assert one.scores[0] > 0.5
            assert one.points.shape == (len(one.boxes), 5, 2)

    def test_scores_go_down_to_the_lowest_asked_for(self, tmp_path: Path) -> None:
        labelled = write_portraits(tmp_path)[:1]
        (low,) = detect_all(MODEL, tmp_path, labelled, Options(lowest_score=0.01, runtime=CPU))
        (high,) = detect_all(MODEL, tmp_path, labelled, Options(lowest_score=0.5, runtime=CPU))
        assert len(high.scores) < len(low.scores)
        assert low.scores.min() < 0.15
        np.testing.assert_array_equal(low.from_score(0.5).boxes, high.boxes)

    def test_a_image_that_is_turned_by_its_header_is_read_as_it_is_shown(
        self, tmp_path: Path
    ) -> None:
        image = LabelledImage("a.jpg", 20, 30)
        path = image_path(tmp_path, image)
        path.parent.mkdir()
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (30, 20)).save(path, exif=exif)
        assert read_image(tmp_path, image).shape == (30, 20, 3)

    def test_bad_images_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        for name, data in (("empty.png", b""), ("text.png", b"no image")):
            (tmp_path / "images" / name).write_bytes(data)
            with pytest.raises(UnreadableMedia, match=name):
                read_image(tmp_path, LabelledImage(name, 8, 8))
        with pytest.raises(UnreadableMedia, match=r"missing\.png"):
            read_image(tmp_path, LabelledImage("missing.png", 8, 8))

    def test_a_image_of_another_size_than_labelled_is_refused(self, tmp_path: Path) -> None:
        (image, *_) = write_portraits(tmp_path)
        with pytest.raises(
            InputError, match=r"b\.png is 512x512 px, but its labels are for 500x512"
        ):
            read_image(tmp_path, replace(image, width=500, height=512))


class TestLandmarks:
    def test_the_error_is_the_mean_distance_in_eye_distances(self) -> None:
        truth, box = HEAD[None] + 50, np.array([[35.0, 35, 65, 65]])
        off = truth + np.array([[[3.0, 4.0]] + [[0.0, 0.0]] * 4])
        assert landmark_errors(box, np.ones(1), off, box, truth) == pytest.approx([5 / 5 / 20])

    def test_faces_missed_or_without_points_have_no_error(self) -> None:
        boxes = np.array([[35.0, 35, 65, 65], [135, 35, 165, 65], [235, 35, 265, 65]])
        truth = np.stack([HEAD + 50, HEAD + 150, np.full((5, 2), np.nan)])
        errors = landmark_errors(boxes[[0, 2]], np.ones(2), truth[[0, 2]], boxes, truth)
        assert errors[0] == 0
        assert np.isnan(errors[1:]).all()

    def test_in_profile_the_eyes_are_held_apart(self) -> None:
        box, truth = np.array([[0.0, 0, 40, 40]]), np.full((1, 5, 2), 20.0)
        assert landmark_errors(box, np.ones(1), np.add(truth, [3, 0]), box, truth) == pytest.approx(
            [3 / 6]
        )

    @pytest.mark.parametrize("degrees", [-80.0, -15.0, 0.0, 10.0, 45.0, 170.0])
    def test_roll_is_clockwise_as_seen(self, degrees: float) -> None:
        assert roll(turned_by(degrees)[None]) == pytest.approx([degrees])

    def test_turn_and_tilt(self) -> None:
        aside = HEAD.copy()
        aside[2, 0] = 6
        assert turn(np.stack([HEAD, aside, turned_by(70)])) == pytest.approx([0, 0.3, 0])
        sets = pose_sets(np.stack([HEAD, aside, turned_by(70), np.full((5, 2), np.nan)]))
        assert sets["turned"].tolist() == [False, True, False, False]
        assert sets["tilted"].tolist() == [False, False, True, False]
        assert tuple(sets) == POSES

    def test_the_classes_of_roll_leave_no_gap(self) -> None:
        ranges = list(ROLL_CLASSES.values())
        assert ranges[0][0] == 0
        assert ranges[-1][1] > 180
        assert all(one[1] == following[0] for one, following in pairwise(ranges))


class TestJudging:
    def test_recall_and_false_positives_at_a_threshold(self) -> None:
        faces = np.array([[0.0, 0, 20, 20], [100, 0, 120, 20], [200, 0, 220, 20]])
        truth = Truth(faces, np.full((3, 5, 2), np.nan), np.array([False, False, True]), {})
        nowhere, loose = [400.0, 0, 420, 20], [105.0, 0, 125, 20]
        boxes = np.array([faces[0], faces[2], loose, nowhere, [106.0, 12, 126, 32], nowhere])
        found = Detections(
            boxes, np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1]), np.full((6, 5, 2), np.nan)
        )
        nothing = Truth(np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0, bool), {})
        evaluation = judge(
            [found, found.from_score(2)], [truth, nothing], {"redaction": 0.2, "stickers": 0.85}
        )
        assert evaluation.at_threshold["redaction"].recall == 1
        assert evaluation.at_threshold["redaction"].false_positives == 0.5, (
            "one in two images; ignored and loose ones do not count"
        )
        assert evaluation.at_threshold["stickers"].recall == 0.5
        assert evaluation.at_threshold["stickers"].false_positives == 0
        assert np.isnan(evaluation.landmark_errors).all()
        assert not set(POSES) & set(evaluation.curves)

    def test_labels_become_arrays(self) -> None:
        seen = LabelledFace(BOX, POINTS, easy=False, medium=True, hard=True)
        truth = truth_of(
            LabelledImage("a.png", faces=(seen, replace(seen, landmarks=None, ignore=True)))
        )
        assert truth.boxes.tolist() == [list(BOX)] * 2
        assert np.isfinite(truth.points).all(axis=(1, 2)).tolist() == [True, False]
        assert truth.ignored.tolist() == [False, True]
        assert truth.sets["medium"].tolist() == [True, True]
        assert not set(WIDER_SETS) & set(
            truth_of(LabelledImage("a.png", faces=(LabelledFace(BOX),))).sets
        )

    def test_a_detector_over_a_folder(self, tmp_path: Path) -> None:
        labelled = write_portraits(tmp_path)
        evaluation = evaluate(MODEL, tmp_path, labelled, Options(runtime=CPU))
        assert evaluation.curves["all"].faces == 2, "the third is ignored"
        assert evaluation.curves["all"].average_precision == 1
        assert evaluation.at_threshold["stickers"].recall == 1
        assert (evaluation.landmark_errors[:2] < 0.2).all()
        assert np.isnan(evaluation.landmark_errors[2])

    def test_the_thresholds_are_the_products_unless_the_card_has_its_own(self) -> None:
        assert thresholds_of(WITHOUT_THRESHOLDS) == {
            "redaction": REDACTION.accept,
            "stickers": STICKERS.accept,
        }
        assert (
            thresholds_of(replace(WITHOUT_THRESHOLDS, redaction=Thresholds(0.4, 0.2)))["redaction"]
            == 0.4
        )
