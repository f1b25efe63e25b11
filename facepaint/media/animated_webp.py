"""Animated WebP as a movie of whole pictures: FFmpeg reads only the first picture of one."""

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
"""What the durations of a WebP count in (RFC 9649, 2.7.1.1), and the movie's time base."""

SHORTEST_MS, INSTEAD_MS = 11, 100
"""A picture said to last less than the first lasts as long as the second: so do browsers have
it."""

ANIMATED = 0x02
"""The flag in the header of a WebP that is one."""


def is_animated_webp(path: Path) -> bool:
    """Whether a file says in its first bytes that it is an animated WebP."""
    head = _head(path)
    return head[:4] + head[8:16] == b"RIFFWEBPVP8X" and bool(head[20] & ANIMATED)


def is_animation(path: Path) -> bool:
    """Whether a video is one in a format of pictures: GIF, PNG or WebP."""
    return _head(path).startswith((b"GIF8", b"\x89PNG")) or is_animated_webp(path)


def _head(path: Path) -> bytes:
    """A file's first bytes, as many as are looked at."""
    with path.open("rb") as file:
        return file.read(21).ljust(21, b"\0")


class AnimationFile:
    """A file to be opened as "mov", made while it is being read: a PNG for each picture, put
    together and shown alone.

    Damage met on the way is raised as `av.error.InvalidDataError`.
    """

    def __init__(self, path: Path) -> None:
        self._pieces = _movie(path)
        self._rest = b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


class _Pieces(io.RawIOBase):
    """What a muxer has written since it was last taken."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # PyAV hands over bytes
        self.written += data
        return len(data)

    def take(self) -> bytes:
        piece, self.written = self.written, b""
        return piece


def _movie(path: Path) -> Iterator[bytes]:
    options = {
        "movflags": "empty_moov+frag_every_frame+default_base_moof",
        "video_track_timescale": "1000",
    }
    pieces = _Pieces()
    with _opened(path) as animation, av.open(pieces, "w", format="mov", options=options) as out:
        stream = out.add_stream("png", rate=25)
        context = stream.codec_context
        context.width, context.height = animation.size
        context.pix_fmt = "rgba" if animation.mode == "RGBA" else "rgb24"
        context.time_base = TICK
        pts, damage = 0, None
        for number in range(getattr(animation, "n_frames", 1)):
            try:
                data, duration = _picture(animation, number)
            except av.error.InvalidDataError as exc:
                damage = exc
                break
            packet = av.Packet(data)
            packet.pts = packet.dts = pts
            packet.duration, packet.time_base = duration, TICK
            packet.is_keyframe, packet.stream = True, stream
            out.mux_one(packet)
            pts += duration
            yield pieces.take()
    yield pieces.take()
    if damage is not None:
        raise damage  # only now, when the pictures before it are through


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=("WEBP",))
    except (OSError, ValueError, SyntaxError) as exc:
        raise av.error.InvalidDataError(errno.EINVAL, "it is damaged") from exc


def _picture(animation: Image.Image, number: int) -> tuple[bytes, int]:
    """A picture as PNG, and its duration in ms."""
    file = io.BytesIO()
    try:
        animation.seek(number)
        animation.load()
        animation.save(file, "PNG", compress_level=1)
    except (OSError, EOFError, ValueError, SyntaxError) as exc:
        raise av.error.InvalidDataError(errno.EINVAL, f"picture {number} is damaged") from exc
    duration = int(animation.info["duration"])
    return file.getvalue(), duration if duration >= SHORTEST_MS else INSTEAD_MS
