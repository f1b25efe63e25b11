"""The people of a job: independent of how it was cut, and joined only if that is certain."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepaint.records.faces import Candidate, Faces, FrameFaces
from tasks.tracking.people import PersonTracker
from tests.support.scenes import TICKS, TIME_BASE, candidate, crossing, cut_at, jumble, record

STEP = TICKS // 30


def people_of(records: list[Faces]) -> PersonTracker:
    tracker = PersonTracker(TIME_BASE)
    for one in records:
        tracker.add(one)
    return tracker


def scene(seconds: float, *faces: tuple[Candidate, float, float]) -> list[FrameFaces]:
    """Faces that stand still, each from one second to another."""
    return [
        FrameFaces(
            t * STEP, faces=tuple(face for face, first, last in faces if first <= t / 30 < last)
        )
        for t in range(int(seconds * 30))
    ]


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([2.0, 12.5, 30.0]),
    missing=st.sampled_from([0.05, 0.4]),
    places=st.lists(st.integers(1, 95), max_size=4),
)
def test_people_do_not_depend_on_how_the_job_was_cut(
    seed: int, rate: float, missing: float, places: list[int]
) -> None:
    frames = jumble(seed, rate, 2, missing, irregular=False, seconds=3)
    one, several = people_of([record(frames)]), cut_at(frames, places)
    other = people_of(several)
    borders = {part.frames[0].pts: part.index for part in several}
    assert [replace(person, best_segment=0) for person in other.people] == list(one.people)
    for person in other.people:
        assert person.best_segment == max(
            index for first, index in borders.items() if first <= person.best_pts
        )
    together = [frame for part in several for frame in other.segment(part.index).frames]
    for here, there in zip(together, one.segment(0).frames, strict=True):
        assert (here.pts, len(here.faces)) == (there.pts, len(there.faces))
        for a, b in zip(here.faces, there.faces, strict=True):
            assert (a.person, a.row, a.score) == (b.person, b.row, b.score)
            assert [*a.box, *a.landmarks] == pytest.approx([*b.box, *b.landmarks], rel=0, abs=1e-9)


def test_people_are_numbered_by_appearance_then_from_the_left_low_confidence_last() -> None:
    frames = scene(
        3,
        (candidate(300, score=0.5), 0, 3),
        (candidate(200), 0, 3),
        (candidate(100), 0, 3),
        (candidate(0), 1, 3),
    )
    people = people_of([record(frames)]).people
    assert [(person.number, person.best_box[0], person.low_confidence) for person in people] == [
        (1, 100, False),
        (2, 200, False),
        (3, 0, False),
        (4, 300, True),
    ]
    assert [(person.first, person.last, person.frames) for person in people][2] == (
        30 * STEP,
        89 * STEP,
        60,
    )


@pytest.mark.parametrize(
    "obstructed", [0.0, 0.8], ids=["overlapping", "one obstructed for a while"]
)
@pytest.mark.parametrize("speed", [1.0, 2.0])
@pytest.mark.parametrize("rate", [12, 30])
def test_people_who_cross_keep_their_identities(rate: int, speed: float, obstructed: float) -> None:
    if obstructed and speed < 2:
        # Longer obstructions are ambiguous.
        obstructed = 0.5
    for seed in range(5):
        frames, true_identities = crossing(seed, rate, speed, obstructed)
        tracker = people_of(cut_at(frames, [len(frames) // 2]))
        pairs = {
            (one, tracker.person_of(frame.pts, row))
            for frame, order in zip(frames, true_identities, strict=True)
            for row, one in enumerate(order)
        }
        assert len(tracker.people) == 2
        assert len(pairs) == 2, "each keeps its number"


def test_a_person_who_returns_alone_is_recognized() -> None:
    frames = scene(4, (candidate(100), 0, 1), (candidate(105), 2.5, 4))
    assert [person.frames for person in people_of([record(frames)]).people] == [75]


def test_a_person_who_was_seen_all_the_time_is_not_the_one_who_returns() -> None:
    frames = scene(4, (candidate(100), 0, 1), (candidate(100), 2, 4), (candidate(160), 0, 4))
    assert [person.frames for person in people_of([record(frames)]).people] == [90, 120]


def test_a_person_who_walks_behind_a_post_is_recognized() -> None:
    """A half obstructed face is a narrower box that hardly moves."""
    post, size, speed = (300.0, 400.0), 60.0, 150.0
    frames = []
    for number in range(75):
        left = 150 + speed * number / 30
        right = left + size
        seen = (left, min(right, post[0])) if left < post[0] else (max(left, post[1]), right)
        face = Candidate(0.9, (seen[0], 100.0, seen[1], 100 + size), ())
        frames.append(
            FrameFaces(number * STEP, faces=(face,) if seen[1] - seen[0] > 0.4 * size else ())
        )
    (person,) = people_of([record(frames)]).people
    assert (person.first, person.last) == (0, 74 * STEP)


@pytest.mark.parametrize(
    "faces",
    [
        pytest.param([(candidate(100), 0, 1), (candidate(105), 3.2, 4)], id="after too long"),
        pytest.param([(candidate(100), 0, 1), (candidate(150), 2, 4)], id="elsewhere"),
        pytest.param(
            [(candidate(100), 0, 1), (candidate(80, size=100), 2, 4)], id="of another size"
        ),
        pytest.param(
            [(candidate(100), 0, 1), (candidate(100), 2, 4), (candidate(160), 1.5, 4)],
            id="another came",
        ),
    ],
)
def test_an_ambiguous_person_is_not_recognized(
    faces: list[tuple[Candidate, float, float]],
) -> None:
    people = people_of([record(scene(4, *faces))]).people
    assert len(people) == len(faces)


def test_no_person_is_recognized_after_a_scene_change() -> None:
    frames = scene(4, (candidate(100), 0, 1), (candidate(100), 2, 4))
    frames[45] = replace(frames[45], scene_change=0.4)
    assert len(people_of([record(frames)]).people) == 2


def test_a_tracked_segment_has_detected_and_interpolated_faces_in_every_frame() -> None:
    frames = scene(3, (candidate(100), 0, 1), (candidate(100), 1.5, 3))
    frames[10] = replace(frames[10], faces=(candidate(400, score=0.16), *frames[10].faces))
    tracker = people_of(cut_at(frames, [40]))
    first, second = tracker.segment(0), tracker.segment(1)
    assert [frame.pts for frame in (*first.frames, *second.frames)] == [
        frame.pts for frame in frames
    ]
    assert [[face.row for face in frame.faces] for frame in first.frames[9:12]] == [[0], [1], [0]]
    (between,) = first.frames[35].faces
    assert (between.person, between.row, between.box[0]) == (1, None, pytest.approx(100))
    assert between.yaw == pytest.approx(0, abs=5)
    assert tracker.person_of(frames[10].pts, 1) == 1
    assert tracker.person_of(frames[10].pts, 0) is None
    assert tracker.person_of(frames[10].pts + 1, 0) is None


def test_a_failed_segment_has_no_people() -> None:
    frames = scene(3, (candidate(100), 0, 3))
    tracker = people_of([record(frames[:30]), record([], 1), record(frames[60:], 2)])
    assert tracker.segment(1).frames == ()
    assert len(tracker.segment(2).frames) == 30
    assert len(people_of([record([])]).people) == 0
