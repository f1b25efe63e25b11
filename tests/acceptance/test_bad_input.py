"""What cannot be painted is refused in one line that names it, with the right exit code, and leaves
no job behind."""

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.settings import Settings
from facepaint.store import Store


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size its data does not have."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


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
    path.write_text("Dear reader,\nthis is no video.\n")
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


def without_its_index(folder: Path) -> Path:
    whole = make_portrait_clip(folder / "whole.mp4", seconds=1).read_bytes()
    path = folder / "headless.mp4"
    path.write_bytes(whole[: whole.index(b"moov") - 4])
    return path


def missing(folder: Path) -> Path:
    return folder / "nowhere.mp4"


def a_folder(folder: Path) -> Path:
    path = folder / "holiday"
    path.mkdir()
    return path


def giant_picture(folder: Path) -> Path:
    path = folder / "giant.png"
    path.write_bytes(png_claiming(60000, 60000))
    return path


BAD = [
    text,
    without_its_index,
    missing,
    *(
        pytest.param(make, marks=pytest.mark.slow)
        for make in (
            empty,
            random_bytes,
            script_naming_a_neighbour,
            playlist_naming_a_neighbour,
            audio_only,
            a_folder,
            giant_picture,
        )
    ),
]


def facepaint(
    settings: Settings, *arguments: object, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "facepaint", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **settings.environment()},
        check=False,
    )


def upload(settings: Settings, *arguments: object) -> subprocess.CompletedProcess[str]:
    return facepaint(settings, "upload", *arguments)


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
def test_bad_input(
    make: Callable[[Path], Path], settings: Settings, store: Store, tmp_path: Path
) -> None:
    path = make(tmp_path)
    assert_refused(upload(settings, path, "--filter", "blur"), store, 3, path.name)


@pytest.mark.parametrize("out", [None, "out.mp4", "results"], ids=["no out", "a file", "a folder"])
@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_run_refuses_bad_input(
    make: Callable[[Path], Path], out: str | None, settings: Settings, store: Store, tmp_path: Path
) -> None:
    path = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    options = [] if out is None else ["-o", tmp_path / out]
    assert_refused(facepaint(settings, "run", path, *options), store, 3, path.name)
    assert sorted(tmp_path.iterdir()) == before


def test_run_names_every_bad_input(settings: Settings, tmp_path: Path) -> None:
    done = facepaint(settings, "run", text(tmp_path), missing(tmp_path), "-o", tmp_path / "results")
    assert done.returncode == 3
    first, second = done.stderr.strip().splitlines()
    assert "letter.mp4" in first
    assert "nowhere.mp4" in second
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("out", "result"),
    [(None, "clip-painted.mp4"), ("out.mp4", "out.mp4"), ("results", "results/clip-painted.mp4")],
    ids=["no out", "a file", "a folder"],
)
def test_run_paints_the_good_input_beside_a_bad_one(
    out: str | None, result: str, settings: Settings, tmp_path: Path
) -> None:
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=1)
    options = [] if out is None else ["-o", tmp_path / out]
    done = facepaint(settings, "run", text(tmp_path), clip, *options, timeout_s=170)
    assert done.returncode == 3, done.stderr
    assert "letter.mp4" in done.stderr.strip().splitlines()[-1]
    assert (tmp_path / result).is_file()


def test_an_unknown_filter_names_the_nearest(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=1)
    assert_refused(
        upload(settings, clip, "--filter", "sunglases"), store, 2, "sunglases", "sunglasses"
    )


@pytest.mark.slow
def test_a_sticker_that_is_no_picture(settings: Settings, store: Store, tmp_path: Path) -> None:
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=1)
    sticker = tmp_path / "sticker.png"
    sticker.write_text("no picture")
    assert_refused(
        upload(settings, clip, "--filter", f"sticker:{sticker}"), store, 3, "sticker.png"
    )


def test_a_missing_sticker(settings: Settings, store: Store, tmp_path: Path) -> None:
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=1)
    assert_refused(
        upload(settings, clip, "--filter", f"sticker:{tmp_path}/no.png"), store, 3, "no.png"
    )


def test_no_service_is_said_in_one_line(settings: Settings, tmp_path: Path) -> None:
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=1)
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"})
    done = upload(away, clip)
    assert done.returncode == 4
    assert len(done.stderr.strip().splitlines()) == 1
    assert "facepaint doctor" in done.stderr
