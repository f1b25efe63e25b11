"""A stream's codec parameters as bytes, for a muxer or a decoder on another machine.

The bytes are a file with the track's first packet, in NUT if that keeps the parameters, else in
Matroska. FFmpeg has no format for parameters alone, and its muxers and decoders read what they need
from such a file.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from facepaint.errors import UnreadableMedia

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mkv": "matroska", ".mov": "mov"}
"""The muxer for each suffix that a result can have."""

EBML = b"\x1a\x45\xdf\xa3"
"""The first bytes of every Matroska file."""


def write_codec_params(stream: Stream, packet: av.Packet[Any]) -> bytes:
    """The codec parameters of a stream.

    Args:
        packet: the first packet of the stream.

    Raises:
        UnreadableMedia: neither NUT nor Matroska keeps the parameters, or no container of results
            can hold the codec.
    """
    if stream.codec_context is None:
        raise UnreadableMedia(f"a track in {codec_label(stream)} cannot be copied")
    # NUT keeps the parameters of most codecs unchanged, but it reads E-AC-3 back as AC-3 and has no
    # ALAC. Matroska adds a header to AAC in ADTS.
    for format_name in ("nut", "matroska"):
        try:
            codec_params = _write(stream, packet, format_name)
            with open_codec_params(codec_params) as container:
                kept = _same_parameters(container.streams[0], stream)
            if kept and any(can_hold(name, codec_params) for name in ("matroska", "mov")):
                return codec_params
        except (av.error.FFmpegError, ValueError):
            continue
    raise UnreadableMedia(f"a track in {codec_label(stream)} cannot be copied")


def codec_label(stream: Stream) -> str:
    """FFmpeg's name of a stream's codec, for messages. It may know none."""
    return stream.codec_context.name if stream.codec_context else "an unknown codec"


def open_codec_params(codec_params: bytes) -> InputContainer:
    """Open codec parameters as a file with one stream, to decode or as a muxer's template."""
    format_name = "matroska" if codec_params.startswith(EBML) else "nut"
    return av.open(io.BytesIO(codec_params), "r", format=format_name, metadata_errors="replace")


def can_hold(container: str, codec_params: bytes) -> bool:
    """Whether a container can hold the track. The muxer decides, with the packet that is stored."""
    with open_codec_params(codec_params) as source:
        stream = source.streams[0]
        packet = next((packet for packet in source.demux(stream) if packet.size), None)
        try:
            with av.open(io.BytesIO(), "w", format=container) as out:
                copy = out.add_stream_from_template(stream)
                if packet is not None:
                    packet.stream = copy
                    out.mux_one(packet)
        except (av.error.FFmpegError, ValueError):
            return False
    return True


def codec_name(codec_params: bytes) -> str:
    """FFmpeg's name of the codec, such as mp3, whose decoder is called mp3float."""
    with open_codec_params(codec_params) as container:
        return str(container.streams[0].codec_context.codec.canonical_name)


def change_extradata(codec_params: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The codec parameters with other extradata: ``change`` maps the old to the new."""
    format_name = "matroska" if codec_params.startswith(EBML) else "nut"
    with open_codec_params(codec_params) as container:
        stream = container.streams[0]
        packet = next(container.demux(stream))
        extradata = change(stream.codec_context.extradata or b"")
        return _write(stream, packet, format_name, extradata)


def _write(
    stream: Stream, packet: av.Packet[Any], format_name: str, extradata: bytes | None = None
) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format_name) as out:
        target = out.add_stream_from_template(stream)
        if extradata is not None:
            target.codec_context.extradata = extradata
        copy = av.Packet(bytes(packet))
        # The time of the packet is not a parameter of the codec.
        copy.pts = copy.dts = 0
        copy.time_base = packet.time_base
        copy.is_keyframe = True
        copy.stream = target
        out.mux(copy)
    return buffer.getvalue()


def _same_parameters(copy: Stream, stream: Stream) -> bool:
    wanted, actual = stream.codec_context, copy.codec_context
    if (wanted.name, wanted.extradata or b"") != (actual.name, actual.extradata or b""):
        return False
    if isinstance(wanted, av.AudioCodecContext) and isinstance(actual, av.AudioCodecContext):
        return (wanted.sample_rate, wanted.channels) == (actual.sample_rate, actual.channels)
    return True
