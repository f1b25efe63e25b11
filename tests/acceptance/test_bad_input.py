"""Input that cannot be painted is refused in one line that names it, and leaves no job behind."""

import functools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.image_files import png_claiming
from tests.support.programs import run_facepaint


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def random_bytes(folder: Path) -> Path:
    path = folder / "random.mp4"
    path.write_bytes(os.urandom(50_000))
    return path


def text(folder: Path) -> Path:
    path = folder / "letter.mp4"
    path.write_text("Dear reader,\nthis is not a video.\n")
    return path


def script_naming_a_neighbour(folder: Path) -> Path:
    make_portrait_clip(folder / "neighbour.mp4", seconds=1)
    path = folder / "script.mp4"
    path.write_text("ffconcat version 1.0\nfile neighbour.mp4\n")
    return path


def playlist_naming_a_neighbour(folder: Path) -> Path:
    make_portrait_clip(folder / "neighbour.mp4", seconds=1)
    path = folder / "list.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nneighbour.mp4\n#EXT-X-ENDLIST\n")
    return path


def audio_only(folder: Path) -> Path:
    path = folder / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for number in range(40):
            frame.pts, frame.sample_rate = number * 1024, 48000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def without_index(folder: Path) -> Path:
    whole = make_portrait_clip(folder / "whole.mp4", seconds=1).read_bytes()
    path = folder / "headless.mp4"
    path.write_bytes(whole[: whole.index(b"moov") - 4])
    return path


def missing(folder: Path) -> Path:
    return folder / "nowhere.mp4"


def folder_instead(folder: Path) -> Path:
    path = folder / "holiday"
    path.mkdir()
    return path


def giant_image(folder: Path) -> Path:
    path = folder / "giant.png"
    path.write_bytes(png_claiming(60000, 60000))
    return path


BAD = [
    text,
    without_index,
    missing,
    *(
        pytest.param(make, marks=pytest.mark.slow)
        for make in (
            empty,
            random_bytes,
            script_naming_a_neighbour,
            playlist_naming_a_neighbour,
            audio_only,
            folder_instead,
            giant_image,
        )
    ),
]


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def facepaint(settings: Settings) -> Run:
    """Run the command line with the services of the test."""
    return functools.partial(run_facepaint, environment=settings.environment())


def assert_refused(
    done: subprocess.CompletedProcess[str], store: Store, code: int, *words: str
) -> None:
    assert done.returncode == code, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in done.stderr
    assert not list(store.list("jobs/"))


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_upload_refuses_bad_input(
    make: Callable[[Path], Path], facepaint: Run, store: Store, tmp_path: Path
) -> None:
    path = make(tmp_path)
    assert_refused(facepaint("upload", path, "--filter", "blur"), store, 3, path.name)


@pytest.mark.parametrize("out", [None, "out.mp4", "results"], ids=["no out", "a file", "a folder"])
@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_run_refuses_bad_input_and_writes_nothing(
    make: Callable[[Path], Path], out: str | None, facepaint: Run, store: Store, tmp_path: Path
) -> None:
    path = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    options = [] if out is None else ["-o", tmp_path / out]
    assert_refused(facepaint("run", path, *options), store, 3, path.name)
    assert sorted(tmp_path.iterdir()) == before


def test_run_names_every_bad_input(facepaint: Run, tmp_path: Path) -> None:
    done = facepaint("run", text(tmp_path), missing(tmp_path), "-o", tmp_path / "results")
    assert done.returncode == 3
    first, second = done.stderr.strip().splitlines()
    assert "letter.mp4" in first
    assert "nowhere.mp4" in second
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("out", "result"),
    [(None, "clip-painted.mp4"), ("out.mp4", "out.mp4")],
    ids=["no out", "a file"],
)
def test_run_paints_the_good_input_next_to_a_bad_one(
    out: str | None, result: str, facepaint: Run, tmp_path: Path
) -> None:
    """For a folder as output see `test_run.py`."""
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=1)
    options = [] if out is None else ["-o", tmp_path / out]
    done = facepaint("run", text(tmp_path), clip, *options)
    assert done.returncode == 3, done.stderr
    assert "letter.mp4" in done.stderr.strip().splitlines()[-1]
    assert (tmp_path / result).is_file()


def test_a_sticker_that_cannot_be_read_is_refused(
    facepaint: Run, store: Store, tmp_path: Path
) -> None:
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=1)
    (tmp_path / "text.png").write_text("not an image")
    for sticker in (tmp_path / "text.png", tmp_path / "missing.png"):
        done = facepaint("upload", clip, "--filter", f"sticker:{sticker}")
        assert_refused(done, store, 3, sticker.name)


def test_an_unreachable_service_is_reported_in_one_line(settings: Settings, tmp_path: Path) -> None:
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=1)
    unreachable = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"})
    done = run_facepaint("upload", clip, environment=unreachable.environment())
    assert done.returncode == 4
    assert len(done.stderr.strip().splitlines()) == 1
    assert "facepaint doctor" in done.stderr
