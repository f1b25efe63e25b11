"""FFmpeg's programs play a job's HLS playlist, growing or complete, without a warning."""

import json
import os
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.helpers import eventually
from tests.support.live_viewer import live_viewer
from tests.support.made_job import RATE, MadeJob, make_audio, plain_job, uneven_job
from tests.support.programs import find_program, run_silently
from viewer.save.video import save_video

pytestmark = pytest.mark.slow

TICK_S = 1e-6
"""FFmpeg prints times to the microsecond."""


@pytest.fixture
def url(settings: Settings, store: Store) -> Iterator[str]:
    """The address of a viewer."""
    with live_viewer(settings, store) as url:
        yield url


def playlist(url: str, made: MadeJob) -> str:
    return f"{url}jobs/{made.id}/{made.look.id}/master.m3u8"


PROBE = ("ffprobe", "-v", "warning", "-of", "json", "-show_entries", "packet=codec_type,pts_time")


def times_of(printed: str) -> dict[str, list[float]]:
    """The presentation times of video and audio packets, sorted."""
    packets = json.loads(printed)["packets"]
    kinds = ("video", "audio")
    return {
        kind: sorted(float(p["pts_time"]) for p in packets if p["codec_type"] == kind)
        for kind in kinds
    }


JOBS: dict[str, Any] = {
    "even": {},
    "audio 0.844 s before the video": {"start_s": Fraction(-844, 1000), "seconds": 8.8},
    "audio from 2.5 s to 5.5 s": {"start_s": Fraction(5, 2), "seconds": 3.0},
    "audio 3 s longer than the video": {"seconds": 11.0},
    "MP3": {"codec": "libmp3lame"},
}


@pytest.mark.parametrize("name", JOBS)
def test_the_playlist_has_the_times_of_the_saved_file(
    name: str, url: str, store: Store, tmp_path: Path
) -> None:
    made = plain_job(store, audio=[make_audio(**JOBS[name])]).complete()
    saved = save_video(store, made.id, made.look.id, tmp_path / "saved.mp4").path

    there, here = (
        times_of(run_silently(*PROBE, saved)),
        times_of(run_silently(*PROBE, playlist(url, made))),
    )

    offset_s = there["video"][-1] - here["video"][-1]
    video = [time + offset_s for time in here["video"]]
    # The first frame is shown during audio that starts before it.
    held_s = there["video"][0] - video[0]
    assert held_s == pytest.approx(0.844 if "before" in name else 0, abs=float(made.time_base))
    assert video[1:] == pytest.approx(there["video"][1:], abs=2 * TICK_S)
    if "MP3" in name or "from" in name:
        return
    audio = [time + offset_s for time in here["audio"]]
    assert audio == pytest.approx(there["audio"][-len(audio) :], abs=1.5 / RATE)
    assert len(there["audio"]) - len(audio) <= 2, "only the encoder's priming is missing"


def test_uneven_times_are_those_of_the_saved_file(url: str, store: Store, tmp_path: Path) -> None:
    made = uneven_job(store).complete()
    saved = save_video(store, made.id, made.look.id, tmp_path / "saved.mp4").path

    there, here = (
        times_of(run_silently(*PROBE, saved)),
        times_of(run_silently(*PROBE, playlist(url, made))),
    )

    offset_s = there["video"][0] - here["video"][0]
    video = [time + offset_s for time in here["video"]]
    assert video == pytest.approx(there["video"], abs=2 * TICK_S)


def test_ffprobe_follows_a_growing_playlist_to_its_end(
    url: str, store: Store, tmp_path: Path
) -> None:
    made = plain_job(store, audio=[make_audio()]).begin()
    made.upload(range(2))
    made.detect(range(2))
    made.paint([0])
    command = [find_program("ffprobe"), *PROBE[1:], playlist(url, made)]
    with (
        (tmp_path / "stderr").open("w+") as stderr,
        (tmp_path / "stdout").open("w+") as stdout,
        subprocess.Popen(command, stdout=stdout, stderr=stderr) as probing,
    ):
        eventually(lambda: (tmp_path / "stdout").read_text().count("pts_time") > 40, 30)
        made.upload([2, 3])
        made.paint([1, 2])
        made.seal()
        made.paint([3])
        assert probing.wait(60) == 0
    # FFmpeg reads the same init segment after each reload of the playlist, and warns.
    warnings = [
        line
        for line in (tmp_path / "stderr").read_text().splitlines()
        if "duplicated MOOV" not in line
    ]
    assert warnings == []
    times = times_of((tmp_path / "stdout").read_text())
    assert times["video"] == pytest.approx([number / 25 for number in range(200)], abs=2 * TICK_S)
    assert times["audio"] == sorted(set(times["audio"]))
    assert times["audio"][-1] == pytest.approx(8, abs=0.05)


def test_ffplay_plays_the_playlist_without_a_warning(url: str, store: Store) -> None:
    made = plain_job(store, 3.0, audio=[make_audio(seconds=3.0)]).complete()
    command = [find_program("ffplay"), "-v", "warning", "-nodisp", "-autoexit", playlist(url, made)]
    quiet = {**os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=quiet
    )

    assert (done.returncode, done.stderr.strip()) == (0, "")
