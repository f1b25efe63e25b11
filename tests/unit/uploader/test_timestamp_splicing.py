"""The times of concatenated recordings are spliced where the video jumps back."""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import pytest

from uploader.timestamp_splicing import TimestampSplicer

MS = Fraction(1, 1000)

Place = Any


@pytest.fixture
def place() -> Iterator[Place]:
    """The spliced time of a packet of 40 ms: ``place("video", ms)``, None if it is dropped."""
    with av.open(io.BytesIO(), "w", format="nut") as container:
        streams = {
            "video": container.add_stream("mpeg4", rate=25),
            "audio": container.add_stream("pcm_s16le", 48000),
        }
        splicer = TimestampSplicer(streams["video"].index)

        def place(kind: str, pts: int | None, dts: int | None = None) -> int | None:
            packet = av.Packet(b"x")
            packet.stream = streams[kind]
            packet.pts, packet.dts, packet.duration, packet.time_base = (
                pts,
                pts if dts is None else dts,
                40,
                MS,
            )
            shift = splicer.shift(packet)
            return None if shift is None or pts is None else pts + shift

        yield place


def row(place: Place, kind: str, *times: int) -> list[int | None]:
    return [place(kind, time) for time in times]


def test_increasing_times_are_not_shifted(place: Place) -> None:
    assert row(place, "video", -80, 0, 40, 9000, 9040) == [-80, 0, 40, 9000, 9040]
    assert row(place, "audio", -100, 0, 9000) == [-100, 0, 9000]


def test_a_jump_back_of_less_than_a_second_starts_no_recording(place: Place) -> None:
    assert row(place, "video", 5000, 4100, 5040) == [5000, 4100, 5040]


def test_a_recording_starts_where_everything_before_it_ends(place: Place) -> None:
    row(place, "video", 5000, 5040)
    row(place, "audio", 5000, 5060)
    assert row(place, "video", 200, 240) == [5100, 5140]
    assert row(place, "audio", 210, 250) == [5110, 5150]
    assert row(place, "video", 2200, 0, 40) == [7100, 7140, 7180], "and a third one"


def test_audio_may_jump_back_after_the_video(place: Place) -> None:
    row(place, "audio", 5000)
    row(place, "video", 5000, 5040, 0)
    assert place("audio", 5040) == 5040, "still the first recording"
    assert place("audio", 10) == 5090


def test_audio_may_jump_back_before_the_video(place: Place) -> None:
    row(place, "video", 5000)
    row(place, "audio", 5000)
    assert row(place, "audio", 0, 40) == [None, None]
    assert place("video", 0) == 5040
    assert place("audio", 80) == 5120


def test_audio_that_overlaps_at_the_splice_is_dropped(place: Place) -> None:
    row(place, "video", 5000, 5040)
    row(place, "audio", 5000)
    row(place, "video", 500)
    assert row(place, "audio", 300, 420, 460) == [None, None, 5040]


def test_audio_alone_starts_no_recording(place: Place) -> None:
    row(place, "video", 5000)
    row(place, "audio", 5000)
    assert row(place, "audio", 0, 1000) == [None, None]
    assert place("audio", 5040) == 5040
    assert place("video", 5040) == 5040
