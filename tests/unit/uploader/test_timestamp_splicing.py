"""Times that begin anew are carried on, with the video deciding where."""

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
    """Where a packet of 40 ms comes to lie: ``place("video", ms)``, None if it is left out."""
    with av.open(io.BytesIO(), "w", format="nut") as container:
        streams = {
            "video": container.add_stream("mpeg4", rate=25),
            "sound": container.add_stream("pcm_s16le", 48000),
        }
        timeline = TimestampSplicer(streams["video"].index)

        def place(kind: str, pts: int | None, dts: int | None = None) -> int | None:
            packet = av.Packet(b"x")
            packet.stream = streams[kind]
            packet.pts, packet.dts, packet.duration, packet.time_base = (
                pts,
                pts if dts is None else dts,
                40,
                MS,
            )
            shift = timeline.shift(packet)
            return None if shift is None or pts is None else pts + shift

        yield place


def row(place: Place, kind: str, *times: int) -> list[int | None]:
    return [place(kind, time) for time in times]


def test_times_in_a_row_stay_as_they_are(place: Place) -> None:
    assert row(place, "video", -80, 0, 40, 9000, 9040) == [-80, 0, 40, 9000, 9040]
    assert row(place, "sound", -100, 0, 9000) == [-100, 0, 9000]


def test_what_muxing_sets_back_is_no_new_beginning(place: Place) -> None:
    assert row(place, "video", 5000, 4100, 5040) == [5000, 4100, 5040]


def test_a_new_part_begins_where_everything_before_it_ends(place: Place) -> None:
    row(place, "video", 5000, 5040)
    row(place, "sound", 5000, 5060)
    assert row(place, "video", 200, 240) == [5100, 5140]
    assert row(place, "sound", 210, 250) == [5110, 5150]
    assert row(place, "video", 2200, 0, 40) == [7100, 7140, 7180], "and a third one"


def test_sound_may_come_to_the_seam_after_the_video(place: Place) -> None:
    row(place, "sound", 5000)
    row(place, "video", 5000, 5040, 0)
    assert place("sound", 5040) == 5040, "still of the first part"
    assert place("sound", 10) == 5090


def test_sound_may_come_to_the_seam_before_the_video(place: Place) -> None:
    row(place, "video", 5000)
    row(place, "sound", 5000)
    assert row(place, "sound", 0, 40) == [None, None]
    assert place("video", 0) == 5040
    assert place("sound", 80) == 5120


def test_sound_that_overlaps_at_the_seam_is_left_out(place: Place) -> None:
    row(place, "video", 5000, 5040)
    row(place, "sound", 5000)
    row(place, "video", 500)
    assert row(place, "sound", 300, 420, 460) == [None, None, 5040]


def test_sound_alone_does_not_begin_anew(place: Place) -> None:
    row(place, "video", 5000)
    row(place, "sound", 5000)
    assert row(place, "sound", 0, 1000) == [None, None]
    assert place("sound", 5040) == 5040
    assert place("video", 5040) == 5040
