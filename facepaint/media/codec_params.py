"""Templates of tracks: a stream's codec parameters in bytes, for a muxer or decoder elsewhere.

A template is a file in memory with the track's first packet, in NUT if that keeps the parameters,
else in Matroska.
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
"""The muxer for each suffix a result may have."""

EBML = b"\x1a\x45\xdf\xa3"
"""How every Matroska file begins."""


def write_codec_params(stream: Stream, packet: av.Packet[Any]) -> bytes:
    """The template of a stream and its first packet.

    Raises:
        UnreadableMedia: no container used for templates can hold that codec, or none that results
            are written in.
    """
    for format_name in ("nut", "matroska"):
        try:
            codec_params = _write(stream, packet, format_name)
            with open_codec_params(codec_params) as container:
                kept = _same_parameters(container.streams[0], stream)
            if kept and any(can_hold(name, codec_params) for name in ("matroska", "mov")):
                return codec_params
        except (av.error.FFmpegError, ValueError):
            continue
    raise UnreadableMedia(f"a track in {stream.codec_context.name} cannot be copied")


def open_codec_params(codec_params: bytes) -> InputContainer:
    """Open a template: the first of its ``streams`` is for `add_stream_from_template`, or to decode
    with."""
    format_name = "matroska" if codec_params.startswith(EBML) else "nut"
    return av.open(io.BytesIO(codec_params), "r", format=format_name, metadata_errors="replace")


def can_hold(container: str, codec_params: bytes) -> bool:
    """Whether a container can hold the track of a template: the muxer itself is asked, with the
    packet there is."""
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
    """FFmpeg's name for the coding of a template's track: mp3, where a decoder may be called
    mp3float."""
    with open_codec_params(codec_params) as container:
        return str(container.streams[0].codec_context.codec.canonical_name)


def change_parameters(codec_params: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The template of the same track with other extradata: ``change`` is given what it has."""
    with open_codec_params(codec_params) as container:
        stream = container.streams[0]
        packet = next(container.demux(stream))
        changed = change(stream.codec_context.extradata or b"")
        return _write(
            stream, packet, "matroska" if codec_params.startswith(EBML) else "nut", changed
        )


def _write(
    stream: Stream, packet: av.Packet[Any], format_name: str, parameters: bytes | None = None
) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format_name) as out:
        target = out.add_stream_from_template(stream)
        if parameters is not None:
            target.codec_context.extradata = parameters
        copy = av.Packet(bytes(packet))
        copy.pts = copy.dts = 0
        copy.time_base = packet.time_base
        copy.is_keyframe = True
        copy.stream = target
        out.mux(copy)
    return buffer.getvalue()


def _same_parameters(copy: Stream, stream: Stream) -> bool:
    there, here = stream.codec_context, copy.codec_context
    if (there.name, there.extradata or b"") != (here.name, here.extradata or b""):
        return False
    if isinstance(there, av.AudioCodecContext) and isinstance(here, av.AudioCodecContext):
        return (there.sample_rate, there.channels) == (here.sample_rate, here.channels)
    return True
