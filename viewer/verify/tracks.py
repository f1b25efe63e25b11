"""Compare the sound and the subtitles of two files, packet by packet, one track at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av.error
from av.container import InputContainer
from av.stream import Stream

from facepaint.errors import UnreadableMedia
from facepaint.media.codec_params import write_codec_params
from facepaint.media.open import open_media
from facepaint.text import counted
from viewer.save.mux import plain_text
from viewer.verify.alignment import Pair, pair_nearest
from viewer.verify.frames import JUMP_S
from viewer.verify.report import Named, seconds
from viewer.verify.job_records import ADTS_HEADERS

SEAM_S = Fraction(1, 2)
"""So near to where one recording ends and the next begins, sound may be missing: nothing says where
it belongs."""

MATROSKA_S = Fraction(1, 1000)
"""Matroska counts in these, and rounds a track's encoder delay on its own, too."""


class Piece(NamedTuple):
    """A packet, or as much of one as the other file has in one: when it is heard, its bytes, its
    length."""

    time_s: Fraction | None
    data: bytes
    duration_s: Fraction
    part: int = 0


@dataclass(slots=True)
class TrackMatch:
    """What comparing two tracks came to; ``left_out`` counts the packets at ``seams_s``, ``adts``
    says headers went."""

    packets: int = 0
    left_out: int = 0
    seams_s: list[Fraction] = field(default_factory=list)
    adts: bool = False
    missing: Named = field(default_factory=Named)
    extra: Named = field(default_factory=Named)
    changed: Named = field(default_factory=Named)
    wrong: Named = field(default_factory=Named)

    def differences(self, what: str) -> Iterator[str]:
        """Each kind of difference in a sentence; ``what`` is compared."""
        kinds = {"missing": self.missing, "not the source's": self.extra, "changed": self.changed}
        for kind, seen in {**kinds, "at another time": self.wrong}.items():
            if seen.count:
                yield f"{counted(seen.count, what)} {kind}: {seen}"


def compare_sound(
    source: Path,
    result: Path,
    indexes: tuple[int, int],
    shifts_s: Sequence[Fraction],
    slack_s: Fraction,
) -> TrackMatch:
    """Compare the packets of a sound track; ``indexes`` are its stream's numbers in the two
    files."""
    match = TrackMatch()
    with open_media(source) as there, open_media(result) as here:
        stream, copy = there.streams[indexes[0]], here.streams[indexes[1]]
        placed = _placed(_pieces(there, stream), shifts_s, match)
        wanted, found = _growing(placed, Fraction(copy.time_base or 1)), _pieces(here, copy)
        # A container cuts samples into packets as it likes.
        as_samples = stream.codec_context.name.startswith("pcm_")
        pairs = (
            _cut_alike(wanted, found) if as_samples else pair_nearest(wanted, found, [Fraction(0)])
        )
        _compare(match, pairs, _tolerance(stream, copy, slack_s))
    return match


def compare_text(
    source: Path, result: Path, indexes: tuple[int, int], shift_s: Fraction, slack_s: Fraction
) -> TrackMatch:
    """Compare the lines of a track of text subtitles; marks and styles are left aside."""
    match = TrackMatch()
    with open_media(source) as there, open_media(result) as here:
        stream, copy = there.streams[indexes[0]], here.streams[indexes[1]]
        pairs = pair_nearest(
            _lines(there, stream, shift_s), _lines(here, copy, Fraction(0)), [Fraction(0)]
        )
        _compare(match, pairs, _tolerance(stream, copy, slack_s), ends=True)
    return match


def _compare(
    match: TrackMatch, pairs: Iterable[Pair[Piece]], tolerance_s: Fraction, *, ends: bool = False
) -> None:
    """Count the differences of paired packets; ``ends`` also compares where they end."""
    for wanted, found in pairs:
        if wanted is not None and found is not None:
            _compare_pair(match, wanted, found, tolerance_s, ends=ends)
        elif found is not None:
            match.extra.add(_where(found))
        elif wanted is not None:
            _add_missing(match, wanted)


def _add_missing(match: TrackMatch, wanted: Piece) -> None:
    # The place of audio at a splice of two recordings is not defined.
    if any(abs((wanted.time_s or 0) - seam_s) < SEAM_S for seam_s in match.seams_s):
        match.left_out += 1
    else:
        match.missing.add(_where(wanted))


