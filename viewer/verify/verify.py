"""Verify that a result is its source with painted faces and nothing else changed, by decoding both
side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.stream import Stream

from facepaint.media.open import main_video, open_media
from facepaint.text import counted
from viewer.save.mux import LATE_S
from viewer.verify.description import (
    chapters_guarantee,
    colour_guarantee,
    size_guarantee,
    tags_guarantee,
    text_streams,
)
from viewer.verify.frames import FrameMatch, FrameReader, match_frames
from viewer.verify.report import Guarantee, seconds
from viewer.verify.tracks import MATROSKA_S, compare_sound, compare_text, sound_tracks


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of `verify`.

    ``frames`` were found in both. ``refused`` counts the source's packets that FFmpeg does not
    decode, ``concealed`` the frames that it decodes with errors; ``notes`` name them, and whatever
    else is no difference and worth a sentence. ``shift_s`` is how much later everything is in the
    result, in seconds.
    """

    source: Path
    result: Path
    guarantees: tuple[Guarantee, ...]
    frames: int
    refused: int
    concealed: int
    shift_s: Fraction

    @property
    def differences(self) -> tuple[str, ...]:
        """Every difference, with the name of its guarantee before it."""
        return tuple(
            f"{promise.name}: {text}" for promise in self.guarantees for text in promise.differences
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Everything else there is to say."""
        return tuple(text for promise in self.guarantees for text in promise.notes)

    @property
    def passed(self) -> bool:
        """Whether every guarantee is kept."""
        return not self.differences

    def report(self) -> Iterator[str]:
        """A line a guarantee, with what differs and what else is to say under it."""
        for promise in self.guarantees:
            yield f"{'ok  ' if promise.kept else 'FAIL'} {promise.name}: {promise.found}"
            yield from (f"     {text}" for text in (*promise.differences, *promise.notes))

    def facts(self) -> dict[str, object]:
        """The report for scripts."""
        return {
            "source": str(self.source),
            "result": str(self.result),
            "passed": self.passed,
            "frames": self.frames,
            "refused": self.refused,
            "concealed": self.concealed,
            "shift_s": float(self.shift_s),
            "guarantees": [
                {**asdict(promise), "kept": promise.kept} for promise in self.guarantees
            ],
        }


def verify(source: Path, result: Path) -> Verification:
    """Compare a result with its source: frames and their times, sound, size, colours, tags,
    chapters, subtitles.

    Both are decoded whole, one frame in memory at a time, whatever their length.

    Raises:
        InputError: there is no such file.
        UnreadableMedia: one of them holds no video.
    """
    with open_media(source) as there, open_media(result) as here:
        wanted = FrameReader(there, main_video(there, source))
        found = FrameReader(here, main_video(here, result))
        slack_s = MATROSKA_S if "matroska" in here.format.name else Fraction(0)
        tolerance_s = max(wanted.tick, found.tick)
        moved = _may_shift(there, wanted.stream)
        match = match_frames(
            wanted.times(),
            found.times(),
            tolerance_s,
            may_shift=moved,
            refused_at=wanted.refused_at,
        )
        shifts_s = match.shifts_s or [Fraction(0)]
        said = [tags_guarantee(there, here), chapters_guarantee(there, here, shifts_s[0])]
    frames = [_frames(match, wanted, found), _times(match, wanted, tolerance_s)]
    pictures = list(_pictures(wanted, found))
    tracks = [
        _sound(source, result, shifts_s, slack_s),
        _subtitles(source, result, shifts_s[0], slack_s),
    ]
    return Verification(
        source=source,
        result=result,
        guarantees=(*frames, tracks[0], *pictures, *said, tracks[1]),
        frames=match.matched,
        refused=wanted.refused.count,
        concealed=wanted.concealed.count,
        shift_s=shifts_s[0],
    )


def _may_shift(source: InputContainer, video: Stream) -> bool:
    """Whether saving moves everything: where the picture starts below 0, or all starts too late to
    be waited for."""
    starts_s = [
        stream.start_time * stream.time_base
        for stream in (video, *source.streams.audio)
        if stream.start_time is not None and stream.time_base is not None
    ]
    return bool(starts_s) and (starts_s[0] < 0 or min(starts_s) > LATE_S)


def _frames(match: FrameMatch, wanted: FrameReader, found: FrameReader) -> Guarantee:
    differences = [
        f"{counted(seen.count, what)}: {seen}"
        for seen, what in (
            (match.missing, "frame of the source missing"),
            (match.extra, "frame not in the source"),
            (found.refused, "packet not decodable"),
            (found.concealed, "frame decoded with errors"),
            (found.hidden, "frame without a time of its own"),
        )
        if seen.count
    ]
    notes = [
        f"{counted(seen.count, what)}: {seen}"
        for seen, what in (
            (wanted.refused, "packet of the source not decodable"),
            (match.stand_ins, "frame stands for what is not decodable"),
            (wanted.concealed, "frame of the source decoded with errors"),
            (wanted.hidden, "frame of the source without a time of its own"),
        )
        if seen.count
    ]
    if found.ends_early:
        differences.append(f"reading it stops: {found.ends_early}")
    if wanted.ends_early:
        notes.append(f"reading the source stops: {wanted.ends_early}")
    return Guarantee(
        "frames", f"{match.matched} of {wanted.count}", tuple(differences), tuple(notes)
    )


def _times(match: FrameMatch, wanted: FrameReader, tolerance_s: Fraction) -> Guarantee:
    differences, notes = [], []
    if match.wrong.count:
        differences.append(f"{counted(match.wrong.count, 'frame')} at another time: {match.wrong}")
    shifts = [seconds(shift_s) for shift_s in match.shifts_s if abs(shift_s) > tolerance_s]
    if wanted.untimed:
        notes.append(
            "the source does not say when its frames are shown: the n-th is due at its n-th "
            "packet's time"
        )
    if wanted.parts > 1:
        notes.append(f"{wanted.parts} recordings one behind the other, shown as one")
    elif shifts:
        notes.append(
            f"everything comes {shifts[0].removeprefix('-')} "
            f"{'earlier' if shifts[0][0] == '-' else 'later'}"
        )
    return Guarantee("times", f"within {tolerance_s} s", tuple(differences), tuple(notes))


def _pictures(wanted: FrameReader, found: FrameReader) -> Iterator[Guarantee]:
    if wanted.first is None or found.first is None:
        return
    yield size_guarantee(wanted, found)
    yield colour_guarantee(wanted.first, found.first)


def _sound(source: Path, result: Path, shifts_s: list[Fraction], slack_s: Fraction) -> Guarantee:
    (there, refused), (here, _) = sound_tracks(source), sound_tracks(result)
    notes = [f"a track in {codec} is left out: no file can hold it" for codec in refused]
    if len(there) != len(here):
        return Guarantee(
            "sound", "", (f"{counted(len(here), 'track')} instead of {len(there)}",), tuple(notes)
        )
    differences, packets = [], []
    for number, indexes in enumerate(zip(there, here, strict=True), 1):
        match = compare_sound(source, result, indexes, shifts_s, slack_s)
        differences += [f"track {number}: {text}" for text in match.differences("packet")]
        packets.append(counted(match.packets, "packet"))
        if match.adts:
            notes.append(
                f"track {number}: the ADTS headers are taken off, as MP4 and Matroska want it"
            )
        if match.left_out:
            packets_lost = counted(match.left_out, "packet")
            notes.append(
                f"track {number}: {packets_lost} left out at a seam: nothing tells their place"
            )
    found = f"{counted(len(here), 'track')}: {', '.join(packets)}" if here else "none"
    return Guarantee("sound", found, tuple(differences), tuple(notes))


def _subtitles(source: Path, result: Path, shift_s: Fraction, slack_s: Fraction) -> Guarantee:
    there, pictures = _text_tracks(source)
    here, _ = _text_tracks(result)
    notes = (f"{counted(pictures, 'track')} of pictures left out",) if pictures else ()
    if len(there) != len(here):
        return Guarantee(
            "subtitles", "", (f"{counted(len(here), 'track')} instead of {len(there)}",), notes
        )
    differences, lines = [], []
    for number, indexes in enumerate(zip(there, here, strict=True), 1):
        match = compare_text(source, result, indexes, shift_s, slack_s)
        differences += [f"track {number}: {text}" for text in match.differences("line")]
        lines.append(counted(match.packets, "line"))
    found = f"{counted(len(here), 'track')}: {', '.join(lines)}" if here else "none"
    return Guarantee("subtitles", found, tuple(differences), notes)


def _text_tracks(path: Path) -> tuple[list[int], int]:
    """The numbers of the tracks of text, and how many tracks of subtitles are something else."""
    with open_media(path) as container:
        texts = [stream.index for stream in text_streams(container)]
        return texts, len(container.streams.subtitles) - len(texts)
