"""The players' clock: its start, and the windows of segments on it."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from facepaint.records.job import (
    AudioStream,
    DetectorSpec,
    OutputProfile,
    SourceFile,
    VideoJob,
    VideoStream,
)
from facepaint.records.segment import AudioPacket, Segment
from viewer.server.clock import Clock, clock_of, on_clock

TICK = Fraction(1, 100)
RATE = 48_000


def job(*skips: int) -> VideoJob:
    """A video from 2 s on, with an audio track for each number of skipped samples."""
    return VideoJob(
        id="20260101T000000-aaaaaaaa",
        source=SourceFile("a.mp4", 1, "0" * 64),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        detector=DetectorSpec(),
        output=OutputProfile(),
        video=VideoStream("h264", "", b"", 64, 64, "yuv420p", TICK),
        audio=tuple(
            AudioStream("aac", Fraction(1, RATE), RATE, 2, b"", skip_samples=skip) for skip in skips
        ),
        start_pts=200,
    )


def first(*starts: tuple[int, float | None]) -> Segment:
    """The first segment, 2 to 4 s, with audio packets given by track and second."""
    packets = [
        AudioPacket(track, 1, None if at is None else round(at * RATE), None)
        for track, at in starts
    ]
    return Segment(0, 200, 400, (), "", audio=tuple(packets))


@pytest.mark.parametrize(
    ("skips", "starts", "lead"),
    [
        ((), [], 0),
        ((0,), [(0, 2.0), (0, 2.5)], 0),
        ((0,), [(0, 3.0)], 0),
        ((0,), [(0, 1.5), (0, 2.5)], 50),
        ((0, 0), [(0, 1.9), (1, 0.25)], 175),
        ((0,), [(0, 1.999)], 1),
        ((1024,), [(0, 2 - 1024 / RATE)], 0),
        ((RATE // 2,), [(0, 1.0), (0, 1.2)], 50),
        ((0,), [(0, None), (0, 1.0)], 100),
    ],
)
def test_it_starts_at_the_first_frame_or_at_earlier_audio(
    skips: tuple[int, ...], starts: list[tuple[int, float | None]], lead: int
) -> None:
    assert clock_of(job(*skips), first(*starts)) == Clock(TICK, 200, lead)


def test_the_first_window_starts_at_0_and_the_others_follow_it() -> None:
    clock = Clock(TICK, 200, 50)
    assert clock.window_s(Segment(0, 200, 400, (), "")) == (0, Fraction(5, 2))
    assert clock.window_s(Segment(1, 400, 600, (), "")) == (Fraction(5, 2), Fraction(9, 2))


def test_a_segment_is_sent_unchanged_if_no_audio_precedes_the_first_frame() -> None:
    assert on_clock(Clock(TICK, 200), 0, b"anything") == b"anything"