def _compare_pair(
    match: TrackMatch, wanted: Piece, found: Piece, tolerance_s: Fraction, *, ends: bool
) -> None:
    match.packets += 1
    late_s = Fraction(0)
    if found.time_s is not None and wanted.time_s is not None:
        late_s = found.time_s - wanted.time_s
    if ends and abs(late_s) <= tolerance_s and wanted.duration_s:
        late_s = found.duration_s - wanted.duration_s
    if abs(late_s) > tolerance_s:
        match.wrong.add(f"{_where(wanted)} ({float(late_s):+.6f} s)")
    # AAC from a transport stream has a header in each packet that MP4 does not store.
    header = len(wanted.data) - len(found.data)
    if header in ADTS_HEADERS and wanted.data.endswith(found.data):
        match.adts = True
    elif found.data != wanted.data:
        match.changed.add(_where(wanted))


def sound_tracks(path: Path) -> tuple[list[int], list[str]]:
    """The numbers of a file's sound tracks, and the codings of those that no file that we write can
    hold.

    A track without a packet is none.
    """
    with open_media(path) as container:
        waiting = {stream.index for stream in container.streams.audio}
        tracks, refused = [], []
        for packet in container.demux(*container.streams.audio) if waiting else ():
            if packet.size and packet.stream_index in waiting:
                waiting.remove(packet.stream_index)
                try:
                    write_codec_params(packet.stream, packet)
                    tracks.append(packet.stream_index)
                except UnreadableMedia:
                    refused.append(packet.stream.codec_context.name)
            if not waiting:
                break
        return sorted(tracks), refused


def _tolerance(stream: Stream, copy: Stream, slack_s: Fraction) -> Fraction:
    """One tick of the coarser clock."""
    return max(Fraction(stream.time_base or 1), Fraction(copy.time_base or 1)) + slack_s


def _pieces(container: InputContainer, stream: Stream) -> Iterator[Piece]:
    tick = Fraction(stream.time_base or 1)
    try:
        for packet in container.demux(stream):
            if packet.size:
                time = packet.pts if packet.pts is not None else packet.dts
                yield Piece(
                    None if time is None else time * tick,
                    bytes(packet),
                    (packet.duration or 0) * tick,
                )
    except av.error.FFmpegError:
        return  # the frames' reader has told of it


def _placed(
    pieces: Iterator[Piece], shifts_s: Sequence[Fraction], match: TrackMatch
) -> Iterator[Piece]:
    """The source's packets at the times they are to have; what is too much at a seam is left
    out."""
    part, last_s, placed_s = 0, None, None
    for piece in pieces:
        if piece.time_s is None:
            yield piece
            continue
        if last_s is not None and last_s - piece.time_s > JUMP_S:
            if part + 1 == len(shifts_s):
                match.left_out += 1
                continue
            part += 1
            match.seams_s.append(piece.time_s + shifts_s[part])
        last_s = piece.time_s
        time_s = piece.time_s + shifts_s[part]
        if part and placed_s is not None and time_s <= placed_s:
            match.left_out += 1
            continue
        placed_s = time_s
        yield piece._replace(time_s=time_s)


def _growing(pieces: Iterator[Piece], tick: Fraction) -> Iterator[Piece]:
    """The times as a file must have them: where two are the same, as damaged sources have it, one
    is a tick later."""
    last_s: Fraction | None = None
    for piece in pieces:
        if piece.time_s is not None:
            last_s = piece.time_s if last_s is None else max(piece.time_s, last_s + tick)
            piece = piece._replace(time_s=last_s)
        yield piece


def _cut_alike(there: Iterator[Piece], here: Iterator[Piece]) -> Iterator[Pair[Piece]]:
    """The same samples in pieces of the same length, whatever packets they come in."""
    wanted, found = next(there, None), next(here, None)
    while wanted is not None and found is not None:
        size = min(len(wanted.data), len(found.data))
        yield wanted._replace(data=wanted.data[:size]), found._replace(data=found.data[:size])
        wanted, found = (
            _behind(wanted, size) or next(there, None),
            _behind(found, size) or next(here, None),
        )
    while wanted is not None or found is not None:
        yield wanted, found
        wanted, found = next(there, None), next(here, None)


def _behind(piece: Piece, size: int) -> Piece | None:
    """What follows the first ``size`` bytes of a piece."""
    if size == len(piece.data):
        return None
    passed_s = piece.duration_s * Fraction(size, len(piece.data))
    time_s = None if piece.time_s is None else piece.time_s + passed_s
    return piece._replace(
        time_s=time_s, data=piece.data[size:], duration_s=piece.duration_s - passed_s
    )


def _lines(container: InputContainer, stream: Stream, shift_s: Fraction) -> Iterator[Piece]:
    codec = stream.codec_context.codec.canonical_name
    for piece in _pieces(container, stream):
        text = plain_text(codec, piece.data)
        if text and piece.time_s is not None:
            yield piece._replace(time_s=piece.time_s + shift_s, data=text)


def _where(piece: Piece) -> str:
    return "no time" if piece.time_s is None else seconds(piece.time_s)
