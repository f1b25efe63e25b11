"""Templates of tracks: a stream's codec parameters in bytes, for a muxer or decoder elsewhere.

A template is a file in memory with the track's first packet, in NUT if that keeps the parameters, else in Matroska.
"""

from __future__ import annotations

import io
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from facepaint.errors import UnreadableMedia

EBML = b"\x1a\x45\xdf\xa3"
"""How every Matroska file begins."""


def make_template(stream: Stream, packet: av.Packet[Any]) -> bytes:
    """The template of a stream and its first packet.

    Raises:
        UnreadableMedia: no container used for templates can hold that codec.
    """
    for format_name in ("nut", "matroska"):
        try:
            template = _write(stream, packet, format_name)
            with open_template(template) as container:
                if _same_parameters(container.streams[0], stream):
                    return template
        except (av.error.FFmpegError, ValueError):
            continue
    raise UnreadableMedia(f"a track in {stream.codec_context.name} cannot be copied")


def open_template(template: bytes) -> InputContainer:
    """Open a template: the first of its ``streams`` is for `add_stream_from_template`, or to decode with."""
    format_name = "matroska" if template.startswith(EBML) else "nut"
    return av.open(io.BytesIO(template), "r", format=format_name, metadata_errors="replace")


def _write(stream: Stream, packet: av.Packet[Any], format_name: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format_name) as out:
        target = out.add_stream_from_template(stream)
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
