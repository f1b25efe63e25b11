"""Pairing by time and comparing frames, without files."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from facepaint.records.job import Chapter
from viewer.save.mux import placed_chapters
from viewer.verify.alignment import pair_nearest
from viewer.verify.frames import FrameMatch, Shown, match_frames
from viewer.verify.report import MAX_NAMED, Occurrences

TICK = Fraction(1, 1000)


def shown(*times_ms: int, recording: int = 0) -> list[Shown]:
    return [Shown(recording, time * TICK) for time in times_ms]


def match(
    source: Sequence[Shown], result: Sequence[Shown], *, may_shift: bool = False
) -> FrameMatch:
    return match_frames(iter(source), iter(result), TICK, may_shift=may_shift)


def test_one_frame_missing_is_one_difference() -> None:
    found = match(shown(0, 40, 80, 120), shown(0, 80, 120))
    assert (found.matched, str(found.missing), found.extra.count, found.wrong.count) == (
        3,
        "0.040 s",
        0,
        0,
    )


def test_one_extra_frame_is_one_difference() -> None:
    found = match(shown(0, 40, 80), shown(0, 40, 60, 80))
    assert (found.matched, found.missing.count, str(found.extra), found.wrong.count) == (
        3,
        0,
        "0.060 s",
        0,
    )


def test_the_first_and_the_last_may_be_missing() -> None:
    assert str(match(shown(0, 40, 80), shown(40, 80)).missing) == "0.000 s"
    assert str(match(shown(0, 40, 80), shown(0, 40)).missing) == "0.080 s"
    assert match(shown(0, 40), []).missing.count == 2
    assert match([], shown(0, 40)).extra.count == 2


def test_the_tolerance_is_one_tick() -> None:
    assert match(shown(0, 40, 80), shown(0, 41, 79)).wrong.count == 0
    assert str(match(shown(0, 40, 80), shown(0, 42, 80)).wrong) == "0.040 s (+0.002000 s)"


def test_a_shift_is_found_only_where_there_may_be_one() -> None:
    late = shown(5000, 5040, 5080)
    unmoved = match(late, shown(0, 40, 80))
    assert unmoved.missing.count + unmoved.wrong.count == 3
    moved = match(late, shown(0, 40, 80), may_shift=True)
    assert (moved.matched, moved.shifts_s, moved.wrong.count) == (3, [Fraction(-5)], 0)
    assert match(shown(0, 40, 80), shown(10, 50, 90)).wrong.count == 3


def test_each_recording_has_a_shift_of_its_own() -> None:
    source = [*shown(9000, 9040), *shown(0, 40, 80, recording=1)]
    found = match(source, shown(9000, 9040, 9080, 9120, 9160))
    assert (found.matched, found.wrong.count, found.shifts_s) == (
        5,
        0,
        [Fraction(0), Fraction(9080, 1000)],
    )
    dropped = match(source, shown(9000, 9040, 9080, 9160))
    assert (dropped.matched, str(dropped.missing)) == (4, "0.040 s")


def test_a_frame_may_stand_in_for_a_refused_packet() -> None:
    found = match_frames(
        iter(shown(0, 80)),
        iter(shown(0, 40, 80)),
        TICK,
        may_shift=False,
        refused_at=[Fraction(40, 1000)],
    )
    assert (found.matched, found.extra.count, str(found.stand_ins)) == (2, 0, "0.040 s")


def test_a_frame_of_uncertain_time_matches_within_its_range() -> None:
    """The record of a segment with undecodable packets does not state which frames it has."""
    uncertain = [Shown(0, Fraction(0), 120 * TICK)] * 2
    found = match([*uncertain, *shown(160)], shown(40, 120, 160))
    assert (found.matched, found.wrong.count, found.missing.count) == (3, 0, 0)
    assert match([*uncertain, *shown(160)], shown(80, 160)).missing.count == 1
    assert match([*uncertain, *shown(160)], shown(0, 40, 80, 160)).extra.count == 1
    assert match(uncertain, shown(40, 140)).wrong.count == 1


def test_two_items_are_read_ahead() -> None:
    """However long the files, two frames of each are in memory."""
    taken = [0, 0]

    def endless(which: int) -> Iterator[Shown]:
        for number in range(10**9):
            taken[which] += 1
            yield Shown(0, number * TICK)

    pairs = pair_nearest(endless(0), endless(1), [Fraction(0)])
    for _ in range(1000):
        next(pairs)
    assert max(taken) <= 1003


def test_the_first_of_many_names_are_listed_and_the_rest_counted() -> None:
    names = Occurrences()
    for number in range(MAX_NAMED + 3):
        names.add(str(number))
    assert str(names) == "0, 1, 2, 3, 4, and 3 more"


def test_chapters_are_shifted_unless_they_count_from_the_start() -> None:
    def rows(*chapters: Chapter, shift: int) -> list[tuple[float, float]]:
        return [
            (float(c.start_s), float(c.end_s)) for c in placed_chapters(chapters, Fraction(shift))
        ]

    news = Chapter(Fraction(0), Fraction(7201), "News")
    sport = Chapter(Fraction(7201), Fraction(7300), "Sport")
    assert rows(news, sport, shift=-7200) == [(0, 1), (1, 100)]
    assert rows(Chapter(Fraction(0), Fraction(7000), "Before"), sport, shift=-7200) == [(1, 100)]
    first, second = (
        Chapter(Fraction(0), Fraction(60), "One"),
        Chapter(Fraction(60), Fraction(90), "Two"),
    )
    assert rows(first, second, shift=-7200) == [(0, 60), (60, 90)]
    assert rows(first, shift=1) == [(1, 61)]
