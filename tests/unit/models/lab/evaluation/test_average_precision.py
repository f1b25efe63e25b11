"""Average precision: by hand, and against two references written here from their definitions."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.boxes import iou
from models.lab.evaluation.average_precision import (
    MATCH_IOU,
    SIZE_CLASSES,
    WIDER_SETS,
    Curve,
    Floats,
    Scored,
    curves,
    match,
    precision_recall,
    set_curves,
    size_curves,
)

NO_BOXES = np.zeros((0, 4))


def square(x: float, y: float, side: float) -> list[float]:
    return [x, y, x + side, y + side]


def image(
    found: Sequence[tuple[list[float], float]],
    faces: Sequence[list[float]],
    hard: Sequence[bool] | None = None,
) -> Scored:
    """An image whose faces are in the hard set as given, and in no other; without ``hard`` the
    labels have no sets."""
    out = np.zeros(len(faces), bool)
    return Scored(
        np.array([box for box, _ in found]).reshape(-1, 4),
        np.array([score for _, score in found]),
        np.array(faces, float).reshape(-1, 4),
        out,
        {} if hard is None else {"easy": out, "medium": out, "hard": np.array(hard, bool)},
    )


def hard_ap(*images: Scored) -> float:
    return set_curves(images)["hard"].average_precision


class TestByHand:
    A, B, C = square(0, 0, 20), square(100, 0, 20), square(200, 0, 20)

    def test_everything_found_first(self) -> None:
        assert hard_ap(image([(self.A, 0.9), (self.B, 0.8)], [self.A, self.B], [True, True])) == 1

    def test_nothing_found(self) -> None:
        assert hard_ap(image([], [self.A], [True])) == 0
        assert hard_ap(image([(self.B, 0.9)], [self.A], [True])) == 0

    def test_nothing_to_find_has_no_average_precision(self) -> None:
        assert math.isnan(hard_ap(image([(self.A, 0.9)], [], [])))

    def test_a_false_positive_in_the_middle(self) -> None:
        """Found at 0.9, false at 0.8, found at 0.7, one missed: 1/3 at precision 1, 1/3 at 2/3, 1/3
        never."""
        found = [(self.A, 0.9), (square(500, 0, 20), 0.8), (self.B, 0.7)]
        assert hard_ap(image(found, [self.A, self.B, self.C], [True] * 3)) == pytest.approx(
            1 / 3 + 2 / 9
        )

    def test_the_precision_is_that_at_any_higher_recall(self) -> None:
        """False, found, found: precision 0, 1/2, 2/3, and made falling 2/3 throughout."""
        found = [(square(500, 0, 20), 0.9), (self.A, 0.8), (self.B, 0.7)]
        assert hard_ap(image(found, [self.A, self.B], [True] * 2)) == pytest.approx(2 / 3)

    def test_a_second_detection_of_a_face_is_a_false_positive(self) -> None:
        found = [(self.A, 0.9), (square(1, 1, 20), 0.8), (self.B, 0.7)]
        assert hard_ap(image(found, [self.A, self.B], [True] * 2)) == pytest.approx(1 / 2 + 1 / 3)

    def test_an_ignored_face_is_neither_missed_nor_a_false_positive(self) -> None:
        found = [(self.A, 0.95), (square(1, 1, 20), 0.9), (self.B, 0.7)]
        assert hard_ap(image(found, [self.A, self.B], [False, True])) == 1
        assert hard_ap(image([(self.B, 0.7)], [self.A, self.B], [False, True])) == 1

    def test_a_detection_matches_only_the_face_it_overlaps_most(self) -> None:
        """As in the tool: nearer to an ignored face it finds nothing, though the counted one
        overlaps enough too."""
        counted, ignored = square(0, 0, 20), square(4, 0, 20)
        overlaps = iou(np.array([square(3, 0, 20)]), np.array([counted, ignored]))
        assert MATCH_IOU < overlaps[0, 0] < overlaps[0, 1]
        assert hard_ap(image([(square(3, 0, 20), 0.9)], [counted, ignored], [True, False])) == 0

    @pytest.mark.parametrize(("side", "expected"), [(10.01, 1.0), (9.99, 0.0)])
    def test_half_the_union_is_enough(self, side: float, expected: float) -> None:
        face = [0.0, 0.0, 20.0, 20.0]
        assert hard_ap(image([([0.0, 0.0, 20.0, side], 0.9)], [face], [True])) == expected

    def test_equal_scores_are_one_step(self) -> None:
        for found in ([(self.A, 0.5), (self.B, 0.5)], [(self.B, 0.5), (self.A, 0.5)]):
            assert hard_ap(image(found, [self.A], [True])) == 0.5

    def test_scores_are_compared_across_images(self) -> None:
        good = image([(self.A, 0.6)], [self.A], [True])
        bad = image([(self.B, 0.9)], [self.A], [True])
        assert hard_ap(good, bad) == pytest.approx(1 / 4)

    def test_faces_of_other_sizes_are_ignored(self) -> None:
        small, large = square(0, 0, 10), square(100, 100, 50)
        found = size_curves(
            [image([(small, 0.9), (square(300, 300, 50), 0.8), (large, 0.7)], [small, large])]
        )
        values = {name: curve.average_precision for name, curve in found.items()}
        assert values["all"] == pytest.approx(1 / 2 + 1 / 3)
        assert values["<16 px"] == 1
        assert values["32-96 px"] == 0.5
        assert math.isnan(values["16-32 px"])
        assert {name: curve.faces for name, curve in found.items()} == {
            "all": 2,
            "<16 px": 1,
            "16-32 px": 0,
            "32-96 px": 1,
            ">=96 px": 0,
        }


def test_the_sets_are_used_if_every_face_has_them() -> None:
    face = square(0, 0, 20)
    with_sets, without = image([], [face], [True]), image([], [face])
    empty = image([], [])
    assert tuple(curves([with_sets, empty])) == WIDER_SETS
    assert tuple(curves([with_sets, without])) == tuple(curves([empty])) == ("all", *SIZE_CLASSES)


def test_an_ignored_face_is_in_no_set() -> None:
    face = square(0, 0, 20)
    ignored = replace(image([(face, 0.9)], [face], [True]), ignored=np.array([True]))
    assert set_curves([ignored])["hard"].faces == 0
    assert size_curves([ignored])["all"].faces == 0
    assert set_curves([ignored])["hard"].scores.size == 0


def sklearn_style(
    hits: Sequence[bool], scores: Sequence[float], faces: int
) -> tuple[list[float], list[float]]:
    """Precision and recall at each threshold as scikit-learn defines them, ``faces`` being all that
    are positive."""
    precision, recall = [], []
    for threshold in sorted(set(scores), reverse=True):
        taken = [hit for hit, score in zip(hits, scores, strict=True) if score >= threshold]
        precision.append(sum(taken) / len(taken))
        recall.append(sum(taken) / faces)
    return precision, recall


def sum_of_steps(precision: Sequence[float], recall: Sequence[float]) -> float:
    """The sum over n of (R_n - R_n-1) P_n, as in scikit-learn's ``average_precision_score``."""
    return sum(
        (now - before) * p
        for p, (before, now) in zip(precision, pairwise([0.0, *recall]), strict=True)
    )


