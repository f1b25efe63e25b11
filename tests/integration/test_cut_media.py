"""Real files, cut and decoded as workers do: frames, times, pictures and sound are those of an ordinary decode."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import av
import pytest

from benchmarks.clips import make_portrait_clip, scenes
from tests.cut_clip import CutClip, audio_packets, cut_clip, decode_ordinarily
from tests.spliced import splice

LENGTHS_S = (0.5, 2, 7)

Recipe = Callable[[Path], Path]


def portrait(name: str, folder: Path, **recipe: Any) -> Path:
    """Three seconds of the portrait clip with other settings."""
    options = {"seconds": 3, "size": (320, 180), "fps": 20, "gop": 16, "audio": None, **recipe}
    return make_portrait_clip(folder / name, **options)


def uneven(folder: Path) -> Path:
    """Screen recordings look like this: bursts, gaps of seconds, one keyframe, reordered frames."""
    path = folder / "uneven.mkv"
    gaps = [0.01, 0.04, 0.5, 0.033, 3.2, 0.02, 0.02, 0.2] * 6
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "3", "g": "999", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        at = 0.0
        for gap, picture in zip(gaps, scenes(len(gaps) / 25, (320, 180), Fraction(25)), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
            at += gap
        container.mux(stream.encode(None))
    return path


def interlaced(folder: Path) -> Path:
    return portrait("interlaced.ts", folder, options={"bf": "3", "x264-params": "tff=1"})


def begins_inside_a_group(folder: Path) -> Path:
    """As recordings of broadcasts do; nobody shows what comes before the first keyframe."""
    whole = portrait("whole.ts", folder, options={"bf": "3"}).read_bytes()
    path = folder / "headless.ts"
    path.write_bytes(whole[188 * 60 :])
    return path


def spliced(folder: Path) -> Path:
    """Seconds 0 to 1.2 and 2.6 to 3.4 of a clip by an edit list: what leads up to the second part is not shown."""
    whole = portrait("to-splice.mp4", folder, options={"bf": "2"}, gop=40, seconds=4)
    return splice(whole, folder / "spliced.mp4", [(0, 1.2), (2.6, 0.8)])


def trimmed(folder: Path) -> Path:
    """As phones trim: an edit list that begins between keyframes."""
    whole = portrait("to-trim.mp4", folder, options={"bf": "2"}, gop=999, audio="aac", seconds=4)
    return splice(whole, folder / "trimmed.mp4", [(0.7, 3)])


def recipe(name: str, **options: Any) -> Recipe:
    return partial(portrait, name, **options)


RECIPES: dict[str, Recipe] = {
    "H.264, closed groups": recipe("closed.mp4", options={"bf": "3"}, audio="aac"),
    "H.264, open groups": recipe("open.mp4", options={"bf": "3", "x264-params": "open-gop=1"}, audio="aac"),
    "H.264, open groups in MPEG-TS": recipe("open.ts", options={"bf": "3", "x264-params": "open-gop=1"}, audio="mp2"),
    "H.264, intra refresh in MPEG-TS": recipe("refresh.ts", options={"bf": "0", "x264-params": "intra-refresh=1"}),
    "H.264, intra refresh": recipe("refresh.mp4", options={"bf": "0", "x264-params": "intra-refresh=1"}),
    "H.264, interlaced": interlaced,
    "H.264, one keyframe": recipe("single.mp4", options={"bf": "3"}, gop=9999, audio="aac"),
    "H.264, starting late": recipe("late.mp4", options={"bf": "3"}, start=Fraction(5, 2), audio="aac"),
    "H.264 in Flash video": recipe("video.flv", options={"bf": "2"}, audio="aac"),
    "H.264 in Matroska": recipe("video.mkv", options={"bf": "3"}, audio="flac"),
    "H.264, uneven": uneven,
    "H.264, begun inside a group": begins_inside_a_group,
    "H.264, trimmed": trimmed,
    "H.264, spliced": spliced,
    "HEVC, as x265 makes it": recipe("hevc.mp4", codec="libx265", options={"x265-params": "log-level=none"}),
    "HEVC, 10 bit": recipe(
        "hevc10.mkv", codec="libx265", options={"x265-params": "log-level=none"}, pixel_format="yuv420p10le"
    ),
    "VP8, hidden frames": recipe(
        "vp8.webm", codec="libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime"}
    ),
    "VP9": recipe("vp9.webm", codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "good", "lag-in-frames": "16"}),
    "AV1": recipe("av1.mp4", codec="libsvtav1", options={"preset": "12"}),
    "MPEG-4 in AVI": recipe("mpeg4.avi", codec="mpeg4", options={"bf": "2"}),
    "MPEG-2 in MPEG-TS, starting late": recipe(
        "mpeg2.ts", codec="mpeg2video", options={"bf": "2"}, start=Fraction(20_000), audio="mp2"
    ),
    "MPEG-2 in a program stream": recipe("mpeg2.mpg", codec="mpeg2video", options={"bf": "2"}, audio="mp2"),
    "Motion JPEG in AVI": recipe("mjpeg.avi", codec="mjpeg", pixel_format="yuvj420p"),
    "ProRes": recipe("prores.mov", codec="prores_ks", pixel_format="yuv422p10le", size=(160, 90)),
    "GIF": recipe("moving.gif", codec="gif", pixel_format="rgb8", fps=10),
}


QUICK = frozenset(
    {
        "H.264, closed groups",
        "H.264, open groups",
        "H.264, one keyframe",
        "H.264, uneven",
        "H.264, trimmed",
        "HEVC, as x265 makes it",
        "MPEG-2 in MPEG-TS, starting late",
        "MPEG-4 in AVI",
        "GIF",
    }
)
"""One of each way to be awkward; the others are for `make test-all`."""


@pytest.fixture(
    scope="module",
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES],
)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RECIPES[request.param](tmp_path_factory.mktemp("clip"))


ordinarily = lru_cache(maxsize=1)(decode_ordinarily)


def assert_cut_well(path: Path, cut: CutClip) -> None:
    """Frames, times, pictures and sound are those of the file, and nothing of it is missing."""
    assert cut.all_frames() == ordinarily(path)
    assert cut.sounds() == audio_packets(path)
    assert cut.truncated == ""
    for before, after in zip(cut.records, cut.records[1:], strict=False):
        assert before.end == after.start


@pytest.mark.parametrize("segment_s", LENGTHS_S)
def test_workers_see_what_a_player_sees(clip: Path, segment_s: float) -> None:
    cut = cut_clip(clip, segment_s)
    assert_cut_well(clip, cut)
    assert len(cut.segments) > (1 if segment_s < 1 else 0)


def test_of_frames_with_one_time_the_first_is_shown(tmp_path: Path) -> None:
    """No player shows both, and no encoder takes both."""
    path = tmp_path / "doubled.mkv"
    times = [0, 40, 80, 80, 120, 160, 160, 160, 200]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuvj420p"
        for time, picture in zip(times, scenes(len(times) / 25, (160, 90), Fraction(25)), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            for packet in stream.encode(frame):
                packet.time_base, packet.pts, packet.dts = Fraction(1, 1000), time, time
                container.mux(packet)
    ordinary = decode_ordinarily(path)
    assert [time for time, _ in ordinary] == times
    first = {time: (time, picture) for time, picture in reversed(ordinary)}
    assert cut_clip(path, 2).all_frames() == [first[time] for time in sorted(set(times))]


@pytest.mark.parametrize(("name", "codec", "sound"), [("a.ts", "libx264", "aac"), ("a.mpg", "mpeg2video", "mp2")])
@pytest.mark.parametrize("segment_s", [0.5, 7])
def test_recordings_one_behind_the_other(name: str, codec: str, sound: str, segment_s: float, tmp_path: Path) -> None:
    """Broadcasts, cameras and DVDs leave such files: the times of each begin anew, a player shows them in a row."""
    once = portrait(name, tmp_path, codec=codec, options={"bf": "2"}, audio=sound, seconds=2)
    thrice = tmp_path / f"thrice-{name}"
    thrice.write_bytes(once.read_bytes() * 3)
    cut = cut_clip(thrice, segment_s)
    frames = cut.all_frames()
    assert [picture for _, picture in frames] == [picture for _, picture in decode_ordinarily(once)] * 3
    times = [time for time, _ in frames if time is not None]
    gaps = [(after - before) * cut.probed.video.time_base for before, after in itertools.pairwise(times)]
    assert max(gaps) < 0.3
    assert min(gaps) > 0
    (sounds,) = cut.sounds()
    heard = [packet.pts for packet, _ in sounds if packet.pts is not None]
    assert all(before < after for before, after in itertools.pairwise(heard))
    assert len(heard) >= 3 * len(audio_packets(once)[0]) - 6, "a few packets where the sound overlaps"
    assert cut.truncated == ""


@pytest.mark.parametrize("changed", [False, True])
def test_a_stream_that_is_coded_in_another_way_later_on(changed: bool, tmp_path: Path) -> None:
    """Recorded streams whose sender was restarted: the same settings go on, others end the job there, and are named."""
    first = portrait("first.flv", tmp_path, options={"bf": "0"}, seconds=2)
    second = portrait("second.flv", tmp_path, options={"bf": "2" if changed else "0"}, seconds=2)
    both = tmp_path / "both.flv"
    both.write_bytes(first.read_bytes() + second.read_bytes()[13:])
    cut = cut_clip(both, 0.5)
    pictures = [picture for _, picture in cut.all_frames()]
    expected = decode_ordinarily(first) + ([] if changed else decode_ordinarily(second))
    assert pictures == [picture for _, picture in expected]
    assert cut.truncated == ("its video is coded in another way after 2.0 s" if changed else "")


@pytest.mark.slow
@pytest.mark.clips
@pytest.mark.parametrize("segment_s", LENGTHS_S)
def test_real_clips(clips: Path, segment_s: float) -> None:
    files = sorted(path for path in clips.iterdir() if path.suffix in {".mp4", ".mov", ".mkv", ".webm"})
    assert files
    for path in files:
        assert_cut_well(path, cut_clip(path, segment_s))
