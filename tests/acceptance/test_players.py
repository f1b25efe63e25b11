"""A saved video plays in Chromium, mpv and FFmpeg; FFmpeg's strictest options report nothing."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import pytest
from playwright.sync_api import Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from facepaint.client import Client
from facepaint.media.mp4 import codec_string, find, walk
from facepaint.settings import Settings
from facepaint.stack.stack import Stack
from tests.support.flashes import Beeps, every, make_flashing, unevenly
from tests.support.live_viewer import live_app
from tests.support.programs import run_silently

pytestmark = [pytest.mark.slow, pytest.mark.browser]

MPV = ("--no-config", "--msg-level=all=warn")

NTSC = Fraction(30_000, 1001)
LATE_S = Fraction(852, 1000)

SOURCES: dict[str, Callable[[Path], Path]] = {
    "ntsc-late-video.mp4": lambda path: make_flashing(
        path,
        every(NTSC, 3, LATE_S),
        Beeps(start_s=Fraction(8, 1000), seconds=3.8),
        tick=Fraction(1, 30_000),
    ),
    "25fps-5.1.mp4": lambda path: make_flashing(path, every(25, 3), Beeps(layout="5.1", seconds=3)),
    "60fps-mp3.mp4": lambda path: make_flashing(path, every(60, 3), Beeps("libmp3lame", seconds=3)),
    "uneven-opus.mkv": lambda path: make_flashing(
        path, unevenly(3), Beeps("libopus", seconds=3), tick=Fraction(1, 1000)
    ),
    "mono-flac.mkv": lambda path: make_flashing(
        path, every(25, 3), Beeps("flac", "mono", seconds=3)
    ),
    "late-audio.mp4": lambda path: make_flashing(
        path, every(25, 4), Beeps(start_s=Fraction(9, 4), seconds=1.7)
    ),
    "long-audio.mp4": lambda path: make_flashing(path, every(25, 2), Beeps(seconds=4)),
    "silent.mp4": lambda path: make_flashing(path, every(NTSC, 3), None, tick=Fraction(1, 30_000)),
    "everything-late.ts": lambda path: make_flashing(path, every(25, 3), Beeps(seconds=3)),
}


@dataclass(frozen=True, slots=True)
class Saved:
    """A source painted and saved twice; times are those of the saved MP4's packets."""

    mp4: Path
    mkv: Path
    frames: int
    audio: int
    starts_s: float
    ends_s: float


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a stack with a real worker."""
    home = tmp_path_factory.mktemp("players")
    with Stack(home, Settings.load(home=home), workers=1, viewer=False) as stack:
        yield Client(stack.settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the saved files, which all processes of a test session share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "played"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def saved(client: Client, folder: Path) -> Callable[[str], Saved]:
    """Paint and save a source, once for all processes of a test session."""

    def make(name: str) -> Saved:
        source = folder / name
        results = [
            source.with_name(f"{source.stem}-painted{suffix}") for suffix in (".mp4", ".mkv")
        ]
        with source.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not results[-1].exists():
                job = client.upload(SOURCES[name](source), ["sunglasses"]).job_id
                assert [client.save(job, path).check.differences for path in results] == [(), ()]
        return measured(*results)

    return make


def measured(mp4: Path, mkv: Path) -> Saved:
    with av.open(str(mp4)) as container:
        counts = dict.fromkeys(("video", "audio"), 0)
        times = []
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                counts[packet.stream.type] += 1
                start = packet.pts * packet.time_base
                times += [
                    (start, packet.stream.type),
                    (start + (packet.duration or 0) * packet.time_base, "end"),
                ]
        first = min(time for time, kind in times if kind == "video")
        return Saved(mp4, mkv, counts["video"], counts["audio"], float(first), float(max(times)[0]))


@pytest.mark.parametrize("name", SOURCES)
def test_ffmpeg_and_mpv_play_every_frame_without_a_warning(
    name: str, saved: Callable[[str], Saved]
) -> None:
    made = saved(name)
    for path in (made.mp4, made.mkv):
        shown = run_silently(
            "ffprobe", "-v", "warning", "-count_frames", "-of", "json", "-show_streams", path
        )
        video, *audio = sorted(
            json.loads(shown)["streams"], key=lambda stream: stream["codec_type"] != "video"
        )
        assert int(video["nb_read_frames"]) == made.frames
        assert len(audio) == bool(made.audio)
        strict = ("-nostdin", "-v", "warning", "-xerror", "-err_detect", "explode")
        # Unchanged timestamps: a conversion to a constant rate would hide their errors.
        unchanged = ("-map", "0", "-fps_mode", "passthrough", "-enc_time_base", "-1")
        assert not run_silently("ffmpeg", *strict, "-i", path, *unchanged, "-f", "null", "-")
        assert frames_in_mpv(path) == made.frames
    run_silently("mpv", *MPV, "--vo=null", "--ao=null", "--speed=4", made.mp4)


def frames_in_mpv(path: Path) -> int:
    """The number of frames that mpv shows."""
    folder = path.with_suffix(f"{path.suffix}.frames")
    images = ("--vo=image", "--vo-image-format=jpg", f"--vo-image-outdir={folder}")
    run_silently("mpv", *MPV, "--no-audio", "--untimed", *images, path)
    count = len(list(folder.glob("*.jpg")))
    shutil.rmtree(folder)
    return count


@pytest.mark.parametrize("name", SOURCES)
def test_the_mp4_meets_the_requirements_of_quicktime_and_phones(
    name: str, saved: Callable[[str], Saved]
) -> None:
    made = saved(name)
    data = made.mp4.read_bytes()
    boxes = {box.kind: box for box in walk(data)}
    assert list(boxes).index(b"moov") < list(boxes).index(b"mdat"), "it plays before it is complete"
    brands = data[boxes[b"ftyp"].body : boxes[b"ftyp"].end]
    assert brands[:4] == b"isom"
    assert {b"isom", b"avc1", b"mp41"} <= {brands[at : at + 4] for at in range(8, len(brands), 4)}
    profile, _, level = bytes.fromhex(codec_string(data).removeprefix("avc1."))
    assert (profile, 9 < level <= 52) == (100, True), "High profile, a level that phones know"
    with av.open(str(made.mp4)) as container:
        context = container.streams.video[0].codec_context
        assert (context.pix_fmt, context.width % 2, context.height % 2) == ("yuv420p", 0, 0)
    described = next(find(data, "moov/trak/mdia/minf/stbl/stsd"))
    assert b"colrnclx\x00\x01\x00\x01\x00\x01" in data[described.body : described.end]


def test_matroska_has_the_frame_rate_of_the_source(saved: Callable[[str], Saved]) -> None:
    with av.open(str(saved("25fps-5.1.mp4").mkv)) as container:
        assert container.streams.video[0].average_rate == 25


@pytest.fixture
def base_url(folder: Path) -> Iterator[str]:
    """Serve a page with a video element, and the saved files by byte ranges."""

    def video_page(_: Request) -> HTMLResponse:
        return HTMLResponse("<!doctype html><link rel=icon href=data:,><video></video>")

    app = Starlette(routes=[Route("/", video_page), Mount("/files", StaticFiles(directory=folder))])
    with live_app(app) as url:
        yield url


PLAY = """async (url) => {
  const video = document.querySelector('video');
  const happens = (name) => new Promise((done) => {
    video.addEventListener(name, () => done(name), { once: true });
  });
  const late = new Promise((done) => { setTimeout(() => done('still playing'), 40000); });
  const seen = () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [64, 36];
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0, 64, 36);
    return [...context.getImageData(0, 0, 64, 36).data];
  };
  const firstTime = new Promise((done) => {
    video.requestVideoFrameCallback((_, { mediaTime }) => done(mediaTime));
  });
  const failed = happens('error');
  video.src = url;
  let how = await Promise.race([happens('loadeddata'), failed, late]);
  if (how === 'error') return { how, error: video.error.message };
  const first_s = await Promise.race([firstTime, late]);
  const first = seen();
  video.playbackRate = 4;
  const ended = happens('ended');
  await video.play();
  how = await Promise.race([ended, failed, late]);
  const { duration, currentTime, videoWidth, videoHeight } = video;
  const { totalVideoFrames, corruptedVideoFrames } = video.getVideoPlaybackQuality();
  const size = [videoWidth, videoHeight];
  const frames = { total: totalVideoFrames, corrupted: corruptedVideoFrames };
  return { how, first_s, first, duration, currentTime, size, frames };
}"""


@pytest.mark.parametrize("name", SOURCES)
def test_chromium_plays_to_the_end_from_the_right_frame(
    name: str, page: Page, saved: Callable[[str], Saved]
) -> None:
    made = saved(name)
    page.goto("/")
    found = page.evaluate(PLAY, f"/files/{made.mp4.name}")
    assert found["how"] == "ended", found
    assert found["frames"] == {"total": made.frames, "corrupted": 0}
    assert found["size"] == [320, 180]
    assert found["first_s"] == pytest.approx(made.starts_s, abs=0.001)
    assert found["duration"] == pytest.approx(made.ends_s, abs=0.05)
    assert found["currentTime"] == pytest.approx(made.ends_s, abs=0.05)
    with av.open(str(made.mp4)) as container:
        frame = next(container.decode(video=0)).reformat(64, 36, "rgba", interpolation="AREA")
    expected = frame.to_ndarray().reshape(-1)
    pairs = zip(expected, found["first"], strict=True)
    mean_error = sum(abs(int(a) - b) for a, b in pairs) / len(expected)
    assert mean_error < 6