detections = st.lists(st.tuples(st.booleans(), st.integers(1, 40)), min_size=1, max_size=60)


@given(detections, st.integers(0, 5))
def test_the_curve_is_that_of_scikit_learn(found: list[tuple[bool, int]], missed: int) -> None:
    hits, scores = [hit for hit, _ in found], [score / 40 for _, score in found]
    faces = sum(hits) + missed
    if not faces:
        return
    precision, recall = sklearn_style(hits, scores, faces)
    curve = precision_recall(np.array(scores), np.array(hits), faces)
    np.testing.assert_allclose(curve.precision, precision)
    np.testing.assert_allclose(curve.recall, recall)
    assert curve.scores.tolist() == sorted(set(scores), reverse=True)
    falling = [max(precision[step:]) for step in range(len(precision))]
    assert curve.average_precision == pytest.approx(sum_of_steps(falling, recall))
    assert curve.average_precision >= sum_of_steps(precision, recall) - 1e-12


def wider_tool(images: Sequence[Scored], name: str, steps: int = 1000) -> float:
    """The protocol as the WIDER FACE tool computes it: px boxes with one px added, 1000 steps of
    stretched scores."""
    every = np.concatenate([one.scores for one in images])
    low, high = every.min(), every.max()
    counts = np.zeros((steps, 2))
    for one in images:
        if not len(one.scores):
            continue
        order = np.argsort(-one.scores, kind="stable")
        scores = (one.scores[order] - low) / (high - low)
        proposals, found = _tool_matches(one.boxes[order], one.faces, one.sets[name])
        for step in range(steps):
            above = np.flatnonzero(scores >= 1 - (step + 1) / steps)
            if len(above):
                counts[step] += proposals[: above[-1] + 1].sum(), found[above[-1]]
    with np.errstate(invalid="ignore"):
        precision = np.nan_to_num(counts[:, 1] / counts[:, 0])
    recall = np.concatenate([[0], counts[:, 1] / sum(one.sets[name].sum() for one in images), [1]])
    falling = np.maximum.accumulate(np.concatenate([[0], precision, [0]])[::-1])[::-1]
    moved = np.flatnonzero(recall[1:] != recall[:-1])
    return float(np.sum((recall[moved + 1] - recall[moved]) * falling[moved + 1]))


