"""A video decoder made from a job's record, without a container, and its packets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import av
import av.error
from av.packet import PacketSideData, PktSideDataT, packet_sidedata_type_from_literal

from facepaint.errors import UnreadableMedia
from facepaint.records.job import VideoStream

PADDING_BYTES = 64
"""Bytes that FFmpeg's decoders may read past the end of their input
(AV_INPUT_BUFFER_PADDING_SIZE)."""


def open_decoder(video: VideoStream, threads: int = 1) -> av.VideoCodecContext:
    """A decoder for a job's stream.

    Raises:
        UnreadableMedia: FFmpeg has no decoder of this codec, or it refuses the parameters.
    """
    try:
        context = av.CodecContext.create(video.codec, "r")
        assert isinstance(context, av.VideoCodecContext)
        context.extradata = video.extradata or None
        context.width, context.height = video.width, video.height
        if video.pixel_format:
            context.pix_fmt = video.pixel_format
        if video.bits_per_coded_sample:
            context.bits_per_coded_sample = video.bits_per_coded_sample
        # Some decoders choose the variant of a codec by its tag.
        if video.codec_tag:
            context.codec_tag = video.codec_tag
        context.reorder_depth = video.reorder_depth
        context.thread_count = threads
        # Frame threads delay output and hold one frame each. Segments run in parallel processes
        # instead.
        context.thread_type = "SLICE"
        context.open()
    except (av.error.FFmpegError, ValueError) as exc:
        raise UnreadableMedia(f"no decoder for {video.codec}: {exc}") from exc
    return context


def make_packet(data: bytes, side_data: Mapping[str, bytes] | None = None) -> av.Packet[Any]:
    """A packet that is safe to decode.

    Args:
        data: the packet's own bytes.
        side_data: bytes by FFmpeg's name of the side data.

    Raises:
        UnreadableMedia: FFmpeg has no side data of that name.
    """
    # Decoders read past a packet's end and need zeros there. `av.Packet(data)` borrows Python's
    # bytes without padding: frames would be damaged at random, by what follows them in memory.
    packet: av.Packet[Any] = av.Packet(len(data))
    if data:
        packet.update(data)
    for name, piece in (side_data or {}).items():
        packet.set_sidedata(_side_data(name, piece))
    return packet


def _side_data(name: str, piece: bytes) -> PacketSideData:
    if name not in get_args(PktSideDataT):
        raise UnreadableMedia(f"no decoder accepts side data named {name}")
    if name == "new_extradata":
        # Parsed like a packet, so it needs padding too. No codec that gets parameters in this way
        # takes the zeros as a part of them.
        piece += bytes(PADDING_BYTES)
    kind = packet_sidedata_type_from_literal(name)  # type: ignore[arg-type]
    side_data = PacketSideData(kind, len(piece))  # type: ignore[call-arg]
    side_data.update(piece)
    return side_data
