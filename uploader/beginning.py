"""Decode the beginning of a video: whether it can be decoded at all, and what only decoded frames tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream as InputVideo

from facepaint.decoder import open_decoder, packet_of
from facepaint.errors import UnreadableMedia
from facepaint.jobs import VideoStream
from facepaint.media import orientation

MAX_BYTES = 64 * 2**20
"""How far into the file the first frames, and the first packet of each sound track, are looked for."""

REORDERED_FRAMES = 8
"""Frames decoded of a video whose frames are reordered, to see if their times are too."""


@dataclass(slots=True)
class Beginning:
    """The first frame as a worker's decoder gives it, and the first packet of every track, by stream number.

    ``rotation`` and ``mirrored`` as in `facepaint.jobs.VideoStream`.
    """

    first: av.VideoFrame
    packets: dict[int, av.Packet[Any]]
    rotation: int
    mirrored: bool


@dataclass(slots=True)
class _Seen:
    """What has come out so far: frames of a decoder like the workers', and one of the container's own."""

    frames: list[av.VideoFrame] = field(default_factory=list)
    own: av.VideoFrame | None = None
    packets: dict[int, av.Packet[Any]] = field(default_factory=dict)
    bytes: int = 0


def decode_beginning(container: InputContainer, stream: InputVideo, video: VideoStream, path: Path) -> Beginning:
    """Decode until there is a frame, and read until each sound track has brought a packet.

    Raises:
        UnreadableMedia: not one frame can be decoded from packets alone, or the frames carry no usable times.
    """
    try:
        decoder = open_decoder(video)
    except UnreadableMedia as exc:
        raise UnreadableMedia(f"{path}: {exc}; convert it to H.264 first") from exc
    reordered = bool(stream.codec_context.has_b_frames)
    seen = _read(container, stream, decoder, REORDERED_FRAMES if reordered else 1)
    if not seen.frames:
        raise UnreadableMedia(
            f"{path}: not one frame of its {video.codec} video can be decoded; play it to see if it is whole"
        )
    times = [frame.pts for frame in seen.frames]
    if reordered and (None in times or times != sorted(times, key=lambda time: time or 0)):
        raise UnreadableMedia(f"{path}: its frames carry no times that can be relied on; convert it to MP4 first")
    if seen.packets[stream.index].has_sidedata("palette"):
        raise UnreadableMedia(f"{path}: the palette of its {video.codec} video is not read; convert it to H.264 first")
    return Beginning(seen.frames[0], seen.packets, *orientation(seen.own or seen.frames[0]))


def _read(container: InputContainer, stream: InputVideo, decoder: av.VideoCodecContext, enough: int) -> _Seen:
    wanted = {stream.index, *(audio.index for audio in container.streams.audio)}
    seen = _Seen()
    try:
        for packet in container.demux([container.streams[index] for index in sorted(wanted)]):
            seen.bytes += packet.size
            if packet.size:
                seen.packets.setdefault(packet.stream.index, packet)
            if packet.stream.index == stream.index and len(seen.frames) < enough:
                seen.frames += _decoded(decoder, _bare(packet))
                # The container tells only its own decoder of the display matrix.
                seen.own = seen.own or next(iter(_decoded(stream.codec_context, packet)), None)
            if (len(seen.frames) >= enough and seen.packets.keys() >= wanted) or seen.bytes > MAX_BYTES:
                break
    except av.error.FFmpegError:
        pass  # data that ends early: what came decides
    if not seen.frames:
        seen.frames += _decoded(decoder, None)
    return seen


def _bare(packet: av.Packet[Any]) -> av.Packet[Any] | None:
    """A packet as a worker gets it: bytes and times."""
    if not packet.size:
        return None
    bare = packet_of(bytes(packet))
    bare.pts, bare.dts, bare.time_base = packet.pts, packet.dts, packet.time_base
    return bare


def _decoded(decoder: av.VideoCodecContext, packet: av.Packet[Any] | None) -> list[av.VideoFrame]:
    try:
        return decoder.decode(packet)
    except av.error.FFmpegError:
        return []