def _tool_matches(
    boxes: Floats, faces: Floats, counted: np.ndarray
) -> tuple[np.ndarray, list[int]]:
    """Which detections count at all, and how many faces are found down to each."""
    state, proposals, found = np.zeros(len(faces)), np.ones(len(boxes)), []
    for row, box in enumerate(boxes):
        overlaps = [_tool_overlap(box, face) for face in faces]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if overlaps and overlaps[best] >= 0.5:
            if not counted[best]:
                state[best], proposals[row] = -1, 0
            elif state[best] == 0:
                state[best] = 1
        found.append(int((state == 1).sum()))
    return proposals, found


def _tool_overlap(a: Floats, b: Floats) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1)
    return float(width * height / (both - width * height))


def random_images(rng: np.random.Generator, images: int) -> list[Scored]:
    """Images with faces of 20-200 px, found loosely, twice, or not at all, and false positives."""
    made = []
    for _ in range(images):
        count = rng.integers(0, 8)
        corner, side = rng.uniform(0, 800, (count, 2)), rng.uniform(20, 200, (count, 1))
        faces = np.hstack([corner, corner + side])
        seen = faces[rng.random(count) < 0.8]
        loose = [
            seen + rng.normal(0, 0.08, seen.shape) * (seen[:, 2:3] - seen[:, :1]) for _ in range(2)
        ]
        alarms = rng.uniform(0, 800, (rng.integers(0, 4), 2))
        boxes = np.vstack([loose[0], loose[1][: len(seen) // 3], np.hstack([alarms, alarms + 50])])
        scores = np.clip(
            rng.beta(4, 2, len(boxes)) - 0.25 * (np.arange(len(boxes)) >= len(seen)), 0.02, 1
        )
        sets = {
            name: rng.random(count) < share
            for name, share in zip(WIDER_SETS, (0.3, 0.6, 0.9), strict=True)
        }
        made.append(Scored(boxes, scores, faces, np.zeros(count, bool), sets))
    return made


@pytest.mark.parametrize("seed", [1])
def test_the_result_is_that_of_the_wider_face_tool(seed: int) -> None:
    images = random_images(np.random.default_rng(seed), 60)
    ours = set_curves(images)
    for name in WIDER_SETS:
        assert ours[name].average_precision == pytest.approx(wider_tool(images, name), abs=0.005)
        assert 0.3 < ours[name].average_precision < 0.95


def values(found: dict[str, Curve]) -> list[float]:
    return [curve.average_precision for curve in found.values()]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_images_and_detections_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = random_images(rng, 5)
    order = rng.permutation(len(images))
    turned = [images[n] for n in order]
    again = []
    for one in turned:
        rows = rng.permutation(len(one.boxes))
        again.append(replace(one, boxes=one.boxes[rows], scores=one.scores[rows]))
    for measure in (set_curves, size_curves):
        np.testing.assert_allclose(values(measure(images)), values(measure(turned)), rtol=1e-12)
        np.testing.assert_allclose(values(measure(images)), values(measure(again)), rtol=1e-12)


def test_each_face_is_matched_with_its_best_detection() -> None:
    faces = np.array([square(0, 0, 20), square(100, 0, 20)])
    boxes = np.array([square(1, 0, 20), square(0, 0, 20), square(300, 0, 20), square(101, 0, 20)])
    chosen, first = match(boxes, np.array([0.5, 0.9, 0.95, 0.1]), faces)
    assert chosen.tolist() == [0, 0, -1, 1]
    assert first.tolist() == [False, True, False, True]


def test_boxes_without_area_overlap_nothing() -> None:
    empty = np.array([[5.0, 5, 5, 5], [9, 9, 3, 3]])
    assert iou(empty, empty).tolist() == [[0, 0], [0, 0]]
