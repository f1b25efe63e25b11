"""A video decoder made from stream parameters alone, without a container, and the packets to feed it."""

from __future__ import annotations

from typing import Any

import av
import av.error

from facepaint.errors import UnreadableMedia
from facepaint.jobs import VideoStream


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
        context.thread_count = threads
        # Frame threads delay output and hold a frame a thread; the work is spread over processes instead.
        context.thread_type = "SLICE"
        context.open()
    except (av.error.FFmpegError, ValueError) as exc:
        raise UnreadableMedia(f"no decoder for {video.codec}: {exc}") from exc
    return context


def packet_of(data: bytes) -> av.Packet[Any]:
    """A packet of these bytes, safe to decode.

    Decoders read past a packet's end and need zeros there. `av.Packet(data)` borrows Python's bytes, behind which
    anything may lie: damaged pictures that come and go with what else is in memory.
    """
    packet: av.Packet[Any] = av.Packet(len(data))
    if data:
        packet.update(data)
    return packet
