"""Decode the first frames of a video: whether it can be decoded, and what only decoded frames
show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Discard
from av.video.stream import VideoStream as InputVideo

from facepaint.errors import UnreadableMedia
from facepaint.media.decoder import make_packet, open_decoder
from facepaint.media.open import open_media, orientation
from facepaint.records.bounds import Rotation
from facepaint.records.job import VideoStream
from uploader.pts_recovery import PtsRecovery, can_recover_pts
from uploader.side_data import needed_side_data

SEARCH_BYTES = 64 * 2**20
"""How far into the file the first frames, and the first packet of each audio track, are
searched."""

INDEXED_FORMAT = "mov"
"""The format whose tracks can be read without the packets between theirs."""

REORDERED_FRAMES = 8
"""Frames decoded of a video with reordered frames, to see whether their times are in order."""


class UnorderedTimes(UnreadableMedia):
    """The decoder returns frames in another order than that of their times."""


@dataclass(slots=True)
class FirstFrames:
    """The first frame as a worker's decoder returns it, and the first packet of every track.

    ``first`` is decoded from packets alone. ``tagged`` is decoded by the container's own decoder,
    with the colour and HDR metadata of the container, which no worker sees. ``packets`` are by
    stream index. ``rotation`` and ``mirrored`` are as in `facepaint.records.job.VideoStream`.
    """

    first: av.VideoFrame
    tagged: av.VideoFrame
    packets: dict[int, av.Packet[Any]]
    rotation: Rotation
    mirrored: bool


@dataclass(slots=True)
class _Search:
    """What has been read and decoded so far.

    Only two frames are kept, the first of each decoder: a frame may be many megabytes. ``times``
    are the pts of all frames of ``decoder``.
    """

    stream: InputVideo
    decoder: av.VideoCodecContext
    recovery: PtsRecovery | None
    frames_needed: int
    first: av.VideoFrame | None = None
    tagged: av.VideoFrame | None = None
    times: list[int | None] = field(default_factory=list)
    packets: dict[int, av.Packet[Any]] = field(default_factory=dict)
    bytes: int = 0

    @property
    def has_frames(self) -> bool:
        return len(self.times) >= self.frames_needed

    def take(self, packet: av.Packet[Any]) -> None:
        """Note a packet of the container; decode it if it is video and frames are missing."""
        self.bytes += packet.size
        if packet.size:
            self.packets.setdefault(packet.stream.index, packet)
        if packet.stream.index != self.stream.index or self.has_frames:
            return
        if self.tagged is None:
            # The container passes its display matrix, colours and HDR metadata only to its own
            # decoder.
            self.tagged = next(iter(_decoded(self.stream.codec_context, packet)), None)
        for timed in self.recovery.of(packet) if self.recovery else [packet]:
            self.decode(_as_stored(timed))

    def decode(self, packet: av.Packet[Any] | None) -> None:
        """Decode a packet as a worker does; None flushes the decoder."""
        for frame in _decoded(self.decoder, packet):
            self.first = self.first or frame
            self.times.append(frame.pts)


def decode_first_frames(
    container: InputContainer,
    stream: InputVideo,
    video: VideoStream,
    path: Path,
    *,
    recover_pts: bool,
    search_bytes: int = SEARCH_BYTES,
) -> FirstFrames:
    """Decode until there is a frame, and read until each audio track has had a packet.

    Args:
        recover_pts: the packets' times follow from the coded order, see `uploader.pts_recovery`.
        search_bytes: how far to read.

    Raises:
        UnorderedTimes: the frames carry no usable times.
        UnreadableMedia: no frame can be decoded from packets alone.
    """
    try:
        decoder = open_decoder(video)
    except UnreadableMedia as exc:
        raise UnreadableMedia(f"{path}: {exc}; convert it to H.264 first") from exc
    no_times = f"{path}: its frames have no reliable times; convert it to MP4 first"
    if recover_pts and not can_recover_pts(video.codec):
        raise UnreadableMedia(no_times)
    # Without reordered frames the display order is the coded order, whatever the times.
    is_reordered = bool(stream.codec_context.has_b_frames)
    search = _Search(
        stream,
        decoder,
        PtsRecovery(stream) if recover_pts else None,
        REORDERED_FRAMES if is_reordered else 1,
    )
    _read(container, search, search_bytes)
    if search.first is None:
        raise UnreadableMedia(
            f"{path}: not one frame of its {video.codec} video can be decoded; play it to see "
            "if it is complete"
        )
    if is_reordered and not _are_ordered(search.times):
        raise UnorderedTimes(no_times)
    tagged = search.tagged or search.first
    return FirstFrames(search.first, tagged, search.packets, *orientation(tagged))


def late_packets(
    path: Path, container: InputContainer, indexes: Iterable[int]
) -> dict[int, av.Packet[Any]]:
    """The first packets of audio tracks that start far into the file, by stream index.

    Only in a format with an index: searching a whole large file for a track that may be empty would
    take a weak device long.
    """
    if not container.format.name.startswith(INDEXED_FORMAT):
        return {}
    first_packets = {index: _first_packet(path, index) for index in indexes}
    return {index: packet for index, packet in first_packets.items() if packet is not None}


def _first_packet(path: Path, index: int) -> av.Packet[Any] | None:
    """The first packet of one track, None if it is empty or unreadable."""
    with open_media(path) as container:
        # The demuxer then seeks from packet to packet of this track instead of reading the file.
        for stream in container.streams:
            stream.discard = Discard.default if stream.index == index else Discard.all
        try:
            packets = container.demux(container.streams[index])
            return next((packet for packet in packets if packet.size), None)
        except av.error.FFmpegError:
            return None


def _read(container: InputContainer, search: _Search, search_bytes: int) -> None:
    """Read until enough frames and a packet of every track are found, or ``search_bytes`` are
    read."""
    tracks = [search.stream, *container.streams.audio]
    wanted = {track.index for track in tracks}
    try:
        for packet in container.demux(tracks):
            search.take(packet)
            is_complete = search.has_frames and search.packets.keys() >= wanted
            if is_complete or search.bytes > search_bytes:
                break
    except av.error.FFmpegError:
        pass  # Data that ends early: the frames before that decide.
    # A decoder may hold back the only frames of a short file.
    if search.first is None:
        search.decode(None)


def _are_ordered(times: list[int | None]) -> bool:
    known = [time for time in times if time is not None]
    return len(known) == len(times) and known == sorted(known)


def _as_stored(packet: av.Packet[Any]) -> av.Packet[Any] | None:
    """A packet as a worker gets it: bytes, times and the side data that decoders need."""
    if not packet.size:
        return None
    stored = make_packet(bytes(packet), needed_side_data(packet))
    stored.pts, stored.dts, stored.time_base = packet.pts, packet.dts, packet.time_base
    return stored


def _decoded(decoder: av.VideoCodecContext, packet: av.Packet[Any] | None) -> list[av.VideoFrame]:
    try:
        return decoder.decode(packet)
    except av.error.FFmpegError:
        return []
