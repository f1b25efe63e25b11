"""Compare the audio and the subtitles of two files, packet by packet, one track at a time."""

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
from facepaint.media.adts import CodingSorter, first_packets
from facepaint.media.codec_params import codec_label, write_codec_params
from facepaint.media.open import main_video, open_media
from facepaint.media.programs import streams_of_program
from facepaint.media.subtitles import plain_text
from viewer.verify.alignment import Pair, pair_nearest
from viewer.verify.frames import JUMP_S
from viewer.verify.report import Occurrences, seconds, summarized

SPLICE_S = Fraction(1, 2)
"""So near to the splice of two recordings audio may be missing: its place is not defined."""

MATROSKA_S = Fraction(1, 1000)
"""The resolution of Matroska, which also rounds a track's encoder delay separately."""

ADTS_HEADERS = (7, 9)
"""Bytes before each AAC packet in a transport stream or an .aac file, which MP4 and Matroska do not
store."""


class PacketData(NamedTuple):
    """A packet, or the part of one that the other file has in one packet.

    Args:
        time_s: when it is played or shown, in seconds; None if the file does not state it.
        data: its bytes.
        duration_s: its duration in seconds.
        recording: always 0, because the packets of a track are spliced before they are compared.
    """

    time_s: Fraction | None
    data: bytes
    duration_s: Fraction
    recording: int = 0

    @property
    def latest_s(self) -> Fraction | None:
        """The same as ``time_s``: the times of packets are certain."""
        return self.time_s

    def joined(self, other: PacketData) -> PacketData:
        """This and the packet that follows it as one."""
        return self._replace(
            data=self.data + other.data, duration_s=self.duration_s + other.duration_s
        )

    def cut(self, size: int) -> tuple[PacketData, PacketData | None]:
        """The first ``size`` bytes, and the rest if there is one."""
        if size >= len(self.data):
            return self, None
        duration_s = self.duration_s * Fraction(size, len(self.data))
        rest = PacketData(
            None if self.time_s is None else self.time_s + duration_s,
            self.data[size:],
            self.duration_s - duration_s,
        )
        return PacketData(self.time_s, self.data[:size], duration_s), rest

    def __str__(self) -> str:
        return "no time" if self.time_s is None else seconds(self.time_s)


class IncreasingTimes:
    """Times as a muxer writes them: a tick later where a damaged source has the same time twice."""

    def __init__(self, tick_s: Fraction) -> None:
        self._tick_s = tick_s
        self._last_s: Fraction | None = None

    def of(self, time_s: Fraction | None) -> Fraction | None:
        """The written time of the next packet."""
        if time_s is None:
            return None
        last_s = self._last_s
        self._last_s = time_s if last_s is None else max(time_s, last_s + self._tick_s)
        return self._last_s


@dataclass(slots=True)
class TrackMatch:
    """The outcome of comparing two tracks.

    Attributes:
        packets: pairs of packets.
        dropped: packets of the source that are missing at a splice of two recordings.
        splices_s: the times of these splices.
        has_adts: the ADTS headers were removed.
        missing: packets of the source that the result lacks.
        extra: packets of the result that the source lacks.
        changed: packets with other bytes.
        wrong: packets at another time.
    """

    packets: int = 0
    dropped: int = 0
    splices_s: list[Fraction] = field(default_factory=list)
    has_adts: bool = False
    missing: Occurrences = field(default_factory=Occurrences)
    extra: Occurrences = field(default_factory=Occurrences)
    changed: Occurrences = field(default_factory=Occurrences)
    wrong: Occurrences = field(default_factory=Occurrences)

    def differences(self, noun: str) -> Iterator[str]:
        """Each kind of difference in a sentence; ``noun`` names what is compared."""
        return summarized(
            (self.missing, f"{noun} missing"),
            (self.extra, f"{noun} not in the source"),
            (self.changed, f"{noun} changed"),
            (self.wrong, f"{noun} at another time"),
        )

    def compare_pair(
        self, expected: PacketData, found: PacketData, tolerance_s: Fraction, *, ends: bool = False
    ) -> None:
        """Count a pair of packets and its differences; ``ends`` also compares their ends."""
        self.packets += 1
        late_s = Fraction(0)
        if found.time_s is not None and expected.time_s is not None:
            late_s = found.time_s - expected.time_s
        # The end of a subtitle is as visible as its start; the duration of audio is in its samples.
        if ends and abs(late_s) <= tolerance_s and expected.duration_s:
            late_s = found.duration_s - expected.duration_s
        if abs(late_s) > tolerance_s:
            self.wrong.add(f"{expected} ({float(late_s):+.6f} s)")
        # AAC from a transport stream has a header in each packet, which MP4 does not store.
        header_size = len(expected.data) - len(found.data)
        if header_size in ADTS_HEADERS and expected.data.endswith(found.data):
            self.has_adts = True
        elif found.data != expected.data:
            self.changed.add(str(expected))

    def add_missing(self, expected: PacketData) -> None:
        """Count a packet that the result lacks."""
        # The uploader drops audio that overlaps at a splice, where its place is not defined.
        if any(abs((expected.time_s or 0) - splice_s) < SPLICE_S for splice_s in self.splices_s):
            self.dropped += 1
        else:
            self.missing.add(str(expected))


