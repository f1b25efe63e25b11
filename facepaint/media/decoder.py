"""A video decoder made from stream parameters alone, without a container, and the packets to feed
it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import av
import av.error
from av.packet import PacketSideData, PktSideDataT, packet_sidedata_type_from_literal

from facepaint.errors import UnreadableMedia
from facepaint.records.job import VideoStream

PADDING_BYTES = 64
"""How far FFmpeg's decoders may read past the end of what they are given
(AV_INPUT_BUFFER_PADDING_SIZE)."""


def open_decoder(video: VideoStream, threads: int = 1) -> av.VideoCodecContext:
    """A decoder for a job's stream.

    Raises:
        UnreadableMedia: FFmpeg has no such decoder, or it refuses the parameters.
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
        if video.codec_tag:
            context.codec_tag = video.codec_tag
        context.reorder_depth = video.reorder_depth
        context.thread_count = threads
        # Frame threads delay output and hold a frame a thread; the work is spread over processes
        # instead.
        context.thread_type = "SLICE"
        context.open()
    except (av.error.FFmpegError, ValueError) as exc:
        raise UnreadableMedia(f"no decoder for {video.codec}: {exc}") from exc
    return context


def make_packet(data: bytes, side_data: Mapping[str, bytes] | None = None) -> av.Packet[Any]:
    """A packet of these bytes, safe to decode, with the pieces of side data named.

    Decoders read past a packet's end and need zeros there. `av.Packet(data)` borrows Python's
    bytes, behind which anything may lie: damaged pictures that come and go with what else is in
    memory.

    Raises:
        UnreadableMedia: FFmpeg has no side data of that name.
    """
    packet: av.Packet[Any] = av.Packet(len(data))
    if data:
        packet.update(data)
    for name, piece in (side_data or {}).items():
        packet.set_sidedata(_side_data(name, piece))
    return packet


def _side_data(name: str, piece: bytes) -> PacketSideData:
    if name not in get_args(PktSideDataT):
        raise UnreadableMedia(f"no decoder takes side data called {name}")
    if name == "new_extradata":
        # Read like a packet. The zeros are no part of it to any codec that takes parameters in this
        # way.
        piece += bytes(PADDING_BYTES)
    made = PacketSideData(packet_sidedata_type_from_literal(name), len(piece))  # type: ignore[call-arg, arg-type]
    made.update(piece)
    return made
