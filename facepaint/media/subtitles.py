"""Text subtitles: which tracks are text, and their lines in the codecs of the containers."""

import re

from av.container import InputContainer
from av.stream import Stream

PLAIN_TEXT = frozenset({"subrip", "srt", "text", "webvtt", "mov_text"})
"""Codecs of plain text, by FFmpeg's names; they need no codec parameters."""

STYLED_TEXT = frozenset({"ass", "ssa"})
"""Codecs of styled text. Their style sheet is in the codec parameters, and MP4 loses the styles."""

MAX_TIMED_TEXT_BYTES = 65_535

_MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")


def is_text(stream: Stream) -> bool:
    """Whether a subtitle track is text, not bitmaps."""
    context = stream.codec_context
    return context is not None and context.codec.canonical_name in PLAIN_TEXT | STYLED_TEXT


def text_streams(container: InputContainer) -> list[Stream]:
    """The text subtitle tracks of a file."""
    return [stream for stream in container.streams.subtitles if is_text(stream)]


def subrip(codec: str, data: bytes) -> bytes:
    """The lines of a subtitle packet as SubRip stores them."""
    if codec == "mov_text":
        return data[2 : 2 + int.from_bytes(data[:2])]
    if codec in STYLED_TEXT:
        # The text is the ninth field of an event.
        return data.split(b",", 8)[-1].replace(b"\\N", b"\n")
    return data


def plain_text(codec: str, data: bytes) -> bytes:
    """The lines of a subtitle packet in UTF-8, without markup; empty if it shows nothing."""
    return _MARKUP.sub("", subrip(codec, data).decode("utf-8", "replace")).strip().encode()


def timed_text(codec: str, data: bytes) -> bytes:
    """A subtitle packet as MP4 stores it: the length in two bytes, then the lines.

    Empty if it shows nothing.
    """
    text = plain_text(codec, data)[:MAX_TIMED_TEXT_BYTES]
    return len(text).to_bytes(2) + text if text else b""
