"""The cutter on synthetic packets: every frame shown once, none lost or repeated, all decodable,
memory bounded."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from facepaint.records.segment import AudioPacket, Packet, Segment
from uploader.cutter import DEFAULT_LIMITS, LOOKAHEAD, CutSegment, Cutter, SegmentLimits

TICKS = 100
"""A second in the time base of these tests."""

FPS = 10
STEP = TICKS // FPS


def body(packet: Packet) -> bytes:
    """Bytes that are unique to this packet within a test."""
    return f"{packet.pts}/{packet.dts}/{packet.size}".encode().ljust(packet.size, b".")[
        : packet.size
    ]


def cut(
    packets: list[Packet],
    *,
    segment_s: float = 2,
    pixels: int = 100,
    audio: Sequence[AudioPacket] = (),
    limits: SegmentLimits = DEFAULT_LIMITS,
) -> list[CutSegment]:
    """Feed packets, audio interleaved by time, as a demuxer would."""
    cutter = Cutter(Fraction(1, TICKS), pixels, segment_s, limits)
    found: list[CutSegment] = []
    waiting = list(audio)
    for packet in packets:
        at = packet.dts if packet.dts is not None else packet.pts
        while (
            waiting
            and at is not None
            and (waiting[0].dts or 0) * Fraction(1, 1000) <= Fraction(at, TICKS)
        ):
            cutter.audio(waiting[0], audio_body(waiting[0]), Fraction(1, 1000))
            waiting.pop(0)
        found += cutter.video(packet, body(packet))
    for packet_left in waiting:
        cutter.audio(packet_left, audio_body(packet_left), Fraction(1, 1000))
    found += cutter.finish()
    assert not cutter.late
    return found


def audio_body(packet: AudioPacket) -> bytes:
    return f"{packet.stream}:{packet.pts}".encode().ljust(packet.size, b"~")


def records(found: list[CutSegment]) -> list[Segment]:
    return [segment.record for segment in found]


def windows_s(found: list[CutSegment]) -> list[tuple[float, float]]:
    return [(record.start / TICKS, record.end / TICKS) for record in records(found)]


def stream(
    types: str,
    *,
    step: int = STEP,
    start: int = 0,
    size: int = 40,
    with_dts: bool = True,
    delay: int = 2,
) -> list[Packet]:
    """Packets in decoding order from frame types in presentation order.

    A B-frame is decoded after the next I or P, as encoders write it; the dts lag ``delay`` frames
    behind.
    """
    order: list[int] = []
    held: list[int] = []
    for number, kind in enumerate(types):
        if kind == "B":
            held.append(number)
        else:
            order += [number, *held]
            held = []
    order += held
    packets = []
    for place, number in enumerate(order):
        dts = start + (place - delay) * step if with_dts else None
        packets.append(
            Packet(size, start + number * step, dts, step, keyframe=types[number] == "I")
        )
    return packets


def assert_whole(found: list[CutSegment], packets: list[Packet]) -> None:
    """Invariants: windows without gaps, each packet once and in order, bytes at the recorded
    places."""
    segments = records(found)
    shown = [packet for packet in packets if not packet.discard]
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert segments[0].start == min(packet.pts or 0 for packet in shown)
    assert segments[-1].end > max(packet.pts or 0 for packet in shown)
    for before, after in itertools.pairwise(segments):
        assert before.end == after.start
    assert [packet for segment in segments for packet in segment.own_packets] == packets
    for segment, stored in zip(segments, found, strict=True):
        assert segment.start < segment.end
        assert b"".join(map(body, segment.packets)) == stored.data
        assert hashlib.sha256(stored.data).hexdigest() == segment.sha256
        assert any(segment.start <= (packet.pts or 0) < segment.end for packet in shown), (
            "a window without a frame"
        )
        assert_decodable(segments, segment, shown)


def assert_decodable(segments: list[Segment], segment: Segment, shown: list[Packet]) -> None:
    """A worker that decodes from the start of the run gets every frame of the window."""
    run = segments[segment.decode_from : segment.index + 1]
    assert {other.decode_from for other in run} == {segment.decode_from}
    fed = [packet for other in run[:-1] for packet in other.own_packets] + list(segment.packets)
    assert fed[0].keyframe or segment.decode_from == 0
    times = [packet.pts or 0 for packet in shown]
    decoded = [packet.pts or 0 for packet in fed if not packet.discard]
    assert sorted(filter(window_of(segment), decoded)) == sorted(filter(window_of(segment), times))


def window_of(segment: Segment) -> Callable[[int], bool]:
    return lambda pts: segment.start <= pts < segment.end


def test_a_segment_ends_at_the_first_keyframe_after_its_length() -> None:
    packets = stream(("I" + "P" * 8) * 6)
    found = cut(packets)
    assert_whole(found, packets)
    assert windows_s(found) == [(0, 2.7), (2.7, 5.4)]
    assert [record.decode_from for record in records(found)] == [0, 1]
    assert [record.overlap for record in records(found)] == [0, 0]


def test_without_keyframes_windows_grow() -> None:
    packets = stream("I" + "P" * 399)
    found = cut(packets)
    assert_whole(found, packets)
    assert windows_s(found) == [(0, 2), (2, 4), (4, 8), (8, 16), (16, 24), (24, 32), (32, 40)]
    assert {record.decode_from for record in records(found)} == {0}


def test_a_keyframe_ends_a_run() -> None:
    packets = stream("I" + "P" * 99 + "I" + "P" * 49)
    found = cut(packets)
    assert_whole(found, packets)
    assert windows_s(found) == [(0, 2), (2, 4), (4, 8), (8, 10), (10, 12), (12, 14), (14, 15)]
    assert [record.decode_from for record in records(found)] == [0, 0, 0, 0, 4, 4, 4]


def test_a_segment_waits_for_a_keyframe_up_to_twice_its_length() -> None:
    packets = stream("I" + "P" * 38 + "I" + "P" * 38)
    assert windows_s(cut(packets)) == [(0, 3.9), (3.9, 7.8)]


def test_a_border_between_reordered_frames_is_the_lowest_pts_after_it() -> None:
    packets = stream("I" + "BBP" * 40)
    found = cut(packets)
    assert_whole(found, packets)
    assert len(found) > 3
    for before, after in zip(records(found), records(found)[1:], strict=False):
        rest = [packet.pts for packet in packets[packets.index(after.packets[0]) :]]
        assert before.end == min(pts for pts in rest if pts is not None)
        assert before.packets[-before.overlap :] == after.packets[: before.overlap]
        assert (before.packets[-1].dts or 0) >= before.end, (
            "makes the decoder return the frames before the border"
        )


def test_an_open_gop_is_stored_with_its_overlap() -> None:
    packets = stream(("I" + "BBP" * 7 + "BB") * 3 + "I")
    found = cut(packets)
    assert_whole(found, packets)
    assert [record.overlap for record in records(found)] == [3, 3, 3, 0]
    first, second = records(found)[:2]
    keyframe, *leading = first.packets[-3:]
    assert keyframe.keyframe
    assert keyframe.pts == first.end
    assert all(packet.pts is not None and packet.pts < first.end for packet in leading)
    assert second.packets[:3] == first.packets[-3:]


def test_a_closed_gop_needs_no_overlap() -> None:
    packets = stream(("I" + "BBP" * 8) * 3)
    assert {record.overlap for record in records(cut(packets))} == {0}


def test_a_keyframe_with_a_pts_before_earlier_packets_starts_no_segment() -> None:
    packets = stream("I" + "P" * 60)
    wrong = replace(packets[30], keyframe=True)
    late = replace(packets[29], pts=packets[30].pts)
    packets = [*packets[:29], late, replace(wrong, pts=packets[29].pts), *packets[31:]]
    assert_whole(cut(packets), packets)


def test_a_frame_of_several_segment_lengths_ends_a_segment() -> None:
    packets = [
        Packet(10, pts, pts, 1, keyframe=not pts) for pts in (0, 10 * TICKS, 11 * TICKS, 40 * TICKS)
    ]
    found = cut(packets)
    assert_whole(found, packets)
    assert windows_s(found)[0] == (0, 10)


def test_reordering_at_one_frame_per_second() -> None:
    """A segment never ends before the frame that it starts with."""
    packets = stream("I" + "BBBP" * 8, step=TICKS)
    assert_whole(cut(packets, segment_s=0.5), packets)


def test_discarded_packets_are_stored_but_end_no_segment() -> None:
    packets = stream("I" + "P" * 99)
    discarded = {*range(15), *range(40, 45), *range(95, 100)}
    packets = [
        replace(packet, pts=None, dts=None, discard=True) if n in discarded else packet
        for n, packet in enumerate(packets)
    ]
    found = cut(packets)
    assert_whole(found, packets)
    assert found[0].record.start == 150
    assert found[-1].record.end == 950


def test_times_before_zero() -> None:
    packets = stream("I" + "P" * 99, start=-500)
    found = cut(packets)
    assert_whole(found, packets)
    assert windows_s(found)[0] == (-5, -3)


def test_without_a_shown_frame_there_is_no_segment() -> None:
    assert cut([]) == []
    assert cut([replace(packet, discard=True) for packet in stream("IPP")]) == []


def test_one_frame() -> None:
    packets = [Packet(7, 42, None, 0, keyframe=True)]
    found = cut(packets)
    assert_whole(found, packets)
    assert (found[0].record.start, found[0].record.end) == (42, 43)


def test_without_dts_a_border_is_settled_by_lookahead() -> None:
    types = ("I" + "BBP" * 7 + "BB") * 8
    with_dts, without = stream(types), stream(types, with_dts=False)
    found = cut(without)
    assert_whole(found, without)
    assert windows_s(found) == windows_s(cut(with_dts))


def test_constant_dts_do_not_grow_memory() -> None:
    """The lookahead bounds memory whatever the timestamps are."""
    cutter = Cutter(Fraction(1, TICKS), 100, 2)
    yielded_at = [
        n
        for n in range(2000)
        for _ in cutter.video(Packet(1, n * STEP, -1000, STEP, keyframe=n % 10 == 0), b"x")
    ]
    assert yielded_at[0] <= 20 + LOOKAHEAD
    assert all(
        later - earlier <= 20 + LOOKAHEAD for earlier, later in itertools.pairwise(yielded_at)
    )


def test_a_segment_is_bounded_by_work() -> None:
    packets = stream("I" + "P" * 99)
    found = cut(packets, limits=SegmentLimits(work_px=12 * 100))
    assert_whole(found, packets)
    assert max(len(record.own_packets) for record in records(found)) <= 13


def test_a_segment_is_bounded_by_bytes() -> None:
    packets = stream("I" + "BBP" * 33)
    found = cut(packets, limits=SegmentLimits(size_bytes=400))
    assert_whole(found, packets)
    assert (
        max(sum(packet.size for packet in record.own_packets) for record in records(found)) <= 400
    )
    assert max(record.overlap for record in records(found)) <= 4


def test_a_packet_over_the_limit_is_a_segment_of_its_own() -> None:
    packets = stream("IPPPP")
    found = cut(packets, limits=SegmentLimits(size_bytes=30))
    assert_whole(found, packets)
    assert len(found) == 5


def test_audio_is_stored_with_the_segment_of_its_time() -> None:
    packets = stream(("I" + "P" * 19) * 3)
    audio = [AudioPacket(0, 8, ms, ms, 100) for ms in range(-200, 6500, 100)]
    found = cut(packets, audio=audio)
    assert [packet for record in records(found) for packet in record.audio] == audio
    first, second, third = records(found)
    assert (first.audio[0].pts, first.audio[-1].pts) == (-200, 1900)
    assert (second.audio[0].pts, second.audio[-1].pts) == (2000, 3900)
    assert third.audio[-1].pts == 6400, "audio after the last frame is stored with the last segment"
    for segment in found:
        assert segment.audio == b"".join(map(audio_body, segment.record.audio))
        assert segment.record.audio_sha256 == hashlib.sha256(segment.audio).hexdigest()


def test_a_segment_without_audio_has_no_audio_digest() -> None:
    assert {record.audio_sha256 for record in records(cut(stream("I" + "P" * 50)))} == {""}


def test_audio_without_times_is_kept() -> None:
    packets = stream(("I" + "P" * 19) * 3)
    audio = [AudioPacket(0, 8, None, None, 100) for _ in range(9)]
    found = cut(packets, audio=audio)
    assert [packet for record in records(found) for packet in record.audio] == audio


def test_audio_is_kept_when_the_last_packets_are_discarded() -> None:
    packets = stream("I" + "P" * 50)
    packets = [replace(packet, discard=n >= 40) for n, packet in enumerate(packets)]
    audio = [AudioPacket(0, 8, ms, ms, 100) for ms in range(0, 6000, 100)]
    found = cut(packets, audio=audio)
    assert_whole(found, packets)
    assert [packet for record in records(found) for packet in record.audio] == audio


def test_segments_are_yielded_as_soon_as_they_are_cut() -> None:
    """Memory is bounded by a segment and the lookahead, however long the file."""
    packets = stream(("I" + "BBP" * 10) * 40)
    cutter = Cutter(Fraction(1, TICKS), 100, 2)
    stored = 0
    for fed, packet in enumerate(packets, 1):
        stored += sum(
            len(segment.record.own_packets) for segment in cutter.video(packet, body(packet))
        )
        assert fed - stored <= 31 + 5


group = st.builds(
    lambda runs, leading: "I" + "".join("B" * b + "P" for b in runs) + "B" * leading,
    st.lists(st.integers(0, 3), max_size=14),
    st.integers(0, 2),
)


@st.composite
def any_stream(draw: st.DrawFn) -> list[Packet]:
    """GOPs of any length, open or closed, reordered or not, with or without dts, of variable frame
    rate, partly discarded."""
    types = "".join(draw(st.lists(group, min_size=1, max_size=8))).rstrip("B")
    packets = stream(types, with_dts=draw(st.booleans()), delay=draw(st.integers(4, 8)))
    gaps = draw(st.lists(st.integers(1, 60), min_size=len(types), max_size=len(types)))
    times = [sum(gaps[:n]) for n in range(len(types))]
    lag = 8 * 60

    def moved(packet: Packet) -> Packet:
        place = (packet.dts or 0) // STEP
        dts = None if packet.dts is None else (times[place] if place >= 0 else place) - lag
        return replace(packet, pts=times[(packet.pts or 0) // STEP], dts=dts)

    packets = [moved(packet) for packet in packets] if draw(st.booleans()) else packets
    first = min(draw(st.integers(0, 3)), len(packets) - 1)
    kept = range(first, max(first + 1, len(packets) - draw(st.integers(0, 3))))
    timeless = draw(st.booleans())

    def discarded(packet: Packet) -> Packet:
        return (
            replace(packet, pts=None, dts=None, discard=True)
            if timeless
            else replace(packet, discard=True)
        )

    return [packet if n in kept else discarded(packet) for n, packet in enumerate(packets)]


@given(any_stream(), st.sampled_from([0.1, 0.5, 1, 2, 7]), st.sampled_from([100, 100_000_000]))
def test_any_stream_is_cut_whole(packets: list[Packet], segment_s: float, pixels: int) -> None:
    found = cut(packets, segment_s=segment_s, pixels=pixels)
    assert_whole(found, packets)
    assert records(cut(packets, segment_s=segment_s, pixels=pixels)) == records(found), (
        "the same every time"
    )


audio_times: Any = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.none(), st.integers(-500, 9000))), max_size=40
)


@given(any_stream(), audio_times)
def test_audio_is_stored_once_and_in_order(
    packets: list[Packet], times: list[tuple[int, int | None]]
) -> None:
    audio = [AudioPacket(track, 12, ms, ms, 20) for track, ms in times]
    found = cut(packets, segment_s=0.5, audio=audio)
    for track in (0, 1):
        stored = [
            packet for record in records(found) for packet in record.audio if packet.stream == track
        ]
        assert stored == [packet for packet in audio if packet.stream == track]
