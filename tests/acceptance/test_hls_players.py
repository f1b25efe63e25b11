"""FFmpeg's own programs play a job's HLS playlist, growing or complete: the times of the saved
file, and not a word."""

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
from viewer.save.save import save

pytestmark = pytest.mark.slow

TICK_S = 1e-6
"""FFmpeg prints times to the microsecond."""


@pytest.fixture
def url(settings: Settings, store: Store) -> Iterator[str]:
    """Where the viewer is."""
    with live_viewer(settings, store) as url:
        yield url


def playlist(url: str, made: MadeJob) -> str:
    return f"{url}jobs/{made.id}/{made.look.id}/master.m3u8"


PROBE = ("ffprobe", "-v", "warning", "-of", "json", "-show_entries", "packet=codec_type,pts_time")


def times_of(printed: str) -> dict[str, list[float]]:
    """The times of pictures and audio, in order."""
    packets = json.loads(printed)["packets"]
    kinds = ("video", "audio")
    return {
        kind: sorted(float(p["pts_time"]) for p in packets if p["codec_type"] == kind)
        for kind in kinds
    }


JOBS: dict[str, Any] = {
    "even": {},
    "audio 0.844 s before the picture": {"start_s": Fraction(-844, 1000), "seconds": 8.8},
    "audio from 2.5 s to 5.5 s": {"start_s": Fraction(5, 2), "seconds": 3.0},
    "audio 3 s longer than the picture": {"seconds": 11.0},
    "MP3": {"codec": "libmp3lame"},
}


@pytest.mark.parametrize("name", JOBS)
def test_ffprobe_finds_the_times_of_the_saved_file(
    name: str, url: str, store: Store, tmp_path: Path
) -> None:
    made = plain_job(store, audio=[make_audio(**JOBS[name])]).complete()
    saved = save(store, made.id, made.look.id, tmp_path / "saved.mp4").path

    there, here = (
        times_of(run_silently(*PROBE, saved)),
        times_of(run_silently(*PROBE, playlist(url, made))),
    )

    begins_s = there["video"][-1] - here["video"][-1]
    pictures = [time + begins_s for time in here["video"]]
    # Audio from before the first picture is heard while that is shown already.
    held = there["video"][0] - pictures[0]
    assert held == pytest.approx(0.844 if "before" in name else 0, abs=float(made.time_base))
    assert pictures[1:] == pytest.approx(there["video"][1:], abs=2 * TICK_S)
    if "MP3" in name or "from" in name:
        return
    heard = [time + begins_s for time in here["audio"]]
    assert heard == pytest.approx(there["audio"][-len(heard) :], abs=1.5 / RATE)
    assert len(there["audio"]) - len(heard) <= 2, (
        "nothing but what an encoder puts before the audio is left out"
    )


def test_uneven_times_are_the_saved_files(url: str, store: Store, tmp_path: Path) -> None:
    made = uneven_job(store).complete()
    saved = save(store, made.id, made.look.id, tmp_path / "saved.mp4").path

    there, here = (
        times_of(run_silently(*PROBE, saved)),
        times_of(run_silently(*PROBE, playlist(url, made))),
    )

    begins_s = there["video"][0] - here["video"][0]
    assert [time + begins_s for time in here["video"]] == pytest.approx(
        there["video"], abs=2 * TICK_S
    )


def test_a_playlist_that_grows_is_followed_to_its_end(
    url: str, store: Store, tmp_path: Path
) -> None:
    made = plain_job(store, audio=[make_audio()]).begin()
    made.upload(range(2))
    made.detect(range(2))
    made.paint([0])
    command = [find_program("ffprobe"), *PROBE[1:], playlist(url, made)]
    with (
        (tmp_path / "said").open("w+") as said,
        (tmp_path / "found").open("w+") as found,
        subprocess.Popen(command, stdout=found, stderr=said) as probing,
    ):
        eventually(lambda: (tmp_path / "found").read_text().count("pts_time") > 40, 30)
        made.upload([2, 3])
        made.paint([1, 2])
        made.seal()
        made.paint([3])
        assert probing.wait(60) == 0
    # After each reload FFmpeg reads the init part anew, whose URL is the same, and wonders at it.
    complaints = [
        line
        for line in (tmp_path / "said").read_text().splitlines()
        if "duplicated MOOV" not in line
    ]
    assert complaints == []
    times = times_of((tmp_path / "found").read_text())
    assert times["video"] == pytest.approx([number / 25 for number in range(200)], abs=2 * TICK_S)
    assert times["audio"] == sorted(set(times["audio"]))
    assert times["audio"][-1] == pytest.approx(8, abs=0.05)


def test_ffplay_plays_it_without_a_word(url: str, store: Store) -> None:
    made = plain_job(store, 3.0, audio=[make_audio(seconds=3.0)]).complete()
    command = [find_program("ffplay"), "-v", "warning", "-nodisp", "-autoexit", playlist(url, made)]
    quiet = {**os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=quiet
    )

    assert (done.returncode, done.stderr.strip()) == (0, "")
