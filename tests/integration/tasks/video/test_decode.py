"""Decoding a window: with a kept decoder or without, and the notes about frames that are
lost."""

import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.errors import PartialProgress
from facepaint.records.segment import Segment
from tasks.video.decode import (
    DecodeReport,
    DecoderPool,
    RunSource,
    decode_window,
    window_times,
)
from tests.support.clips.ordinary import Frame, decode_ordinarily, digest
from tests.support.cut_clip import CutClip, cut_clip
from uploader.probe import probe
from uploader.reader import Reader


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Damaged data makes FFmpeg log."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.PANIC)
    yield
    av.logging.set_level(level)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> CutClip:
    """Six segments of a video with one keyframe and reordered frames."""
    path = tmp_path_factory.mktemp("run") / "run.mp4"
    options = {"bf": "3", "sc_threshold": "0"}
    make_portrait_clip(
        path, seconds=8, size=(160, 90), fps=20, gop=9999, audio=None, options=options
    )
    return cut_clip(path, 0.5)


@pytest.fixture
def pool() -> DecoderPool:
    return DecoderPool()


def decoded(
    cut: CutClip,
    index: int,
    report: DecodeReport | None = None,
    pool: DecoderPool | None = None,
) -> list[Frame]:
    first = cut.records[index].decode_from
    bins = [segment.data for segment in cut.segments[first : index + 1]]
    source = RunSource(cut.records[first : index + 1], bins, decoders=pool or DecoderPool())
    frames = decode_window(cut.probed.video, source, report)
    return [(frame.pts, digest(frame)) for frame in frames]


def test_a_run_is_decoded_once_if_its_windows_are_decoded_in_order(
    run: CutClip, pool: DecoderPool
) -> None:
    packets = sum(len(record.own_packets) for record in run.records)
    assert {record.decode_from for record in run.records} == {0}
    for _ in ("detecting", "painting"):
        before = pool.packets
        seen = [
            frame for index in range(len(run.records)) for frame in decoded(run, index, pool=pool)
        ]
        assert len(seen) == len({time for time, _ in seen}) == packets == pool.packets - before


def test_frames_do_not_depend_on_earlier_decoding(run: CutClip, pool: DecoderPool) -> None:
    alone = {}
    for index in range(len(run.records)):
        pool.clear()
        alone[index] = decoded(run, index, pool=pool)
    assert [len(frames) for frames in alone.values()] == [
        len(window_times(run.records[: n + 1])) for n in alone
    ]
    order = [*alone, *alone]
    random.Random(5).shuffle(order)
    for index in order:
        assert decoded(run, index, pool=pool) == alone[index]


def test_a_decoder_of_another_run_is_not_used(run: CutClip, pool: DecoderPool) -> None:
    """Two jobs whose segments have the same numbers."""
    other = replace(
        run,
        probed=replace(
            run.probed, video=replace(run.probed.video, sample_aspect_ratio=Fraction(2))
        ),
    )
    decoded(run, 0, pool=pool)
    before = pool.packets
    decoded(other, 1, pool=pool)
    assert pool.packets - before > len(run.records[1].packets)


def test_a_decoder_is_not_used_for_the_same_packets_at_other_times(
    run: CutClip, pool: DecoderPool
) -> None:
    """The same video as two jobs, once remuxed to begin later: frames on their way have times of
    the first."""
    shift = 512 * 3
    segments = [replace(segment, record=later(segment.record, shift)) for segment in run.segments]
    other = replace(run, segments=segments)
    decoded(run, 0, pool=pool)
    shifted = decoded(other, 1, pool=pool)
    pool.clear()
    assert (
        shifted
        == decoded(other, 1, pool=pool)
        == [((time or 0) + shift, picture) for time, picture in decoded(run, 1, pool=pool)]
    )


def later(record: Segment, shift: int) -> Segment:
    """Everything in it shown and decoded later."""
    packets = tuple(
        replace(packet, pts=(packet.pts or 0) + shift, dts=(packet.dts or 0) + shift)
        for packet in record.packets
    )
    return replace(record, start=record.start + shift, end=record.end + shift, packets=packets)


def test_a_window_far_behind_its_keyframe_is_reached_in_steps(run: CutClip) -> None:
    last = len(run.records) - 1
    expected = decoded(run, last)
    clock = iter(range(100_000))
    pool = DecoderPool(lead_s=50, clock=lambda: next(clock))
    for _ in range(2):
        with pytest.raises(
            PartialProgress, match=r"is far behind its keyframe; decoded up to [0-9]"
        ):
            decoded(run, last, pool=pool)
    between = decoded(run, last - 2, pool=pool), decoded(run, last - 1, pool=pool)
    assert decoded(run, last, pool=pool) == expected
    pool.clear()
    assert between == (decoded(run, last - 2, pool=pool), decoded(run, last - 1, pool=pool)), (
        "on the way to one window others are left out"
    )


