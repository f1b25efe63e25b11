"""Animated WebP as a movie of PNG frames, because FFmpeg reads only the first frame of a WebP."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from PIL import Image

TICK = Fraction(1, 1000)
"""The unit of a WebP's frame durations (RFC 9649, 2.7.1.1), and the movie's time base."""

MIN_DURATION_MS, REPLACED_DURATION_MS = 11, 100
"""Browsers show a frame whose stated duration is below the first for the second."""

ANIMATION_FLAG = 0x02
"""In byte 20 of an extended WebP (RFC 9649, 2.7)."""


def is_animated_webp(path: Path) -> bool:
    """Whether a file's header is that of an animated WebP."""
    head = _head(path)
    return head[:4] + head[8:16] == b"RIFFWEBPVP8X" and bool(head[20] & ANIMATION_FLAG)


def is_animation(path: Path) -> bool:
    """Whether a video is in an image format: GIF, PNG or WebP."""
    return _head(path).startswith((b"GIF8", b"\x89PNG")) or is_animated_webp(path)


def _head(path: Path) -> bytes:
    """A file's first 21 bytes, padded with zeros."""
    with path.open("rb") as file:
        return file.read(21).ljust(21, b"\0")


class AnimationFile:
    """A file object for `av.open` with the format "mov", generated while it is read.

    Each frame is a whole picture as PNG: blended with the frames before it, as a player shows it.

    `read` raises `av.error.InvalidDataError` for damaged data.
    """

    def __init__(self, path: Path) -> None:
        self._chunks = _movie(path)
        self._unread = b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end."""
        while not self._unread:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._unread = chunk
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken


class _MuxerOutput(io.RawIOBase):
    """A file that a muxer writes to, and whose new bytes are taken out after each frame."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # PyAV passes bytes
        self.written += data
        return len(data)

    def take(self) -> bytes:
        chunk, self.written = self.written, b""
        return chunk


def _movie(path: Path) -> Iterator[bytes]:
    """Yield the bytes of the movie, one fragment per frame."""
    options = {
        # The file is read while it is written, so it cannot have an index at its end.
        "movflags": "empty_moov+frag_every_frame+default_base_moof",
        "video_track_timescale": "1000",
    }
    output = _MuxerOutput()
    with _opened(path) as animation, av.open(output, "w", format="mov", options=options) as out:
        stream = out.add_stream("png", rate=25)
        context = stream.codec_context
        context.width, context.height = animation.size
        context.pix_fmt = "rgba" if animation.mode == "RGBA" else "rgb24"
        context.time_base = TICK
        pts, damage = 0, None
        for number in range(getattr(animation, "n_frames", 1)):
            try:
                data, duration = _frame(animation, number)
            except av.error.InvalidDataError as exc:
                damage = exc
                break
            packet = av.Packet(data)
            packet.pts = packet.dts = pts
            packet.duration, packet.time_base = duration, TICK
            packet.is_keyframe, packet.stream = True, stream
            out.mux_one(packet)
            pts += duration
            yield output.take()
    yield output.take()
    # Raised last, so that the frames before the damage are read.
    if damage is not None:
        raise damage


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=("WEBP",))
    except (OSError, ValueError, SyntaxError) as exc:
        raise av.error.InvalidDataError(errno.EINVAL, "it is damaged") from exc


def _frame(animation: Image.Image, number: int) -> tuple[bytes, int]:
    """A frame as PNG, and its duration in ms."""
    file = io.BytesIO()
    try:
        animation.seek(number)
        animation.load()
        # The PNG is decoded at once, so speed matters more than size.
        animation.save(file, "PNG", compress_level=1)
    except (OSError, EOFError, ValueError, SyntaxError) as exc:
        raise av.error.InvalidDataError(errno.EINVAL, f"frame {number} is damaged") from exc
    duration = int(animation.info["duration"])
    return file.getvalue(), duration if duration >= MIN_DURATION_MS else REPLACED_DURATION_MS
