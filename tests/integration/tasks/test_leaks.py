"""No frame of a video shows a face that was to be hidden: cut, detected and painted, and held
against the truth."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.hidden_scenes import SCENES
from benchmarks.leaks import Seen, green, painted, scored
from benchmarks.motion import SIZE, cut_clip, grainy, write_clip
from filters.face import Face

FACE = Face(
    (200.0, 100.0, 300.0, 230.0),
    (230.0, 150.0, 270.0, 150.0, 250.0, 170.0, 235.0, 200.0, 265.0, 200.0),
    1.0,
)


@pytest.mark.parametrize(
    "name",
    [
        "leaving the picture",
        pytest.param("dashing", marks=pytest.mark.slow),
        pytest.param("turning", marks=pytest.mark.slow),
        pytest.param("in the dark", marks=pytest.mark.slow),
        pytest.param("cuts and flashes", marks=pytest.mark.slow),
        pytest.param("behind a pillar", marks=pytest.mark.slow),
    ],
)
def test_no_frame_leaks(name: str, tmp_path: Path) -> None:
    """At twice the scene's speed: that is quicker, and harder."""
    (scene,) = (one for one in SCENES if one.name == name)
    shots = scene.shots[::2]
    clip = cut_clip(
        write_clip(tmp_path / "scene.mp4", grainy(shot.picture() for shot in shots)), 1.0
    )
    frames, _ = painted(clip)
    truth = [Seen((shot.face,) if shot.face else (), shot.unobstructed()) for shot in shots]
    score = scored(truth, [green(frame) for frame in frames], 0.0)
    assert score.faces > 25
    assert (score.leaking, score.partly) == ([], [])


def test_what_counts_as_a_leak() -> None:
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
        why: scored([Seen((FACE,), everything)], [mask], 0.0).leaking for why, mask in cases.items()
    }
    assert leaking == {"covered": [], "eye": [0], "chin": [], "edge": [], "nothing": [0]}
    chin_shows[190:, :] = False
    assert scored([Seen((FACE,), everything)], [chin_shows], 0.0).leaking == [0]


def test_what_something_else_hides_need_not_be_covered() -> None:
    seen = np.ones(SIZE[::-1], np.bool_)
    seen[:, 180:260] = False
    covered = np.zeros(SIZE[::-1], np.bool_)
    covered[:, 260:] = True
    score = scored([Seen((FACE,), seen)], [covered], 0.0)
    assert (score.faces, score.leaking, score.partly) == (0, [], [])
