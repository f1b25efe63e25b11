"""Read a video file: demux it into the cutter, and note how it ended and what else is in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from facepaint.media.open import open_media
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
"""A file that ends this much before it says it does was cut off."""

CLAIMING = ("matroska", "flv")
"""Formats that claim the length of the whole, not of a track, and do not notice that they were cut
off."""

ONE_SET = ("mpeg4", "vc1", "wmv3")
"""Codecs whose decoders take parameters once, when they are made; others take new ones or need
none."""

TRANSPORT_PACKETS = (188, 192, 204)
"""Sizes of the packets that an MPEG transport stream is made of, as broadcast, on Blu-ray, with
error correction."""


class Reader:
    """One pass over a video file, by which memory does not grow.

    ``segments`` gives its segments; after that ``truncated`` says why it ended early (empty if it
    did not), ``late`` how many frames came too late in the file to be shown, ``headless`` how many
    come before the first keyframe,
    ``unplaced`` how many have no place in the order of showing, ``lost_sounds`` how many packets of
    sound had times that fit nowhere, ``parts`` how many recordings it is made of, and ``extras``
    what else is in it. ``bytes`` grows while it is read.

    ``work`` is what a pixel costs to encode, x264's being 1: the more, the shorter are the segments
    of large pictures.
    """

    def __init__(self, path: Path, probed: Probe, segment_s: float, work: float = 1.0) -> None:
        self._path, self._probed = path, probed
        pixels = round(probed.video.width * probed.video.height * work)
        self._cutter = Cutter(probed.video.time_base, pixels, segment_s)
        self._subtitles = SubtitleReader()
        self._begun = False
        self._last: Packet | None = None
        self._corrupt = False
        self._timeline = TimestampSplicer(probed.video_index)
        self._side_data = SideData(probed.video.extradata)
        self._restored: PtsRecovery | None = None
        self.bytes = 0
        self.truncated = ""
        self.lost_sounds = 0
        self.headless = 0

    @property
    def late(self) -> int:
        """Frames that come too late in the file for the time they are to be shown at."""
        return self._cutter.late

    @property
    def unplaced(self) -> int:
        """Frames that carry no time, and that could not be told from the order of showing."""
        return self._restored.lost if self._restored else 0

    @property
    def parts(self) -> int:
        """Recordings put one behind the other, each with times of its own; 1 for most files."""
        return self._timeline.parts

    @property
    def lost_subtitles(self) -> int:
        """Subtitles there was no room for."""
        return self._subtitles.left_out

    def extras(self) -> Extras:
        """Tags, chapters and text subtitles."""
        return Extras(self._probed.tags, self._probed.chapters, self._subtitles.tracks())

    def segments(self) -> Iterator[CutSegment]:
        """Cut the file. Data that ends early, or cannot be read on, ends the segments."""
        with open_media(self._path) as container:
            stream = container.streams[self._probed.video_index]
            if self._probed.restored and isinstance(stream, av.VideoStream):
                self._restored = PtsRecovery(stream)
            try:
                for packet in container.demux(self._wanted(container)):
                    if packet.size:
                        self.bytes += packet.size
                        yield from self._sort(packet)
                    if self.truncated:
                        break
            except av.error.FFmpegError as exc:
                self.truncated = f"{exc.strerror or exc}".lower()
            if self._restored is not None:
                yield from self._timed(av.Packet(), self._restored)
            if not self.truncated:
                self._check_end(container)
        yield from self._cutter.finish()

    def _wanted(self, container: InputContainer) -> list[Stream]:
        copied = [
            container.streams[index]
            for index in (self._probed.video_index, *self._probed.audio_indexes)
        ]
        return [
            *copied,
            *(stream for stream in container.streams.subtitles if self._subtitles.takes(stream)),
        ]

    def _sort(self, packet: av.Packet[Any]) -> Iterator[CutSegment]:
        index = packet.stream.index
        if packet.stream.type == "subtitle":
            self._subtitles.add(packet)
        elif index != self._probed.video_index:
            self._audio(packet, self._probed.audio_indexes.index(index))
        elif self._restored is None:
            yield from self._video(packet)
        else:
            yield from self._timed(packet, self._restored)

    def _timed(self, packet: av.Packet[Any], restored: PtsRecovery) -> Iterator[CutSegment]:
        for timed in restored.of(packet):
            yield from self._video(timed)

    def _audio(self, packet: av.Packet[Any], track: int) -> None:
        shift = self._timeline.shift(packet)
        if shift is None:
            self.lost_sounds += 1
            return
        described = AudioPacket(track, packet.size, *_times(packet, shift), _duration(packet))
        self._cutter.audio(described, bytes(packet), self._probed.audio[track].time_base)

    def _video(self, packet: av.Packet[Any]) -> Iterator[CutSegment]:
        shift = self._timeline.shift(packet)
        data, codec = bytes(packet), self._probed.video.codec
        self._begun = self._begun or packet.is_keyframe
        if not self._begun:
            self.headless += 1  # no player shows them
        if shift is None or not self._begun:
            return
        side_data = self._side_data.of(packet)
        if "new_extradata" in side_data and codec in ONE_SET:
            self.truncated = (
                f"its video is coded in another way after {float(self._timeline.ends_s):.1f} s"
            )
            return
        self._corrupt = packet.is_corrupt
        described = Packet(
            size=len(data),
            pts=None if packet.pts is None else packet.pts + shift,
            dts=None if packet.dts is None else packet.dts + shift,
            duration=_duration(packet),
            keyframe=packet.is_keyframe and begins_cleanly(codec, self._side_data.extradata, data),
            discard=packet.is_discard or shows_nothing(codec, data),
            side_data=tuple((name, len(piece)) for name, piece in side_data.items()),
        )
        if described.discard:
            # An edit list gives such packets the times of others, which are shown.
            described = replace(described, pts=None, dts=None)
        else:
            described = self._last = _with_pts(described, self._last)
        yield from self._cutter.video(described, b"".join((data, *side_data.values())))

    def _check_end(self, container: InputContainer) -> None:
        """Note it if the data ends before the file says it does: most demuxers just stop there."""
        stream = container.streams[self._probed.video_index]
        claimed = None
        if stream.duration and stream.time_base:
            claimed = (stream.duration + (stream.start_time or 0)) * stream.time_base
        elif container.duration and container.format.name.startswith(CLAIMING):
            claimed = Fraction(container.duration, av.time_base)
        ends_s = self._timeline.ends_s
        if claimed is not None and claimed - ends_s > MISSING_S:
            self.truncated = f"its data ends at {float(ends_s):.1f} s of {float(claimed):.1f} s"
        elif self._corrupt or self._breaks_off(container.format.name):
            self.truncated = f"its data ends in the middle of a frame at {float(ends_s):.1f} s"

    def _breaks_off(self, format_name: str) -> bool:
        """Whether the last unit of a format made of units of one size is not whole."""
        sizes = TRANSPORT_PACKETS if format_name == "mpegts" else ()
        return bool(sizes) and all(self._probed.source.bytes % size for size in sizes)


def _times(packet: av.Packet[Any], shift: int) -> tuple[int | None, int | None]:
    """Its pts and dts, shifted."""
    pts, dts = (None if time is None else time + shift for time in (packet.pts, packet.dts))
    return pts, dts


def _duration(packet: av.Packet[Any]) -> int:
    """How long a packet lasts, in MP4 no longer than its track does: an edit list may end within
    the last one."""
    stream, duration = packet.stream, packet.duration or 0
    if (
        packet.pts is None
        or not stream.duration
        or not stream.container.format.name.startswith("mov")
    ):
        return duration
    left = (stream.start_time or 0) + stream.duration - packet.pts
    return left if 0 < left < duration else duration


def _with_pts(packet: Packet, last: Packet | None) -> Packet:
    """The packet with a pts, which can stand in for it where frames are not reordered; see `probe`
    for the others."""
    if packet.pts is not None:
        return packet
    if packet.dts is not None:
        return replace(packet, pts=packet.dts)
    if last is None or last.pts is None:
        return replace(packet, pts=0)
    return replace(packet, pts=last.pts + max(1, last.duration))
