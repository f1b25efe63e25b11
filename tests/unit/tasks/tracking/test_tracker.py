"""Tracks: association, gaps and smoothing, independent of where the video was cut."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepaint.records.faces import Box, Faces, FrameFaces
from facepaint.records.segment import REACH_S
from filters.area import BOX_COVERING_SCALE, covered_area
from filters.face import Face
from tasks.tracking import association, interpolation, smoothing, tracklets
from tasks.tracking.interpolation import union
from tasks.tracking.tracker import LONGEST_HOLD_S, REDACTION, STICKERS, Tracks, faces_of_image
from tests.support import scenes
from tests.support.scenes import candidate, record

TIME_BASE = Fraction(1, 30)


def walk(
    length: int = 60, missing: frozenset[int] = frozenset(), score: float = 0.9
) -> list[FrameFaces]:
    return [
        FrameFaces(t, faces=() if t in missing else (candidate(10.0 + 2 * t, score=score),))
        for t in range(length)
    ]


def test_a_steady_face_is_in_every_frame() -> None:
    tracks = Tracks([record(walk())], TIME_BASE, STICKERS)
    assert [len(tracks.faces_at(t)) for t in range(60)] == [1] * 60


def test_a_short_gap_is_bridged_in_place() -> None:
    tracks = Tracks([record(walk(missing=frozenset(range(20, 28))))], TIME_BASE, STICKERS)
    (face,) = tracks.faces_at(24)
    assert face.box[0] == pytest.approx(10 + 2 * 24, abs=1.5)


def test_a_long_gap_shows_no_face() -> None:
    tracks = Tracks([record(walk(80, missing=frozenset(range(20, 50))))], TIME_BASE, STICKERS)
    assert tracks.faces_at(35) == []
    assert len(tracks.faces_at(19)) == 1
    assert len(tracks.faces_at(50)) == 1


def test_a_low_confidence_face_is_redacted_but_gets_no_sticker() -> None:
    frames = [record(walk(score=0.4))]
    assert Tracks(frames, TIME_BASE, STICKERS).faces_at(30) == []
    assert len(Tracks(frames, TIME_BASE, REDACTION).faces_at(30)) == 1


def test_the_context_threshold_applies_near_a_confident_face() -> None:
    alone = [FrameFaces(t, faces=(candidate(10.0, score=0.22),)) for t in range(90)]
    assert not any(Tracks([record(alone)], TIME_BASE, REDACTION).faces_at(t) for t in range(90))

    context = [*alone]
    context[45] = FrameFaces(45, faces=(*alone[45].faces, candidate(300.0, score=0.7)))
    tracks = Tracks([record(context)], TIME_BASE, REDACTION)
    assert [t for t in range(90) if any(face.box[0] < 100 for face in tracks.faces_at(t))] == list(
        range(24, 67)
    )
    assert all(
        face.box[0] > 200
        for t in range(90)
        for face in Tracks([record(context)], TIME_BASE, STICKERS).faces_at(t)
    )

    brief = [
        FrameFaces(t, faces=frame.faces if 40 <= t <= 50 else frame.faces[1:])
        for t, frame in enumerate(context)
    ]
    tracks = Tracks([record(brief)], TIME_BASE, REDACTION)
    assert [t for t in range(90) if any(face.box[0] < 100 for face in tracks.faces_at(t))] == list(
        range(37, 54)
    )

    unsure = [*alone]
    unsure[45] = FrameFaces(45, faces=(*alone[45].faces, candidate(300.0, score=0.6)))
    assert all(
        face.box[0] > 200
        for t in range(90)
        for face in Tracks([record(unsure)], TIME_BASE, REDACTION).faces_at(t)
    )


def test_a_low_confidence_frame_of_a_confident_face_keeps_its_sticker() -> None:
    frames = walk()
    frames[30] = FrameFaces(30, faces=(candidate(10.0 + 60, score=0.4),))
    assert len(Tracks([record(frames)], TIME_BASE, STICKERS).faces_at(30)) == 1


def test_a_low_confidence_face_after_a_gap_is_redacted_if_it_was_confident_before() -> None:
    frames = [
        FrameFaces(
            t, faces=() if 30 <= t < 42 else (candidate(100.0, score=0.9 if t < 30 else 0.2),)
        )
        for t in range(60)
    ]
    tracks = Tracks([record(frames)], TIME_BASE, REDACTION)
    assert [t for t in range(60) if tracks.faces_at(t)] == list(range(29 + 21 + 1))


def test_a_redaction_extends_before_and_after_a_track() -> None:
    frames = walk(missing=frozenset(range(20)) | frozenset(range(40, 60)))
    tracks = Tracks([record(frames)], TIME_BASE, REDACTION)
    shown = [t for t in range(60) if tracks.faces_at(t)]
    assert shown == list(range(20 - 9, 40 + 9))


def test_a_redaction_covers_the_detected_box() -> None:
    rng = np.random.default_rng(1)
    frames = [FrameFaces(t, faces=(candidate(100 + float(rng.normal(0, 4))),)) for t in range(60)]
    tracks = Tracks([record(frames)], TIME_BASE, REDACTION)
    for frame in frames:
        (face,) = tracks.faces_at(frame.pts)
        seen = frame.faces[0].box
        assert face.box[0] <= seen[0]
        assert face.box[2] >= seen[2]


def test_smoothing_makes_a_jittering_sticker_calmer() -> None:
    rng = np.random.default_rng(2)
    frames = [FrameFaces(t, faces=(candidate(100 + float(rng.normal(0, 2))),)) for t in range(90)]
    tracks = Tracks([record(frames)], TIME_BASE, STICKERS)
    raw = np.array([frame.faces[0].box[0] for frame in frames])
    smooth = np.array([tracks.faces_at(t)[0].box[0] for t in range(90)])
    assert np.abs(np.diff(smooth)).mean() < 0.35 * np.abs(np.diff(raw)).mean()


def test_no_association_crosses_a_scene_change() -> None:
    frames = [FrameFaces(t, faces=() if 24 <= t < 36 else (candidate(100.0),)) for t in range(60)]
    assert len(Tracks([record(frames)], TIME_BASE, STICKERS).faces_at(30)) == 1
    frames[30] = FrameFaces(30, scene_change=0.4)
    assert Tracks([record(frames)], TIME_BASE, STICKERS).faces_at(30) == []


def test_a_sticker_ends_at_a_scene_change() -> None:
    frames = walk(missing=frozenset(range(30, 60)))
    fading = Tracks([record(frames)], TIME_BASE, STICKERS)
    shares = [face.opacity for t in range(28, 36) for face in fading.faces_at(t)]
    assert shares[:2] == [1.0, 1.0]
    assert 4 <= len(shares) <= 6
    assert shares == sorted(shares, reverse=True)
    frames[30] = FrameFaces(30, scene_change=0.4)
    assert Tracks([record(frames)], TIME_BASE, STICKERS).faces_at(30) == []


def test_a_flash_of_light_uncovers_nothing() -> None:
    """It looks like two scene changes, and the face in it is often not detected."""
    frames = walk(missing=frozenset({30}))
    frames[30], frames[31] = (replace(frame, scene_change=0.4) for frame in frames[30:32])
    assert all(Tracks([record(frames)], TIME_BASE, REDACTION).faces_at(t) for t in range(60))


def test_signatures_reveal_a_scene_change_at_a_segment_border() -> None:
    dark, light = (10,) * 144, (200,) * 144
    frames = walk(missing=frozenset(range(24, 36)))
    before = Faces(0, tuple(frames[:30]), "test", "cpu", first_signature=dark, last_signature=dark)
    after = Faces(1, tuple(frames[30:]), "test", "cpu", light, light)
    assert Tracks([before, after], TIME_BASE, STICKERS).faces_at(30) == []
    same = Faces(1, after.frames, "test", "cpu", dark, dark)
    assert len(Tracks([before, same], TIME_BASE, STICKERS).faces_at(30)) == 1


@pytest.mark.parametrize("rate", [1, 2, 3, 5, 120])
def test_a_face_missed_in_one_frame_is_redacted_there_at_any_rate(rate: int) -> None:
    frames = [FrameFaces(t, faces=() if t == 5 else (candidate(100.0),)) for t in range(12)]
    tracks = Tracks([record(frames)], Fraction(1, rate), REDACTION)
    assert all(tracks.faces_at(t) for t in range(12))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([1.0, 2.0, 3.0, 5.0, 12.5, 25.0, 30.0, 60.0]),
    faces=st.integers(1, 4),
    missing=st.sampled_from([0.05, 0.3, 0.6]),
    irregular=st.booleans(),
    redacts=st.booleans(),
    start=st.floats(0, 1),
    seconds=st.floats(0, 2),
)
def test_the_result_is_the_same_wherever_the_video_is_cut(
    seed: int,
    rate: float,
    faces: int,
    missing: float,
    irregular: bool,
    redacts: bool,
    start: float,
    seconds: float,
) -> None:
    """A window that sees only what is within its reach is painted as in the whole
    video."""
    point = REDACTION if redacts else STICKERS
    frames = scenes.jumble(seed, rate, faces, missing, irregular)
    whole = Tracks([record(frames)], scenes.TIME_BASE, point)
    first = frames[int(start * (len(frames) - 1))].pts
    window = [frame.pts for frame in frames if first <= frame.pts <= first + seconds * scenes.TICKS]
    reach = int(REACH_S * scenes.TICKS)
    near = [frame for frame in frames if window[0] - reach <= frame.pts <= window[-1] + reach]
    part = Tracks([record(near)], scenes.TIME_BASE, point)
    for pts in window:
        here, there = part.faces_at(pts), whole.faces_at(pts)
        assert [len(numbers(face)) for face in here] == [len(numbers(face)) for face in there]
        for one, other in zip(here, there, strict=True):
            assert numbers(one) == pytest.approx(numbers(other), rel=0, abs=1e-9)


@pytest.mark.parametrize(
    ("redacts", "confident", "shown"), [(True, 0.7, 2), (True, 0.6, 1), (False, 0.7, 1)]
)
def test_a_redaction_accepts_less_near_a_confident_face(
    redacts: bool, confident: float, shown: int
) -> None:
    frame = FrameFaces(0, faces=(candidate(10.0, score=0.22), candidate(300.0, score=confident)))
    assert len(faces_of_image(record([frame]), redacts, None)) == shown


def test_the_distances_add_up_to_no_more_than_the_reach() -> None:
    short = association.SHORT_S + association.MOTION_S
    smoothed = smoothing.WINDOW_S + short
    assert association.GAP_S + short <= REACH_S
    assert association.GAP_S + tracklets.BESIDE_GAP_S <= REACH_S
    assert interpolation.CONFIDENT_S + short <= REACH_S
    assert LONGEST_HOLD_S + short <= REACH_S
    assert (
        smoothed + max(interpolation.FADE_S, interpolation.EASE_S, interpolation.SPREAD_S)
        <= REACH_S
    )
    assert max(interpolation.FADE_S, 3 * interpolation.STEP_S) <= association.SHORT_S


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([1.0, 3.0, 12.5, 30.0, 120.0]),
    missing=st.sampled_from([0.05, 0.3, 0.6]),
    irregular=st.booleans(),
    hold_s=st.sampled_from([0.0, 0.3]),
)
def test_a_redaction_covers_every_detection(
    seed: int, rate: float, missing: float, irregular: bool, hold_s: float
) -> None:
    """Accepted detections and those associated with them near by are covered whole, however
    they were smoothed, duplicated or missed."""
    for frames in (scenes.jumble(seed, rate, 2, missing, irregular, 1.0), scenes.glimpses(seed)):
        records = [record(frames)]
        tracks = Tracks(records, scenes.TIME_BASE, replace(REDACTION, hold_s=hold_s))
        for pts, seen in boxes_to_cover(records):
            redacted = next(
                face for face in tracks.faces_at(pts) if union(face.box, seen) == face.box
            )
            x1, y1, x2, y2 = seen
            area = covered_area(redacted, BOX_COVERING_SCALE)
            assert area.factor_to_reach([(x1, y1), (x2, y1), (x1, y2), (x2, y2)]) <= 1


def boxes_to_cover(records: list[Faces]) -> list[tuple[int, Box]]:
    """The pts and box of each candidate that is accepted, or associated with an accepted one at
    most 0.7 s away."""
    candidates = association.Candidates.of(records, scenes.TIME_BASE, REDACTION.discard)
    covered = []
    for chain in tracklets.tracks_of(association.associate(candidates).after):
        rows = candidates.row[chain]
        confident = candidates.times[rows[candidates.scores[chain] >= REDACTION.accept]]
        for node, row in zip(chain, rows, strict=True):
            if (
                len(confident)
                and np.abs(confident - candidates.times[row]).min() <= interpolation.CONFIDENT_S
            ):
                x1, y1, x2, y2 = candidates.shapes[node, :4].tolist()
                covered.append((int(candidates.pts[row]), (x1, y1, x2, y2)))
    return covered


def test_low_confidence_over_several_gaps_is_redacted() -> None:
    """A face that only a low-confidence one in between connects with a confident one."""
    frames = [
        FrameFaces(
            t, faces=(candidate(100.0 + 25 * max(0, t - 10) / 6, score=0.9 if t <= 10 else 0.2),)
        )
        if t <= 10 or t in {16, 22, 28}
        else FrameFaces(t)
        for t in range(60)
    ]
    assert all(Tracks([record(frames)], TIME_BASE, REDACTION).faces_at(t) for t in (16, 22, 28))


def numbers(face: Face) -> list[float]:
    head = face.head
    pose = [head.x, head.y, head.size, head.yaw, head.pitch, head.roll] if head else []
    return [*face.box, *face.landmarks, face.score, face.opacity, face.margin, *pose]


@pytest.mark.parametrize("hold_s", [0.0, 0.1, 0.5, LONGEST_HOLD_S])
def test_a_redaction_is_held_for_hold_s(hold_s: float) -> None:
    frames = walk(90, missing=frozenset(range(30)) | frozenset(range(60, 90)))
    tracks = Tracks([record(frames)], TIME_BASE, replace(REDACTION, hold_s=hold_s))
    held = round(hold_s * 30)
    assert [t for t in range(90) if tracks.faces_at(t)] == list(range(30 - held, 60 + held))


def test_an_extrapolated_redaction_covers_the_last_and_the_predicted_position() -> None:
    frames = walk(60, missing=frozenset(range(30, 60)))
    tracks = Tracks([record(frames)], TIME_BASE, REDACTION)
    (last,), (held,) = frames[29].faces, tracks.faces_at(36)
    assert held.box[0] <= last.box[0]
    assert held.box[2] == pytest.approx(last.box[2] + 2 * 7, abs=1)
    assert held.margin > tracks.faces_at(31)[0].margin > tracks.faces_at(20)[0].margin


def test_the_margin_grows_with_speed_and_in_gaps() -> None:
    still = [FrameFaces(t, faces=(candidate(100.0),)) for t in range(60)]
    fast = [FrameFaces(t, faces=(candidate(10.0 + 8 * t),)) for t in range(60)]
    gone = walk(missing=frozenset(range(20, 36)))
    calm, moving, gap = (
        Tracks([record(frames)], TIME_BASE, REDACTION) for frames in (still, fast, gone)
    )
    assert calm.faces_at(30)[0].margin == pytest.approx(0, abs=0.1)
    assert moving.faces_at(30)[0].margin == pytest.approx(4, abs=0.5)
    assert gap.faces_at(10)[0].margin < gap.faces_at(21)[0].margin < gap.faces_at(28)[0].margin


def test_a_face_obstructed_for_most_of_a_second_continues_on_its_course() -> None:
    tracks = Tracks([record(walk(missing=frozenset(range(20, 40))))], TIME_BASE, STICKERS)
    for t in range(20, 40):
        (face,) = tracks.faces_at(t)
        assert face.box[0] == pytest.approx(10 + 2 * t, abs=2)


def test_positions_are_continuous_at_the_ends_of_a_gap() -> None:
    """At most by a fraction of the error of the detections, which is a px here."""
    jumps = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frames = [
            FrameFaces(t, faces=() if 30 <= t < 42 else (candidate(100 + float(rng.normal(0, 1))),))
            for t in range(72)
        ]
        tracks = Tracks([record(frames)], TIME_BASE, STICKERS)
        lefts = [tracks.faces_at(t)[0].box[0] for t in range(72)]
        jumps += [abs(lefts[30] - lefts[29]), abs(lefts[42] - lefts[41])]
    assert np.mean(jumps) < 0.3


def test_a_sticker_fades_with_falling_confidence() -> None:
    frames = [
        FrameFaces(t, faces=(candidate(100.0, score=0.9 if t < 30 else 0.5),)) for t in range(90)
    ]
    tracks = Tracks([record(frames)], TIME_BASE, STICKERS)
    shares = [face.opacity for t in range(30, 90) for face in tracks.faces_at(t)]
    assert shares == sorted(shares, reverse=True)
    assert 3 <= sum(0 < share < 1 for share in shares) <= 5
    assert len(shares) < 30


def test_a_sticker_fades_in_from_a_low_confidence_side_of_a_gap() -> None:
    scores = [0.5 if t < 30 else 0.9 for t in range(60)]
    frames = [
        FrameFaces(t, faces=() if 25 <= t < 35 else (candidate(100.0, score=scores[t]),))
        for t in range(60)
    ]
    tracks = Tracks([record(frames)], TIME_BASE, STICKERS)
    shares = [sum(face.opacity for face in tracks.faces_at(t)) for t in range(60)]
    assert shares[24] == 0
    assert shares[35] == 1
    assert max(abs(one - other) for one, other in pairwise(shares)) < 0.3


def test_a_sticker_passes_over_smoothly_to_another_box_on_the_same_head() -> None:
    """The more confident of two overlapping boxes ends."""
    large, small = candidate(100.0, 100.0, 60.0, 0.9), candidate(104.0, 104.0, 40.0, 0.8)
    frames = [FrameFaces(t, faces=(large, small) if t < 30 else (small,)) for t in range(60)]
    tracks = Tracks([record(frames)], TIME_BASE, STICKERS)
    shares = [{round(face.width): face.opacity for face in tracks.faces_at(t)} for t in range(60)]
    assert shares[29] == {60: 1.0}
    assert shares[40] == {40: 1.0}
    for one, other in pairwise(shares):
        assert all(abs(one.get(width, 0) - other.get(width, 0)) < 0.3 for width in (40, 60))


def test_a_candidate_that_is_not_finite_is_ignored() -> None:
    frames = walk()
    nowhere = replace(candidate(0.0), box=(math.nan, 0.0, 10.0, 10.0))
    frames[30] = FrameFaces(30, faces=(nowhere, *frames[30].faces))
    person = {(30, 1): 7}
    tracks = Tracks([record(frames)], TIME_BASE, REDACTION, lambda pts, row: person.get((pts, row)))
    assert [face.identity for face in tracks.faces_at(30)] == [7]


def test_the_identity_of_a_face_follows_from_nearby_candidates() -> None:
    frames = walk(90, missing=frozenset(range(40, 50)))
    tracks = Tracks(
        [record(frames)], TIME_BASE, REDACTION, lambda pts, row: 3 if pts == 35 else None
    )
    identities = {t: [face.identity for face in tracks.faces_at(t)] for t in range(90)}
    assert identities[0] == identities[89] == [None]
    assert identities[20] == identities[35] == identities[45] == [3]


def test_an_unknown_frame_has_no_faces() -> None:
    assert Tracks([record(walk())], TIME_BASE, STICKERS).faces_at(1000) == []
    assert Tracks([], TIME_BASE, STICKERS).faces_at(0) == []


@pytest.mark.parametrize("first", [0, 12_345_678_911])
def test_one_frame_a_second_is_associated_however_its_times_round(first: int) -> None:
    ticks = 90_000
    frames = [FrameFaces(first + t * ticks, faces=(candidate(10.0 + 2 * t),)) for t in range(10)]
    tracks = Tracks([record(frames)], Fraction(1, ticks), REDACTION)
    assert [len(tracks.faces_at(frame.pts)) for frame in frames] == [1] * 10, (
        "loose ones would be held as well"
    )