def compare_audio(
    source: Path,
    result: Path,
    tracks: tuple[AudioTrack, AudioTrack],
    shifts_s: Sequence[Fraction],
    slack_s: Fraction,
) -> TrackMatch:
    """Compare the packets of an audio track.

    Args:
        source: the original file.
        result: the file made from it.
        tracks: the track in each of them.
        shifts_s: how much later each recording of the source is in the result.
        slack_s: added to the tolerance, which is a tick of the coarser clock.
    """
    match = TrackMatch()
    with open_media(source) as source_file, open_media(result) as result_file:
        stream, copy = (
            file.streams[track.index]
            for file, track in zip((source_file, result_file), tracks, strict=True)
        )
        # The muxer shifts repeated times by a tick of its own clock.
        times = IncreasingTimes(Fraction(copy.time_base or 1))
        expected = (
            packet._replace(time_s=times.of(packet.time_s))
            for packet in _spliced(_packets_of(source_file, tracks[0]), shifts_s, match)
        )
        found = _packets_of(result_file, tracks[1])
        # Containers put as many PCM samples into a packet as they like.
        is_pcm = stream.codec_context.name.startswith("pcm_")
        pairs = (
            _cut_alike(expected, found) if is_pcm else pair_nearest(expected, found, [Fraction(0)])
        )
        _compare(match, pairs, _tolerance(stream, copy, slack_s))
    return match


def compare_text(
    source: Path, result: Path, indexes: tuple[int, int], shift_s: Fraction, slack_s: Fraction
) -> TrackMatch:
    """Compare the lines of a text subtitle track, without markup and styles.

    The arguments are those of `compare_audio`, with the shift of the first recording.
    """
    match = TrackMatch()
    with open_media(source) as source_file, open_media(result) as result_file:
        stream, copy = source_file.streams[indexes[0]], result_file.streams[indexes[1]]
        pairs = pair_nearest(
            _lines(source_file, stream, shift_s),
            _lines(result_file, copy, Fraction(0)),
            [Fraction(0)],
        )
        _compare(match, pairs, _tolerance(stream, copy, slack_s), ends=True)
    return match


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """An audio track of a file.

    Args:
        index: the stream index.
        codings: those of the stream, if it has several.
        coding: the one of this track, which is all that the result can hold in a track.
    """

    index: int
    codings: tuple[bytes, ...] = ()
    coding: bytes = b""


def audio_tracks(path: Path) -> tuple[list[AudioTrack], list[str]]:
    """The audio tracks of a file's main program, and the codecs that no container can hold.

    Tracks without a packet do not count.
    """
    indexes, refused = _audio_indexes(path)
    with open_media(path) as container:
        codings = first_packets(container, indexes)
    tracks = []
    for index in indexes:
        found = tuple(codings.get(index, ()))
        if len(found) < 2:
            tracks.append(AudioTrack(index))
        else:
            tracks += [AudioTrack(index, found, coding) for coding in found]
    return tracks, refused


