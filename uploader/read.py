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
from uploader.cut import CutSegment, Cutter
from uploader.keyframes import begins_cleanly
from uploader.media import open_media
from uploader.probe import Probe
from uploader.subtitles import SubtitleReader

JUMP_S = 1
"""Times that go back by more than this do not belong to the same recording any more."""

MISSING_S = 1
"""A file that ends this much before it says it does was cut off."""

CLAIMING = ("matroska", "flv")
"""Formats that claim the length of the whole, not of a track, and do not notice that they were cut off."""

TRANSPORT_PACKETS = (188, 192, 204)
"""Sizes of the packets that an MPEG transport stream is made of, as broadcast, on Blu-ray, with error correction."""


class Reader:
    """One pass over a video file, by which memory does not grow.

    ``segments`` gives its segments; after that ``truncated`` says why it ended early (empty if it did not), ``late``
    how many frames came too late in the file to be shown, ``lost_sounds`` how many packets of sound tracks whose times
    jump back, and ``extras`` what else is in it. ``bytes`` grows while it is read.
    """

    def __init__(self, path: Path, probed: Probe, segment_s: float) -> None:
        self._path, self._probed = path, probed
        self._cutter = Cutter(probed.video.time_base, probed.video.width * probed.video.height, segment_s)
        self._subtitles = SubtitleReader()
        self._begun = False
        self._last: Packet | None = None
        self._times_s: dict[int, Fraction] = {}
        self._corrupt = False
        self._ends_s = Fraction(0)
        self.bytes = 0
        self.truncated = ""
        self.lost_sounds = 0

    @property
    def late(self) -> int:
        """Frames that come too late in the file for the time they are to be shown at."""
        return self._cutter.late

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
        index = packet.stream.index
        is_video = index == self._probed.video_index
        if packet.stream.type == "subtitle":
            self._subtitles.add(packet)
        elif self._jumps_back(packet):
            if is_video:
                self.truncated = f"its times jump back after {float(self._times_s[index]):.1f} s"
            else:
                self.lost_sounds += 1
        elif is_video:
            yield from self._video(packet)
        else:
            track = self._probed.audio_indexes.index(index)
            described = AudioPacket(track, packet.size, packet.pts, packet.dts, packet.duration or 0)
            self._cutter.audio(described, bytes(packet), self._probed.audio[track].time_base)

    def _jumps_back(self, packet: av.Packet[Any]) -> bool:
        """Whether times begin anew here, as between recordings put one behind the other."""
        time = packet.pts if packet.dts is None else packet.dts
        if time is None or packet.is_discard:
            return False
        now = time * packet.time_base
        if self._times_s.setdefault(packet.stream.index, now) - now > JUMP_S:
            return True
        self._times_s[packet.stream.index] = now
        end = time if packet.pts is None else packet.pts
        self._ends_s = max(self._ends_s, (end + (packet.duration or 0)) * packet.time_base)
        return False

    def _video(self, packet: av.Packet[Any]) -> Iterator[CutSegment]:
        data = bytes(packet)
        video = self._probed.video
        keyframe = packet.is_keyframe and begins_cleanly(video.codec, video.extradata, data)
        self._begun = self._begun or packet.is_keyframe
        if not self._begun:
            return  # no player shows what comes before the first keyframe
        self._corrupt = packet.is_corrupt
        described = Packet(len(data), packet.pts, packet.dts, packet.duration or 0, keyframe, packet.is_discard)
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
        if claimed is not None and claimed - self._ends_s > MISSING_S:
            self.truncated = f"its data ends at {float(self._ends_s):.1f} s of {float(claimed):.1f} s"
        elif self._corrupt or self._breaks_off(container.format.name):
            self.truncated = f"its data ends in the middle of a frame at {float(self._ends_s):.1f} s"

    def _breaks_off(self, format_name: str) -> bool:
        """Whether the last unit of a format made of units of one size is not whole."""
        sizes = TRANSPORT_PACKETS if format_name == "mpegts" else ()
        return bool(sizes) and all(self._probed.source.bytes % size for size in sizes)


def _with_pts(packet: Packet, last: Packet | None) -> Packet:
    """The packet with a pts, which can stand in for it where frames are not reordered; see `probe` for the others."""
    if packet.pts is not None:
        return packet
    if packet.dts is not None:
        return replace(packet, pts=packet.dts)
    if last is None or last.pts is None:
        return replace(packet, pts=0)
    return replace(packet, pts=last.pts + max(1, last.duration))