def test_no_packet_is_decoded_twice_on_the_way_to_a_window(run: CutClip) -> None:
    clock = iter(range(100_000))
    pool = DecoderPool(lead_s=50, clock=lambda: next(clock))
    for _ in range(2):
        with pytest.raises(PartialProgress):
            decoded(run, len(run.records) - 1, pool=pool)
    decoded(run, len(run.records) - 1, pool=pool)
    assert pool.packets == sum(len(record.own_packets) for record in run.records)


def damaged(cut: CutClip, index: int, numbers: list[int]) -> CutClip:
    """The same with these packets of a segment wiped out, wherever they are stored."""
    segments = list(cut.segments)
    for at in {max(0, index - 1), index}:
        record, data = cut.records[at], bytearray(cut.segments[at].data)
        first, position = 0 if at == index else len(record.own_packets), 0
        for number, packet in enumerate(record.packets):
            if number - first in numbers:
                data[position : position + packet.size] = random.Random(number - first).randbytes(
                    packet.size
                )
            position += packet.stored_bytes
        segments[at] = replace(
            segments[at], data=bytes(data), record=replace(record, sha256=f"wiped {at}")
        )
    return replace(cut, segments=segments)


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> CutClip:
    """Segments of a second, each with its keyframe, frames in order."""
    path = tmp_path_factory.mktemp("groups") / "groups.mp4"
    make_portrait_clip(
        path, seconds=4, size=(160, 90), fps=20, gop=20, audio=None, options={"bf": "0"}
    )
    return cut_clip(path, 1)


def notes(cut: CutClip, index: int, report: DecodeReport) -> list[str]:
    first = cut.records[index].decode_from
    return report.notes(
        cut.probed.video, cut.records[0].start, window_times(cut.records[first : index + 1])
    )


def test_frames_that_are_lost_are_counted_and_named(groups: CutClip) -> None:
    report = DecodeReport()
    broken = damaged(groups, 2, [5, 6, 7, 12])
    seen = decoded(broken, 2, report)
    (note, *others) = notes(broken, 2, report)
    assert note.startswith("4 frames could not be decoded, at 2.250-2.350, 2.600 s (")
    assert "\n" not in note
    assert len(seen) == 16
    assert not others


def test_without_lost_frames_there_are_no_notes(groups: CutClip) -> None:
    report = DecodeReport()
    assert len(decoded(groups, 1, report)) == 20
    assert notes(groups, 1, report) == []


def test_a_window_without_decodable_frames_is_noted(
    groups: CutClip,
) -> None:
    report = DecodeReport()
    broken = damaged(groups, 1, list(range(20)))
    assert decoded(broken, 1, report) == []
    assert notes(broken, 1, report)[0].startswith(
        "20 frames could not be decoded, at 1.000-1.950 s"
    )
    assert len(decoded(broken, 2)) == 20


@pytest.mark.parametrize("numbers", [[0, 1, 4], [3, 8], [9]])
def test_a_damaged_run_decodes_the_same_with_every_decoder(
    run: CutClip, pool: DecoderPool, numbers: list[int]
) -> None:
    """What takes the place of damaged parts comes from the frames before, of which none may have
    been left out."""
    broken = damaged(run, 1, numbers)
    seen = {}
    for warm in (False, True):
        pool.clear()
        for index in range(len(run.records)):
            if not warm:
                pool.clear()
            report = DecodeReport()
            seen[index, warm] = (decoded(broken, index, report, pool=pool), report)
    for index in range(len(run.records)):
        assert seen[index, False] == seen[index, True]
    frames, report = seen[1, False]
    assert report.lost
    assert len(report.lost) + len(frames) == len(window_times(run.records[:2]))


def test_frames_before_the_first_keyframe_are_counted(tmp_path: Path) -> None:
    path = make_portrait_clip(
        tmp_path / "whole.ts", seconds=3, size=(160, 90), fps=20, gop=20, audio=None
    )
    path.write_bytes(path.read_bytes()[188 * 40 :])
    reader = Reader(path, probe(path), 0.5)
    segments = list(reader.segments())
    shown = sum(len(segment.record.own_packets) for segment in segments)
    assert reader.before_keyframe > 0
    assert shown == len(decode_ordinarily(path)) > 20
    with av.open(str(path)) as container:
        assert reader.before_keyframe + shown == sum(
            1 for packet in container.demux(video=0) if packet.size
        )