def _audio_indexes(path: Path) -> tuple[list[int], list[str]]:
    with open_media(path) as container:
        program = streams_of_program(path, container, main_video(container, path))
        streams = [stream for stream in container.streams.audio if stream.index in program]
        waiting = {stream.index for stream in streams}
        if not waiting:
            return [], []
        # A codec can be judged by a packet only: some carry their parameters there.
        tracks, refused = [], []
        for packet in container.demux(*streams):
            if packet.size and packet.stream_index in waiting:
                waiting.remove(packet.stream_index)
                try:
                    write_codec_params(packet.stream, packet)
                    tracks.append(packet.stream_index)
                except UnreadableMedia:
                    refused.append(codec_label(packet.stream))
            if not waiting:
                break
        return sorted(tracks), refused


def _compare(
    match: TrackMatch,
    pairs: Iterable[Pair[PacketData]],
    tolerance_s: Fraction,
    *,
    ends: bool = False,
) -> None:
    for expected, found in pairs:
        if expected is not None and found is not None:
            match.compare_pair(expected, found, tolerance_s, ends=ends)
        elif found is not None:
            match.extra.add(str(found))
        elif expected is not None:
            match.add_missing(expected)


def _tolerance(stream: Stream, copy: Stream, slack_s: Fraction) -> Fraction:
    """One tick of the coarser clock, and the slack."""
    return max(Fraction(stream.time_base or 1), Fraction(copy.time_base or 1)) + slack_s


def _packets_of(container: InputContainer, track: AudioTrack) -> Iterator[PacketData]:
    sorter = CodingSorter(track.codings)
    for packet in _packets(container, container.streams[track.index]):
        if not track.codings or sorter.of(packet.data) == track.coding:
            yield packet


def _packets(container: InputContainer, stream: Stream) -> Iterator[PacketData]:
    tick_s = Fraction(stream.time_base or 1)
    try:
        for packet in container.demux(stream):
            if packet.size:
                time = packet.pts if packet.pts is not None else packet.dts
                yield PacketData(
                    None if time is None else time * tick_s,
                    bytes(packet),
                    (packet.duration or 0) * tick_s,
                )
    except av.error.FFmpegError:
        return  # The frame reader reports that the file ends early.


def _spliced(
    packets: Iterator[PacketData], shifts_s: Sequence[Fraction], match: TrackMatch
) -> Iterator[PacketData]:
    """The source's packets at their times in the result; what overlaps at a splice is dropped."""
    recording, last_s, spliced_s = 0, None, None
    for packet in packets:
        if packet.time_s is None:
            yield packet
            continue
        if last_s is not None and last_s - packet.time_s > JUMP_S:
            if recording + 1 == len(shifts_s):
                # Audio alone does not start a recording.
                match.dropped += 1
                continue
            recording += 1
            match.splices_s.append(packet.time_s + shifts_s[recording])
        last_s = packet.time_s
        time_s = packet.time_s + shifts_s[recording]
        # Audio of the new recording that overlaps the end of the one before.
        if recording and spliced_s is not None and time_s <= spliced_s:
            match.dropped += 1
            continue
        spliced_s = time_s
        yield packet._replace(time_s=time_s)


def _cut_alike(
    source: Iterator[PacketData], result: Iterator[PacketData]
) -> Iterator[Pair[PacketData]]:
    """The same samples in parts of the same length, whatever packets they come in."""
    expected, found = next(source, None), next(result, None)
    while expected is not None and found is not None:
        size = min(len(expected.data), len(found.data))
        expected_part, expected_rest = expected.cut(size)
        found_part, found_rest = found.cut(size)
        yield expected_part, found_part
        expected, found = expected_rest or next(source, None), found_rest or next(result, None)
    while expected is not None or found is not None:
        yield expected, found
        expected, found = next(source, None), next(result, None)


def _lines(container: InputContainer, stream: Stream, shift_s: Fraction) -> Iterator[PacketData]:
    codec = stream.codec_context.codec.canonical_name
    for packet in _packets(container, stream):
        text = plain_text(codec, packet.data)
        if text and packet.time_s is not None:
            yield packet._replace(time_s=packet.time_s + shift_s, data=text)
