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

from facepaint.jobs import AudioPacket, Extras, Packet
from facepaint.media import open_media
from uploader.cut import CutSegment, Cutter
from uploader.keyframes import begins_cleanly
from uploader.probe import Probe
from uploader.subtitles import SubtitleReader
from uploader.timeline import Timeline

MISSING_S = 1
"""A file that ends this much before it says it does was cut off."""

CLAIMING = ("matroska", "flv")
"""Formats that claim the length of the whole, not of a track, and do not notice that they were cut off."""

TRANSPORT_PACKETS = (188, 192, 204)
"""Sizes of the packets that an MPEG transport stream is made of, as broadcast, on Blu-ray, with error correction."""


class Reader:
    """One pass over a video file, by which memory does not grow.

    ``segments`` gives its segments; after that ``truncated`` says why it ended early (empty if it did not), ``late``
    how many frames came too late in the file to be shown, ``lost_sounds`` how many packets of sound had times that fit
    nowhere, ``parts`` how many recordings it is made of, and ``extras`` what else is in it. ``bytes`` grows while it is
    read.
    """

    def __init__(self, path: Path, probed: Probe, segment_s: float) -> None:
        self._path, self._probed = path, probed
        self._cutter = Cutter(probed.video.time_base, probed.video.width * probed.video.height, segment_s)
        self._subtitles = SubtitleReader()
        self._begun = False
        self._last: Packet | None = None
        self._corrupt = False
        self._timeline = Timeline(probed.video_index)
        self.bytes = 0
        self.truncated = ""
        self.lost_sounds = 0

    @property
    def late(self) -> int:
        """Frames that come too late in the file for the time they are to be shown at."""
        return self._cutter.late

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
            try:
                for packet in container.demux(self._wanted(container)):
                    if packet.size:
                        self.bytes += packet.size
                        yield from self._sort(packet)
                    if self.truncated:
                        break
                else:
                    self._check_end(container)
            except av.error.FFmpegError as exc:
                self.truncated = f"{exc.strerror or exc}".lower()
        yield from self._cutter.finish()

    def _wanted(self, container: InputContainer) -> list[Stream]:
        copied = [container.streams[index] for index in (self._probed.video_index, *self._probed.audio_indexes)]
        return [*copied, *(stream for stream in container.streams.subtitles if self._subtitles.takes(stream))]

    def _sort(self, packet: av.Packet[Any]) -> Iterator[CutSegment]:
        if packet.stream.type == "subtitle":
            self._subtitles.add(packet)
            return
        index, shift = packet.stream.index, self._timeline.shift(packet)
        if shift is None:
            self.lost_sounds += 1
        elif index == self._probed.video_index:
            yield from self._video(packet, shift)
        else:
            track = self._probed.audio_indexes.index(index)
            described = AudioPacket(track, packet.size, *_times(packet, shift), packet.duration or 0)
            self._cutter.audio(described, bytes(packet), self._probed.audio[track].time_base)

    def _video(self, packet: av.Packet[Any], shift: int) -> Iterator[CutSegment]:
        data = bytes(packet)
        video = self._probed.video
        keyframe = packet.is_keyframe and begins_cleanly(video.codec, video.extradata, data)
        self._begun = self._begun or packet.is_keyframe
        if not self._begun:
            return  # no player shows what comes before the first keyframe
        if packet.has_sidedata("new_extradata") and bytes(packet.get_sidedata("new_extradata")) != video.extradata:
            # Workers make their decoders from one set of parameters.
            self.truncated = f"its video is coded in another way after {float(self._timeline.ends_s):.1f} s"
            return
        self._corrupt = packet.is_corrupt
        described = Packet(len(data), *_times(packet, shift), packet.duration or 0, keyframe, packet.is_discard)
        if described.discard:
            # An edit list gives such packets the times of others, which are shown.
            described = replace(described, pts=None, dts=None)
        else:
            described = self._last = _with_pts(described, self._last)
        yield from self._cutter.video(described, data)

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


def _with_pts(packet: Packet, last: Packet | None) -> Packet:
    """The packet with a pts, which can stand in for it where frames are not reordered; see `probe` for the others."""
    if packet.pts is not None:
        return packet
    if packet.dts is not None:
        return replace(packet, pts=packet.dts)
    if last is None or last.pts is None:
        return replace(packet, pts=0)
    return replace(packet, pts=last.pts + max(1, last.duration))
