"""Real files, cut and decoded as workers do: frames, times, pictures and sound are those of an
ordinary decode."""

import itertools
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import pytest

from benchmarks.clips import scenes
from facepaint.records.segment import AudioPacket
from tests.support.clips import CLIPS, Clip, Media
from tests.support.clips.ordinary import Frame, audio_packets, decode_ordinarily
from tests.support.clips.write import Sound, Video, portrait, write_clip
from tests.support.cut_clip import CutClip, cut_clip

LENGTHS_S = (0.5, 2, 7)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(clip, id=name, marks=() if clip.quick else pytest.mark.slow)
        for name, clip in CLIPS.items()
    ],
)
def clip(request: pytest.FixtureRequest) -> Clip:
    """Every clip of the torture set; `make test` cuts one of each way to be awkward."""
    chosen: Clip = request.param
    return chosen


@lru_cache(maxsize=1)
def shown(clip: Clip, path: Path) -> list[Frame]:
    """What a player shows of a clip."""
    return clip.decode(path)


def assert_seams_hold(cut: CutClip, segments: list[list[Frame]], whole: list[Frame]) -> None:
    """Windows abut, and on either side of each border stand two frames that are neighbours in the
    whole."""
    for before, after in itertools.pairwise(cut.records):
        assert before.end == after.start
    for record, frames in zip(cut.records, segments, strict=True):
        assert all(time is not None and record.start <= time < record.end for time, _ in frames)
    for earlier, later in itertools.pairwise(frames for frames in segments if frames):
        at = whole.index(earlier[-1])
        assert whole[at + 1] == later[0]


def assert_sound_is_whole(cut: CutClip, expected: list[list[tuple[AudioPacket, str]]]) -> None:
    """Every packet, bit for bit at its time. A track may end within its last one, of which demuxers
    tell the whole."""
    for heard, wanted in zip(cut.audio(), expected, strict=True):
        assert heard[:-1] == wanted[:-1]
        (last, data), (whole, wanted_data) = heard[-1], wanted[-1]
        assert (replace(last, duration=whole.duration), data) == (whole, wanted_data)
        assert 0 <= last.duration <= whole.duration


@pytest.mark.parametrize("segment_s", LENGTHS_S)
def test_workers_see_what_a_player_sees(clip: Clip, segment_s: float, media: Media) -> None:
    path = media(clip.name)
    cut, ordinary = cut_clip(path, segment_s), shown(clip, path)
    segments = [cut.frames(index) for index in range(len(cut.segments))]
    seen = [frame for frames in segments for frame in frames]
    if clip.untimed:
        assert [picture for _, picture in seen] == [picture for _, picture in ordinary]
    else:
        assert seen == ordinary
    assert_seams_hold(cut, segments, seen)
    assert_sound_is_whole(cut, [] if clip.unheard else audio_packets(path))
    assert cut.truncated == clip.truncated
    if segment_s < 1 and len(ordinary) > 1:
        assert len(cut.segments) > 1, "else there is no seam to see"


def test_of_frames_with_one_time_the_first_is_shown(tmp_path: Path) -> None:
    """No player shows both, and no encoder takes both."""
    path = tmp_path / "doubled.mkv"
    times = [0, 40, 80, 80, 120, 160, 160, 160, 200]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuvj420p"
        for time, picture in zip(
            times, scenes(len(times) / 25, (160, 90), Fraction(25)), strict=True
        ):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            for packet in stream.encode(frame):
                packet.time_base, packet.pts, packet.dts = Fraction(1, 1000), time, time
                container.mux(packet)
    ordinary = decode_ordinarily(path)
    assert [time for time, _ in ordinary] == times
    first = {time: (time, picture) for time, picture in reversed(ordinary)}
    assert cut_clip(path, 2).all_frames() == [first[time] for time in sorted(set(times))]


@pytest.mark.parametrize(
    ("name", "codec", "sound"), [("a.ts", "libx264", "aac"), ("a.mpg", "mpeg2video", "mp2")]
)
@pytest.mark.parametrize("segment_s", [0.5, 7])
def test_recordings_one_behind_the_other(
    name: str, codec: str, sound: str, segment_s: float, tmp_path: Path
) -> None:
    """Broadcasts, cameras and DVDs leave such files: the times of each begin anew, a player shows
    them in a row."""
    once = tmp_path / name
    write_clip(once, portrait(2), Video(codec, {"bf": "2"}), [Sound(sound, 2)])
    thrice = tmp_path / f"thrice-{name}"
    thrice.write_bytes(once.read_bytes() * 3)
    cut = cut_clip(thrice, segment_s)
    frames = cut.all_frames()
    assert [picture for _, picture in frames] == [
        picture for _, picture in decode_ordinarily(once)
    ] * 3
    times = [time for time, _ in frames if time is not None]
    gaps = [
        (after - before) * cut.probed.video.time_base for before, after in itertools.pairwise(times)
    ]
    assert max(gaps) < 0.3
    assert min(gaps) > 0
    (sounds,) = cut.audio()
    heard = [packet.pts for packet, _ in sounds if packet.pts is not None]
    assert all(before < after for before, after in itertools.pairwise(heard))
    assert len(heard) >= 3 * len(audio_packets(once)[0]) - 6, (
        "a few packets where the sound overlaps"
    )
    assert cut.truncated == ""


@pytest.mark.parametrize("changed", [False, True])
def test_a_stream_that_is_coded_in_another_way_later_on(changed: bool, tmp_path: Path) -> None:
    """Recorded streams whose sender was restarted: with the same settings, or with others sent
    along."""
    first, second = tmp_path / "first.flv", tmp_path / "second.flv"
    write_clip(first, portrait(2), Video(options={"bf": "0"}))
    write_clip(second, portrait(2), Video(options={"bf": "2" if changed else "0"}))
    both = tmp_path / "both.flv"
    both.write_bytes(first.read_bytes() + second.read_bytes()[13:])
    cut = cut_clip(both, 0.5)
    pictures = [picture for _, picture in cut.all_frames()]
    expected = decode_ordinarily(first) + decode_ordinarily(second)
    assert pictures == [picture for _, picture in expected]
    assert cut.truncated == ""


@pytest.mark.slow
@pytest.mark.clips
@pytest.mark.parametrize("segment_s", LENGTHS_S)
def test_real_clips(clips: Path, segment_s: float) -> None:
    files = sorted(
        path for path in clips.iterdir() if path.suffix in {".mp4", ".mov", ".mkv", ".webm"}
    )
    assert files
    for path in files:
        cut = cut_clip(path, segment_s)
        segments = [cut.frames(index) for index in range(len(cut.segments))]
        seen = [frame for frames in segments for frame in frames]
        assert seen == decode_ordinarily(path)
        assert_seams_hold(cut, segments, seen)
        assert_sound_is_whole(cut, audio_packets(path))
        assert cut.truncated == ""
