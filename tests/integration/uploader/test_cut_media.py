"""Real files, cut and decoded as workers do: frames, times, pixels and audio are those of an
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
from tests.support.clips.write import AudioTrack, Video, portrait, write_clip
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
    """Every clip of the set; `make test` cuts one of each kind."""
    chosen: Clip = request.param
    return chosen


@lru_cache(maxsize=1)
def shown(clip: Clip, path: Path) -> list[Frame]:
    """What a player shows of a clip."""
    return clip.decode(path)


def assert_borders_hold(cut: CutClip, segments: list[list[Frame]], whole: list[Frame]) -> None:
    """Windows have no gaps, and the frames on both sides of each border are neighbours in the
    file."""
    for before, after in itertools.pairwise(cut.records):
        assert before.end == after.start
    for record, frames in zip(cut.records, segments, strict=True):
        assert all(time is not None and record.start <= time < record.end for time, _ in frames)
    for earlier, later in itertools.pairwise(frames for frames in segments if frames):
        at = whole.index(earlier[-1])
        assert whole[at + 1] == later[0]


def assert_audio_is_whole(cut: CutClip, expected: list[list[tuple[AudioPacket, str]]]) -> None:
    """Every packet, identical and at its time.

    A track may end inside its last packet, for which demuxers report the full duration.
    """
    for cut_track, wanted in zip(cut.audio(), expected, strict=True):
        assert cut_track[:-1] == wanted[:-1]
        (last, data), (whole, wanted_data) = cut_track[-1], wanted[-1]
        assert (replace(last, duration=whole.duration), data) == (whole, wanted_data)
        assert 0 <= last.duration <= whole.duration


@pytest.mark.parametrize("segment_s", LENGTHS_S)
def test_workers_see_what_a_player_sees(clip: Clip, segment_s: float, media: Media) -> None:
    path = media(clip.name)
    cut, ordinary = cut_clip(path, segment_s), shown(clip, path)
    segments = [cut.frames(index) for index in range(len(cut.segments))]
    seen = [frame for frames in segments for frame in frames]
    if clip.untimed:
        assert [pixels for _, pixels in seen] == [pixels for _, pixels in ordinary]
    else:
        assert seen == ordinary
    assert_borders_hold(cut, segments, seen)
    assert_audio_is_whole(cut, [] if clip.loses_audio else audio_packets(path))
    assert cut.truncated == clip.truncated
    if segment_s < 1 and len(ordinary) > 1:
        assert len(cut.segments) > 1, "else there is no border to check"


def test_of_frames_with_the_same_time_the_first_is_shown(tmp_path: Path) -> None:
    """No player shows both, and no encoder accepts both."""
    path = tmp_path / "doubled.mkv"
    times = [0, 40, 80, 80, 120, 160, 160, 160, 200]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuvj420p"
        for time, pixels in zip(
            times, scenes(len(times) / 25, (160, 90), Fraction(25)), strict=True
        ):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            for packet in stream.encode(frame):
                packet.time_base, packet.pts, packet.dts = Fraction(1, 1000), time, time
                container.mux(packet)
    ordinary = decode_ordinarily(path)
    assert [time for time, _ in ordinary] == times
    first = {time: (time, pixels) for time, pixels in reversed(ordinary)}
    assert cut_clip(path, 2).all_frames() == [first[time] for time in sorted(set(times))]


@pytest.mark.parametrize(
    ("name", "codec", "audio_codec"), [("a.ts", "libx264", "aac"), ("a.mpg", "mpeg2video", "mp2")]
)
@pytest.mark.parametrize("segment_s", [0.5, 7])
def test_concatenated_recordings(
    name: str, codec: str, audio_codec: str, segment_s: float, tmp_path: Path
) -> None:
    """Broadcasts, cameras and DVDs leave such files: the times of each recording start again, and a
    player shows them one after the other."""
    once = tmp_path / name
    write_clip(once, portrait(2), Video(codec, {"bf": "2"}), [AudioTrack(audio_codec, 2)])
    thrice = tmp_path / f"thrice-{name}"
    thrice.write_bytes(once.read_bytes() * 3)
    cut = cut_clip(thrice, segment_s)
    frames = cut.all_frames()
    assert [pixels for _, pixels in frames] == [pixels for _, pixels in decode_ordinarily(once)] * 3
    times = [time for time, _ in frames if time is not None]
    gaps = [
        (after - before) * cut.probed.video.time_base for before, after in itertools.pairwise(times)
    ]
    assert max(gaps) < 0.3
    assert min(gaps) > 0
    (track,) = cut.audio()
    cut_track = [packet.pts for packet, _ in track if packet.pts is not None]
    assert all(before < after for before, after in itertools.pairwise(cut_track))
    assert len(cut_track) >= 3 * len(audio_packets(once)[0]) - 6, (
        "a few packets where the audio overlaps"
    )
    assert cut.truncated == ""


@pytest.mark.parametrize("changed", [False, True])
def test_a_stream_whose_codec_parameters_change(changed: bool, tmp_path: Path) -> None:
    """Recorded streams whose sender was restarted, with the same codec parameters or new ones."""
    first, second = tmp_path / "first.flv", tmp_path / "second.flv"
    write_clip(first, portrait(2), Video(options={"bf": "0"}))
    write_clip(second, portrait(2), Video(options={"bf": "2" if changed else "0"}))
    both = tmp_path / "both.flv"
    both.write_bytes(first.read_bytes() + second.read_bytes()[13:])
    cut = cut_clip(both, 0.5)
    pixels = [pixels for _, pixels in cut.all_frames()]
    expected = decode_ordinarily(first) + decode_ordinarily(second)
    assert pixels == [pixels for _, pixels in expected]
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
        assert_borders_hold(cut, segments, seen)
        assert_audio_is_whole(cut, audio_packets(path))
        assert cut.truncated == ""
