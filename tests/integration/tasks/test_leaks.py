"""No frame of a video shows a redacted face: cut, detected, painted and compared with the ground
truth."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.leaks import Truth, green, redacted, scored, truth_of
from benchmarks.motion import SIZE, grainy, write_clip
from benchmarks.pipeline import cut_clip
from benchmarks.redaction_scenes import SCENES
from filters.face import Face

FACE = Face(
    (200.0, 100.0, 300.0, 230.0),
    (230.0, 150.0, 270.0, 150.0, 250.0, 170.0, 235.0, 200.0, 265.0, 200.0),
    1.0,
)


@pytest.mark.parametrize(
    "name",
    [
        "leaving the frame",
        pytest.param("dashing", marks=pytest.mark.slow),
        pytest.param("turning", marks=pytest.mark.slow),
        pytest.param("in the dark", marks=pytest.mark.slow),
        pytest.param("cuts and flashes", marks=pytest.mark.slow),
        pytest.param("behind a pillar", marks=pytest.mark.slow),
    ],
)
def test_no_frame_leaks(name: str, tmp_path: Path) -> None:
    """At twice the scene's speed, which is faster to test and harder to redact."""
    (scene,) = (each for each in SCENES if each.name == name)
    shots = scene.shots[::2]
    clip = cut_clip(write_clip(tmp_path / "scene.mp4", grainy(shot.frame() for shot in shots)), 1.0)
    frames, _ = redacted(clip)
    score = scored(truth_of(shots), [green(frame) for frame in frames], 0.0)
    assert score.faces > 25
    assert (score.leaking, score.partly) == ([], [])


def test_an_uncovered_landmark_or_a_tenth_of_the_face_is_a_leak() -> None:
    everything = np.ones(SIZE[::-1], np.bool_)
    box = everything & False
    box[100:230, 200:300] = True
    eye_shows, chin_shows, edge_shows = box.copy(), box.copy(), box.copy()
    eye_shows[149:152, 229:232] = False
    chin_shows[212:, :] = False
    edge_shows[:105] = False
    cases = {
        "covered": box,
        "eye": eye_shows,
        "chin": chin_shows,
        "edge": edge_shows,
        "nothing": ~everything,
    }
    leaking = {
        why: scored([Truth((FACE,), everything)], [mask], 0.0).leaking
        for why, mask in cases.items()
    }
    assert leaking == {"covered": [], "eye": [0], "chin": [], "edge": [], "nothing": [0]}
    chin_shows[190:, :] = False
    assert scored([Truth((FACE,), everything)], [chin_shows], 0.0).leaking == [0]


def test_the_obstructed_part_of_a_face_need_not_be_covered() -> None:
    unobstructed = np.ones(SIZE[::-1], np.bool_)
    unobstructed[:, 180:260] = False
    covered = np.zeros(SIZE[::-1], np.bool_)
    covered[:, 260:] = True
    score = scored([Truth((FACE,), unobstructed)], [covered], 0.0)
    assert (score.faces, score.leaking, score.partly) == (0, [], [])
