"""Decode the beginning of a video: whether it can be decoded at all, and what only decoded frames
tell."""

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
from facepaint.media.decoder import open_decoder, packet_of
from facepaint.media.open import open_media, orientation
from facepaint.records.job import VideoStream
from uploader.pts_recovery import PtsRecovery, can_restore
from uploader.side_data import needed_side_data

MAX_BYTES = 64 * 2**20
"""How far into the file the first frames, and the first packet of each sound track, are looked
for."""

INDEXED = "mov"
"""The format whose tracks can be read without what lies between their packets."""

REORDERED_FRAMES = 8
"""Frames decoded of a video whose frames are reordered, to see if their times are too."""


class UnorderedTimes(UnreadableMedia):
    """Frames come out of the decoder in another order than their times say."""


@dataclass(slots=True)
class FirstFrames:
    """The first frame as a worker's decoder gives it, and the first packet of every track, by
    stream number.

    ``told`` is the first frame with all that the container tells of its colours and light, which no
    worker sees.
    ``rotation`` and ``mirrored`` as in `facepaint.records.job.VideoStream`.
    """

    first: av.VideoFrame
    told: av.VideoFrame
    packets: dict[int, av.Packet[Any]]
    rotation: int
    mirrored: bool


@dataclass(slots=True)
class _Seen:
    """What has come out so far: of a decoder like the workers' the first frame and the times of
    all, and one frame of the container's own. More frames are not kept: each may be many megabytes.
    """

    first: av.VideoFrame | None = None
    times: list[int | None] = field(default_factory=list)
    own: av.VideoFrame | None = None
    packets: dict[int, av.Packet[Any]] = field(default_factory=dict)
    bytes: int = 0

    def add(self, frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            self.first = self.first or frame
            self.times.append(frame.pts)


def decode_first_frames(
    container: InputContainer, stream: InputVideo, video: VideoStream, path: Path, restored: bool
) -> FirstFrames:
    """Decode until there is a frame, and read until each sound track has brought a packet.

    Args:
        restored: the packets' times are to be told from the order of showing, see
            `uploader.pts_recovery`.

    Raises:
        UnorderedTimes: the frames carry no usable times.
        UnreadableMedia: not one frame can be decoded from packets alone.
    """
    try:
        decoder = open_decoder(video)
    except UnreadableMedia as exc:
        raise UnreadableMedia(f"{path}: {exc}; convert it to H.264 first") from exc
    untimed = f"{path}: its frames carry no times that can be relied on; convert it to MP4 first"
    if restored and not can_restore(video.codec):
        raise UnreadableMedia(untimed)
    reordered = bool(stream.codec_context.has_b_frames)
    times = PtsRecovery(stream) if restored else None
    seen = _read(container, stream, decoder, REORDERED_FRAMES if reordered else 1, times)
    if seen.first is None:
        raise UnreadableMedia(
            f"{path}: not one frame of its {video.codec} video can be decoded; play it to see "
            "if it is whole"
        )
    if reordered and (
        None in seen.times or seen.times != sorted(seen.times, key=lambda time: time or 0)
    ):
        raise UnorderedTimes(untimed)
    told = seen.own or seen.first
    return FirstFrames(seen.first, told, seen.packets, *orientation(told))


def late_packets(
    path: Path, container: InputContainer, indexes: Iterable[int]
) -> dict[int, av.Packet[Any]]:
    """The first packets of sound tracks that begin far into the file, by stream number.

    Only where an index leads to them: to look through the whole of a large file for a track that
    may be empty would take a weak device long.
    """
    found = {}
    for index in indexes if container.format.name.startswith(INDEXED) else ():
        with open_media(path) as again:
            for stream in again.streams:
                stream.discard = Discard.default if stream.index == index else Discard.all
            try:
                found[index] = next(
                    packet for packet in again.demux(again.streams[index]) if packet.size
                )
            except (StopIteration, av.error.FFmpegError):
                continue  # it is empty
    return found


def _read(
    container: InputContainer,
    stream: InputVideo,
    decoder: av.VideoCodecContext,
    enough: int,
    times: PtsRecovery | None,
) -> _Seen:
    wanted = {stream.index, *(audio.index for audio in container.streams.audio)}
    seen = _Seen()
    try:
        for packet in container.demux([container.streams[index] for index in sorted(wanted)]):
            seen.bytes += packet.size
            if packet.size:
                seen.packets.setdefault(packet.stream.index, packet)
            if packet.stream.index == stream.index and len(seen.times) < enough:
                # The container tells only its own decoder of the display matrix, colours and light.
                seen.own = seen.own or next(iter(_decoded(stream.codec_context, packet)), None)
                for timed in times.of(packet) if times else [packet]:
                    seen.add(_decoded(decoder, _bare(timed)))
            if (
                len(seen.times) >= enough and seen.packets.keys() >= wanted
            ) or seen.bytes > MAX_BYTES:
                break
    except av.error.FFmpegError:
        pass  # data that ends early: what came decides
    if seen.first is None:
        seen.add(_decoded(decoder, None))
    return seen


def _bare(packet: av.Packet[Any]) -> av.Packet[Any] | None:
    """A packet as a worker gets it: bytes, times and the side data that is needed."""
    if not packet.size:
        return None
    bare = packet_of(bytes(packet), needed_side_data(packet))
    bare.pts, bare.dts, bare.time_base = packet.pts, packet.dts, packet.time_base
    return bare


def _decoded(decoder: av.VideoCodecContext, packet: av.Packet[Any] | None) -> list[av.VideoFrame]:
    try:
        return decoder.decode(packet)
    except av.error.FFmpegError:
        return []
