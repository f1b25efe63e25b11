"""Tracks: faces are linked, bridged and smoothed, and the result does not depend on where the video was cut."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from facepaint.jobs import REACH_S, Candidate, Faces, FrameFaces
from tasks.track import HIDING, STICKERS, Tracks, WorkingPoint

TIME_BASE = Fraction(1, 30)


def candidate(x: float, y: float = 100.0, size: float = 50.0, score: float = 0.9) -> Candidate:
    points = [
        (x + size * dx, y + size * dy) for dx, dy in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    ]
    return Candidate(score, (x, y, x + size, y + size), tuple(value for point in points for value in point))


def record(frames: list[FrameFaces], index: int = 0) -> Faces:
    return Faces(index, tuple(frames), "test", "cpu")


def walk(length: int = 60, missing: frozenset[int] = frozenset(), score: float = 0.9) -> list[FrameFaces]:
    return [FrameFaces(t, faces=() if t in missing else (candidate(10.0 + 2 * t, score=score),)) for t in range(length)]


def test_a_steady_face_is_in_every_frame() -> None:
    tracks = Tracks([record(walk())], TIME_BASE, STICKERS)
    assert [len(tracks.faces_at(t)) for t in range(60)] == [1] * 60


def test_a_short_gap_is_bridged_in_place() -> None:
    tracks = Tracks([record(walk(missing=frozenset(range(20, 28))))], TIME_BASE, STICKERS)
    (face,) = tracks.faces_at(24)
    assert face.box[0] == pytest.approx(10 + 2 * 24, abs=1.5)


def test_a_long_gap_is_no_face() -> None:
    tracks = Tracks([record(walk(80, missing=frozenset(range(20, 50))))], TIME_BASE, STICKERS)
    assert tracks.faces_at(35) == []
    assert len(tracks.faces_at(19)) == 1
    assert len(tracks.faces_at(50)) == 1


def test_a_doubtful_face_gets_no_sticker_but_is_hidden() -> None:
    frames = [record(walk(score=0.4))]
    assert Tracks(frames, TIME_BASE, STICKERS).faces_at(30) == []
    assert len(Tracks(frames, TIME_BASE, HIDING).faces_at(30)) == 1


def test_a_doubtful_frame_of_a_sure_face_keeps_its_sticker() -> None:
    frames = walk()
    frames[30] = FrameFaces(30, faces=(candidate(10.0 + 60, score=0.4),))
    assert len(Tracks([record(frames)], TIME_BASE, STICKERS).faces_at(30)) == 1


def test_hiding_goes_on_a_little_before_and_after() -> None:
    frames = walk(missing=frozenset(range(20)) | frozenset(range(40, 60)))
    tracks = Tracks([record(frames)], TIME_BASE, HIDING)
    shown = [t for t in range(60) if tracks.faces_at(t)]
    assert shown == list(range(20 - 9, 40 + 9))


def test_what_is_hidden_covers_where_the_face_was_seen() -> None:
    rng = np.random.default_rng(1)
    frames = [FrameFaces(t, faces=(candidate(100 + float(rng.normal(0, 4))),)) for t in range(60)]
    tracks = Tracks([record(frames)], TIME_BASE, HIDING)
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


def test_no_link_crosses_a_cut() -> None:
    frames = [FrameFaces(t, faces=() if 24 <= t < 36 else (candidate(100.0),)) for t in range(60)]
    assert len(Tracks([record(frames)], TIME_BASE, STICKERS).faces_at(30)) == 1
    frames[30] = FrameFaces(30, cut=0.4)
    assert Tracks([record(frames)], TIME_BASE, STICKERS).faces_at(30) == []


def test_a_sticker_goes_at_once_where_the_scene_does() -> None:
    frames = walk(missing=frozenset(range(30, 60)))
    fading = Tracks([record(frames)], TIME_BASE, STICKERS)
    shares = [face.opacity for t in range(28, 36) for face in fading.faces_at(t)]
    assert shares[:2] == [1.0, 1.0]
    assert 4 <= len(shares) <= 6
    assert shares == sorted(shares, reverse=True)
    frames[30] = FrameFaces(30, cut=0.4)
    assert Tracks([record(frames)], TIME_BASE, STICKERS).faces_at(30) == []


def test_a_flash_of_light_uncovers_nothing() -> None:
    """It looks like two cuts, and the face in it is often not found."""
    frames = walk(missing=frozenset({30}))
    frames[30], frames[31] = (replace(frame, cut=0.4) for frame in frames[30:32])
    assert all(Tracks([record(frames)], TIME_BASE, HIDING).faces_at(t) for t in range(60))


def test_a_cut_on_a_segment_border_is_seen_by_the_signatures() -> None:
    dark, light = (10,) * 144, (200,) * 144
    frames = walk(missing=frozenset(range(24, 36)))
    before = Faces(0, tuple(frames[:30]), "test", "cpu", first_signature=dark, last_signature=dark)
    after = Faces(1, tuple(frames[30:]), "test", "cpu", light, light)
    assert Tracks([before, after], TIME_BASE, STICKERS).faces_at(30) == []
    same = Faces(1, after.frames, "test", "cpu", dark, dark)
    assert len(Tracks([before, same], TIME_BASE, STICKERS).faces_at(30)) == 1


@pytest.mark.parametrize("rate", [1, 2, 3, 5, 120])
def test_a_hidden_face_missed_in_one_frame_is_hidden_there_at_any_rate(rate: int) -> None:
    frames = [FrameFaces(t, faces=() if t == 5 else (candidate(100.0),)) for t in range(12)]
    tracks = Tracks([record(frames)], Fraction(1, rate), HIDING)
    assert all(tracks.faces_at(t) for t in range(12))


@pytest.mark.parametrize("rate", [2, 30])
@pytest.mark.parametrize("point", [STICKERS, HIDING], ids=["stickers", "hiding"])
def test_the_result_is_the_same_wherever_the_video_is_cut(point: WorkingPoint, rate: int) -> None:
    """A window sees only what lies within reach of it: it must paint what the whole video would have got."""
    rng = np.random.default_rng(3)
    frames = []
    for t in range(300):
        faces = [
            candidate(40 + 120 * lane + 30 * float(np.sin(t / 20 + lane)), score=float(rng.uniform(0.16, 0.95)))
            for lane in range(3)
            if rng.uniform() > 0.25
        ]
        frames.append(FrameFaces(t, faces=tuple(faces)))
    whole = Tracks([record(frames)], Fraction(1, rate), point)
    reach = int(REACH_S * rate)
    for start in range(0, 300, 45):
        end = start + 45
        part = Tracks([record(frames[max(0, start - reach) : end + reach])], Fraction(1, rate), point)
        for t in range(start, min(end, 300)):
            here, there = part.faces_at(t), whole.faces_at(t)
            assert [face.score for face in here] == [face.score for face in there]
            for one, other in zip(here, there, strict=True):
                assert [*one.box, *one.landmarks] == pytest.approx([*other.box, *other.landmarks])


def test_a_frame_never_seen_has_no_faces() -> None:
    assert Tracks([record(walk())], TIME_BASE, STICKERS).faces_at(1000) == []
    assert Tracks([], TIME_BASE, STICKERS).faces_at(0) == []


@pytest.mark.parametrize("first", [0, 12_345_678_911])
def test_one_frame_a_second_is_linked_however_its_times_round(first: int) -> None:
    ticks = 90_000
    frames = [FrameFaces(first + t * ticks, faces=(candidate(10.0 + 2 * t),)) for t in range(10)]
    tracks = Tracks([record(frames)], Fraction(1, ticks), HIDING)
    assert [len(tracks.faces_at(frame.pts)) for frame in frames] == [1] * 10, "loose ones would be held as well"
