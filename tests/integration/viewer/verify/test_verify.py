"""`verify` finds every difference between a source and its result, and none in a copy."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest

from facepaint.cli.app import main
from facepaint.errors import InputError, UnreadableMedia
from facepaint.media.open import track_title
from tests.support.clips.write import AudioTrack, Extras, Video, portrait, write_clip
from viewer.verify.report import VerifyReport
from viewer.verify.verify import verify

if TYPE_CHECKING:
    Packet = av.Packet[Any]

SHOWN = Video(options={"bf": "2"}, colour=(1, 1, 1, 1))
AUDIO = (
    AudioTrack(language="eng", title="Original"),
    AudioTrack(language="deu", title="Synchronfassung", pitch_hz=220),
)
EXTRAS = Extras(
    options={"movflags": "faststart"},
    tags={"title": "Eileen Collins", "comment": "STS-93"},
    chapters=((0, 1, "Before the launch"), (1, 2.5, "Orbit")),
    subtitles={"eng": ((0.2, 0.9, "We are go."), (1.3, 0.8, "Look at that!"))},
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 frames with every kind of track and metadata."""
    path = tmp_path_factory.mktemp("verify") / "source.mp4"
    write_clip(path, video=SHOWN, audio=AUDIO, extras=EXTRAS)
    return path


def same(packet: Packet, number: int) -> Packet | None:
    return packet


def copy(
    source: Path,
    out: Path,
    change: Callable[[Packet, int], Packet | None] = same,
    *,
    order: Sequence[int] | None = None,
    chapters: int = 2,
    **tags: str,
) -> Path:
    """Copy a file packet by packet. ``change`` gets each with its number in its track, and may drop
    it."""
    with (
        av.open(str(source)) as there,
        av.open(str(out), "w", options={"movflags": "faststart"}) as here,
    ):
        here.metadata.update({**there.metadata, **tags})
        here.set_chapters(there.chapters()[:chapters])
        streams = {}
        for index in order or range(4):
            stream = there.streams[index]
            streams[index] = here.add_stream_from_template(stream)
            streams[index].metadata.update({**stream.metadata, "title": track_title(stream)})
        numbers = dict.fromkeys(streams, -1)
        for packet in there.demux(*(there.streams[index] for index in streams)):
            if packet.size:
                index = packet.stream.index
                numbers[index] += 1
                kept = change(packet, numbers[index])
                if kept is not None:
                    kept.stream = streams[index]
                    here.mux_one(kept)
    return out


def kinds(found: VerifyReport) -> list[str]:
    """The names of the properties that differ."""
    return [check.name for check in found.checks if not check.passed]


def test_a_copy_has_no_differences(source: Path, tmp_path: Path) -> None:
    found = verify(source, copy(source, tmp_path / "copy.mp4"))
    assert found.passed, found.differences
    assert (found.frames, found.refused, found.concealed) == (50, 0, 0)
    assert [line for line in found.lines() if line.startswith("ok  ")] == [
        "ok   frames: 50 of 50",
        "ok   times: within 1/10240 s",
        "ok   audio: 2 tracks: 119 packets, 119 packets",
        "ok   size: 320x180, shown 1.778:1",
        "ok   colour: 1/1/1 limited range",
        "ok   tags: title, comment",
        "ok   chapters: 2",
        "ok   subtitles: 1 track: 2 lines",
    ]


def drop_frame(packet: Packet, number: int) -> Packet | None:
    return None if packet.stream.type == "video" and number == 2 else packet


def drop_first_second(packet: Packet, number: int) -> Packet | None:
    return None if packet.stream.type == "video" and number < 16 else packet


def late_frame(packet: Packet, number: int) -> Packet:
    if packet.stream.type == "video" and number == 2:
        assert packet.pts is not None
        packet.pts += 2
    return packet


def all_late(packet: Packet, number: int) -> Packet:
    if packet.stream.type == "video":
        packet.pts, packet.dts = (packet.pts or 0) + 128, (packet.dts or 0) + 128
    return packet


def other_byte(packet: Packet, number: int) -> Packet:
    if packet.stream.type == "audio" and number == 40:
        data = bytearray(bytes(packet))
        data[-1] ^= 1
        packet.update(bytes(data))
    return packet


def drop_audio(packet: Packet, number: int) -> Packet | None:
    return None if packet.stream.type == "audio" and number == 40 else packet


def late_audio(packet: Packet, number: int) -> Packet:
    if packet.stream.type == "audio" and number >= 40:
        packet.pts, packet.dts = (packet.pts or 0) + 2, (packet.dts or 0) + 2
    return packet


def other_line(packet: Packet, number: int) -> Packet:
    if packet.stream.type == "subtitle" and b"go" in bytes(packet):
        packet.update(bytes(packet).replace(b"go", b"no"))
    return packet


