"""Read a video file: demux it into the cutter, and note how it ended and what else it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from facepaint.media.adts import CodingSorter
from facepaint.media.open import open_media
from facepaint.media.programs import streams_of_program
from facepaint.media.subtitles import text_streams
from facepaint.records.job import Extras
from facepaint.records.segment import AudioPacket, Packet
from uploader.cutter import CutSegment, Cutter
from uploader.keyframes import begins_cleanly, shows_nothing
from uploader.probe import Probe
from uploader.pts_recovery import PtsRecovery
from uploader.side_data import SideData
from uploader.subtitles import SubtitleReader
from uploader.timestamp_splicing import TimestampSplicer

MISSING_S = 1
"""A file whose data ends this much before its stated end was cut off."""

STATED_LENGTH = ("matroska", "flv")
"""Formats that state the length of the whole file, not of a track, and whose demuxers do not report
missing data."""

FIXED_PARAMETERS = ("mpeg4", "vc1", "wmv3")
"""Codecs whose decoders take parameters only when they are opened; others accept new ones or need
none."""

TRANSPORT_PACKETS = (188, 192, 204)
"""Sizes of MPEG transport stream packets: broadcast, Blu-ray, with error correction."""


class Reader:
    """One pass over a video file in bounded memory.

    ``bytes`` grows while the file is read. When `segments` has ended, the other attributes describe
    what was read.

    Attributes:
        bytes: bytes of packets read.
        truncated: why the file ended early; empty if it did not.
        before_keyframe: frames before the first keyframe, which cannot be decoded.
        dropped_audio: audio packets whose times fit nowhere.

    Args:
        path: the file.
        probed: its probe.
        segment_s: the length of a segment in seconds.
        work: what a pixel costs to encode, relative to x264. The more, the shorter are the segments
            of large frames.
    """

    def __init__(self, path: Path, probed: Probe, segment_s: float, work: float = 1.0) -> None:
        self._path, self._probed = path, probed
        pixels = round(probed.video.width * probed.video.height * work)
        self._cutter = Cutter(probed.video.time_base, pixels, segment_s)
        self._subtitles = SubtitleReader()
        self._has_keyframe = False
        self._last: Packet | None = None
        self._corrupt = False
        self._splicer = TimestampSplicer(probed.video_index)
        self._side_data = SideData(probed.video.extradata)
        self._recovery: PtsRecovery | None = None
        self._tracks = list(zip(probed.audio_indexes, probed.audio_codings, strict=True))
        self._sorters = {
            index: CodingSorter([coding for other, coding in self._tracks if other == index])
            for index, coding in self._tracks
            if coding
        }
        self.bytes = 0
        self.truncated = ""
        self.dropped_audio = 0
        self.before_keyframe = 0

    @property
    def late(self) -> int:
        """Frames that are stored after the segment that should show them."""
        return self._cutter.late

    @property
    def without_time(self) -> int:
        """Frames without a time, whose place in display order is unknown."""
        return self._recovery.dropped if self._recovery else 0

    @property
    def recordings(self) -> int:
        """Concatenated recordings, each with its own times; 1 for most files."""
        return self._splicer.recordings

    @property
    def dropped_subtitles(self) -> int:
        """Subtitles for which there was no room."""
        return self._subtitles.dropped

    def extras(self) -> Extras:
        """Tags, chapters and text subtitles."""
        return Extras(self._probed.tags, self._probed.chapters, self._subtitles.tracks())

    def segments(self) -> Iterator[CutSegment]:
        """Cut the file. Data that ends early, or cannot be read further, ends the segments."""
        with open_media(self._path) as container:
            stream = container.streams[self._probed.video_index]
            if self._probed.recover_pts and isinstance(stream, av.VideoStream):
                self._recovery = PtsRecovery(stream)
            try:
                yield from self._demux(container)
            except av.error.FFmpegError as exc:
                self.truncated = f"{exc.strerror or exc}".lower()
            if self._recovery is not None:
                # An empty packet makes it return the packets that it holds back.
                yield from self._recovered(av.Packet(), self._recovery)
            if not self.truncated:
                self._check_end(container)
        yield from self._cutter.finish()

    def _demux(self, container: InputContainer) -> Iterator[CutSegment]:
        for packet in container.demux(self._wanted(container)):
            # Packets that flush a decoder are empty.
            if packet.size:
                self.bytes += packet.size
                yield from self._sort(packet)
            if self.truncated:
                return

    def _wanted(self, container: InputContainer) -> list[Stream]:
        # Several tracks may come from one stream.
        indexes = dict.fromkeys((self._probed.video_index, *self._probed.audio_indexes))
        copied = [container.streams[index] for index in indexes]
        program = streams_of_program(self._path, container, copied[0])
        texts = [text for text in text_streams(container) if text.index in program]
        return [*copied, *texts]

    def _sort(self, packet: av.Packet[Any]) -> Iterator[CutSegment]:
        index = packet.stream.index
        if packet.stream.type == "subtitle":
            self._subtitles.add(packet)
        elif index != self._probed.video_index:
            self._audio(packet, self._track_of(packet))
        elif self._recovery is None:
            yield from self._video(packet)
        else:
            yield from self._recovered(packet, self._recovery)

    def _recovered(self, packet: av.Packet[Any], recovery: PtsRecovery) -> Iterator[CutSegment]:
        for timed in recovery.of(packet):
            yield from self._video(timed)

    def _track_of(self, packet: av.Packet[Any]) -> int:
        """The number of the audio track that a packet belongs to."""
        index = packet.stream.index
        if index not in self._sorters:
            return self._probed.audio_indexes.index(index)
        return self._tracks.index((index, self._sorters[index].of(bytes(packet))))

    def _audio(self, packet: av.Packet[Any], track: int) -> None:
        shift = self._splicer.shift(packet)
        if shift is None:
            self.dropped_audio += 1
            return
        pts, dts = _shifted(packet, shift)
        described = AudioPacket(track, packet.size, pts, dts, _duration(packet))
        self._cutter.audio(described, bytes(packet), self._probed.audio[track].time_base)

    def _video(self, packet: av.Packet[Any]) -> Iterator[CutSegment]:
        shift = self._splicer.shift(packet)
        self._has_keyframe = self._has_keyframe or packet.is_keyframe
        if not self._has_keyframe:
            # Players do not show these frames either.
            self.before_keyframe += 1
            return
        if shift is None:
            return
        side_data = self._side_data.of(packet)
        if "new_extradata" in side_data and self._probed.video.codec in FIXED_PARAMETERS:
            ends_s = float(self._splicer.ends_s)
            self.truncated = f"its video changes its codec parameters after {ends_s:.1f} s"
            return
        # Only the last packet counts: others are damaged, not cut off.
        self._corrupt = packet.is_corrupt
        data = bytes(packet)
        described = self._describe(packet, data, shift, side_data)
        yield from self._cutter.video(described, b"".join((data, *side_data.values())))

    def _describe(
        self, packet: av.Packet[Any], data: bytes, shift: int, side_data: Mapping[str, bytes]
    ) -> Packet:
        """The record of a video packet."""
        codec = self._probed.video.codec
        pts, dts = _shifted(packet, shift)
        described = Packet(
            size=len(data),
            pts=pts,
            dts=dts,
            duration=_duration(packet),
            keyframe=packet.is_keyframe and begins_cleanly(codec, self._side_data.extradata, data),
            discard=packet.is_discard or shows_nothing(codec, data),
            side_data=tuple((name, len(value)) for name, value in side_data.items()),
        )
        if described.discard:
            # An edit list gives such packets the times of others, which are shown.
            return replace(described, pts=None, dts=None)
        self._last = _with_pts(described, self._last)
        return self._last

    def _check_end(self, container: InputContainer) -> None:
        """Note data that ends before its stated end: most demuxers do not report it."""
        stated_s = self._stated_end_s(container)
        ends_s = self._splicer.ends_s
        if stated_s is not None and stated_s - ends_s > MISSING_S:
            self.truncated = f"its data ends at {float(ends_s):.1f} s of {float(stated_s):.1f} s"
        # Transport streams state no length; their demuxer marks an incomplete last frame.
        elif self._corrupt or self._breaks_off(container.format.name):
            self.truncated = f"its data ends in the middle of a frame at {float(ends_s):.1f} s"

    def _stated_end_s(self, container: InputContainer) -> Fraction | None:
        """When the video ends according to the file, in seconds."""
        stream = container.streams[self._probed.video_index]
        if stream.duration and stream.time_base:
            return (stream.duration + (stream.start_time or 0)) * stream.time_base
        if container.duration and container.format.name.startswith(STATED_LENGTH):
            return Fraction(container.duration, av.time_base)
        return None

    def _breaks_off(self, format_name: str) -> bool:
        """Whether a transport stream ends inside one of its packets."""
        if format_name != "mpegts":
            return False
        return all(self._probed.source.bytes % size for size in TRANSPORT_PACKETS)


def _shifted(packet: av.Packet[Any], shift: int) -> tuple[int | None, int | None]:
    """The packet's pts and dts, shifted."""
    pts, dts = (None if time is None else time + shift for time in (packet.pts, packet.dts))
    return pts, dts


def _duration(packet: av.Packet[Any]) -> int:
    """A packet's duration in ticks, in MP4 no longer than the rest of its track.

    An edit list may end inside the last packet.
    """
    stream, duration = packet.stream, packet.duration or 0
    is_mp4 = stream.container.format.name.startswith("mov")
    if packet.pts is None or not stream.duration or not is_mp4:
        return duration
    rest = (stream.start_time or 0) + stream.duration - packet.pts
    return rest if 0 < rest < duration else duration


def _with_pts(packet: Packet, last: Packet | None) -> Packet:
    """The packet with a pts.

    The dts can replace it where frames are not reordered; `probe` refuses the other videos.
    """
    if packet.pts is not None:
        return packet
    if packet.dts is not None:
        return replace(packet, pts=packet.dts)
    if last is None or last.pts is None:
        return replace(packet, pts=0)
    return replace(packet, pts=last.pts + max(1, last.duration))