@pytest.mark.parametrize(
    ("change", "name", "difference"),
    [
        (drop_frame, "frames", "1 frame of the source missing: "),
        (drop_first_second, "frames", "16 frames of the source missing: 0.000 s, 0.050 s"),
        (late_frame, "times", "1 frame at another time: "),
        (all_late, "times", "50 frames at another time: 0.000 s (+0.012012 s)"),
        (other_byte, "audio", "track 1: 1 packet changed: 0.832 s"),
        (drop_audio, "audio", "track 1: 1 packet missing: 0.832 s"),
        (late_audio, "audio", "track 1: 79 packets at another time: 0.832 s (+0.000042 s)"),
        (other_line, "subtitles", "track 1: 1 line changed: 0.200 s"),
    ],
)
def test_each_difference_is_named(
    source: Path,
    tmp_path: Path,
    change: Callable[[Packet, int], Packet | None],
    name: str,
    difference: str,
) -> None:
    found = verify(source, copy(source, tmp_path / "copy.mp4", change))
    assert kinds(found) == [name]
    assert any(difference in text for text in found.differences), found.differences


def test_another_order_of_tracks_is_found(source: Path, tmp_path: Path) -> None:
    found = verify(source, copy(source, tmp_path / "copy.mp4", order=(0, 2, 1, 3)))
    assert kinds(found) == ["audio", "tags"]
    assert "tags: the language of audio track 1 is deu instead of eng" in found.differences


def test_missing_tracks_are_found(source: Path, tmp_path: Path) -> None:
    found = verify(source, copy(source, tmp_path / "copy.mp4", order=(0, 1)))
    assert found.differences == ("audio: 1 track instead of 2", "subtitles: 0 tracks instead of 1")


def test_a_lost_chapter_is_found(source: Path, tmp_path: Path) -> None:
    assert verify(source, copy(source, tmp_path / "copy.mp4", chapters=1)).differences == (
        "chapters: 1 instead of 2",
    )


def test_wrong_tags_are_found_and_lost_ones_named(source: Path, tmp_path: Path) -> None:
    wrong = verify(source, copy(source, tmp_path / "wrong.mp4", title="Somebody"))
    assert wrong.differences == ("tags: title is 'Somebody' instead of 'Eileen Collins'",)
    bare = verify(source, copy(source, tmp_path / "bare.mp4", title="", comment=""))
    assert bare.passed
    assert bare.notes == ("tags: left out: title, comment",)


@pytest.mark.parametrize(
    ("colour", "difference"),
    [
        ((1, 1, 6, 1), "colour: matrix 6 instead of 1"),
        ((1, 1, 1, 2), "colour: full range instead of limited range"),
    ],
)
def test_wrong_colour_tags_are_found(
    source: Path, tmp_path: Path, colour: tuple[int, int, int, int], difference: str
) -> None:
    write_clip(
        tmp_path / "other.mp4", video=replace(SHOWN, colour=colour), audio=AUDIO, extras=EXTRAS
    )
    assert verify(source, tmp_path / "other.mp4").differences == (difference,)


def test_wrong_size_and_aspect_are_found(source: Path, tmp_path: Path) -> None:
    small = [image[:176] for image in portrait()]
    write_clip(
        tmp_path / "small.mp4",
        small,
        replace(SHOWN, aspect=Fraction(4, 3)),
        audio=AUDIO,
        extras=EXTRAS,
    )
    assert verify(source, tmp_path / "small.mp4").differences == (
        "size: 320x176 instead of 320x180",
        "size: pixel aspect 4/3 instead of 1",
    )


def test_a_truncated_result_is_found(source: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(copy(source, tmp_path / "copy.mp4").read_bytes()[:-40_000])
    found = verify(source, cut)
    assert "frames" in kinds(found)
    assert "audio" in kinds(found)


def test_a_different_file_is_found(source: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "other.mp4", portrait(1, (160, 90), 25), Video(fps=25))
    assert {"frames", "audio", "size", "colour", "chapters", "subtitles"} <= set(
        kinds(verify(source, tmp_path / "other.mp4"))
    )


def test_what_is_no_video_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UnreadableMedia, match=r"text\.mp4 is not a readable video"):
        verify(source, tmp_path / "text.mp4")
    with pytest.raises(InputError, match="does not exist"):
        verify(source, tmp_path / "none.mp4")


def test_the_command_prints_a_line_for_each_property(
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr("sys.argv", ["facepaint", "verify", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert run(source, copy(source, tmp_path / "same.mp4")) == 0
    assert capsys.readouterr().out.startswith("ok   frames: 50 of 50\nok   times: ")
    assert run(source, copy(source, tmp_path / "other.mp4", drop_frame), "--json") == 5
    printed = capsys.readouterr()
    facts = json.loads(printed.out)
    assert (facts["passed"], facts["frames"]) == (False, 49)
    assert printed.err.endswith("source.mp4 in more than painted faces: frames\n")
    assert run(source, tmp_path / "none.mp4") == 3
