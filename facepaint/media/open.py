"""Opening a file as media, and only as media: the one place where FFmpeg is let near a user's
file."""

from __future__ import annotations

import math
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from facepaint.errors import InputError, UnreadableMedia
from facepaint.media.animated_webp import AnimationFile, is_animated_webp
from facepaint.records.job import Chapter

# Formats that are scripts (ffconcat), playlists (HLS, DASH) or devices name other files; they are
# not listed.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "flv",
    "asf",
    "ogg",
    "gif",
    "apng",
    "nut",
    "mxf",
    "h264",
    "hevc",
    "m4v",
    "ivf",
    "obu",
    "dv",
    "rm",
    "wtv",
    "mjpeg",
    "yuv4mpegpipe",
)


TIMELESS_FORMATS = ("avi", "h264", "hevc")
"""Their packets never tell when a frame is shown; what FFmpeg says instead is a guess."""

PACKED = re.compile(rb"DivX\d+(?:b|Build)\d+p")
"""MPEG-4 with two frames to a packet says so in its user data, as VirtualDub's encoders began to
write it."""


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a file for demuxing.

    Raises:
        InputError: there is no such file, it is a folder, empty, or not to be read.
        UnreadableMedia: it is in no format that facepaint reads.
    """
    check_file(path)
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        if is_animated_webp(path):
            container = av.open(AnimationFile(path), "r", format="mov")
        else:
            # The prefix keeps a name such as "concat:x" from being taken for another protocol.
            container = av.open(f"file:{path}", "r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as exc:
        raise UnreadableMedia(
            f"{path} is no video that can be read ({_reason(exc)}); play it to see if it is whole"
        ) from exc
    with container:
        yield container


def main_video(container: InputContainer, path: Path) -> VideoStream:
    """The first real video stream: a cover picture is none.

    Raises:
        UnreadableMedia: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    what = "only sound" if container.streams.audio else "no video"
    raise UnreadableMedia(f"{path} holds {what}; facepaint needs a video or a picture")


def orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Clockwise turn in degrees (a multiple of 90) that makes a frame upright, and whether it is
    flipped before that.

    From the display matrix as ISO/IEC 14496-12 has it: (x, y) is shown at (a x + c y, b x + d y).
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":  # type: ignore[attr-defined]  # the stub says str
            a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])  # type: ignore[arg-type]
            mirrored = a * d - b * c < 0
            angle = math.degrees(math.atan2(-b, -a) if mirrored else math.atan2(b, a))
            return round(angle / 90) * 90 % 360, mirrored
    return 0, False


def carries_no_times(format_name: str, codec: str, extradata: bytes) -> bool:
    """Whether packets of such a video are known to say nothing of when their frames are shown."""
    return (codec in ("h264", "hevc") and format_name in TIMELESS_FORMATS) or (
        codec == "mpeg4" and PACKED.search(extradata) is not None
    )


def dispositions(stream: Stream) -> tuple[str, ...]:
    """FFmpeg's names for what a track is for: default, forced, comment, hearing_impaired ..."""
    return tuple(flag.name for flag in Disposition if stream.disposition & flag and flag.name)


def track_title(stream: Stream) -> str:
    """What a track is called; in MP4 it is its name."""
    return stream.metadata.get("title") or stream.metadata.get("name", "")


def chapters_of(container: InputContainer) -> list[Chapter]:
    """The chapters of a file, on its clock."""
    found = []
    for chapter in container.chapters():
        base = chapter["time_base"] or Fraction(1)
        title = chapter.get("metadata", {}).get("title", "")
        found.append(Chapter(chapter["start"] * base, chapter["end"] * base, title))
    return found


def check_file(path: Path) -> None:
    """Raise `InputError` in words of the user's unless the path is a readable file with something
    in it."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise InputError(f"{path} is a folder; name the files in it")
        if not stat.S_ISREG(kind):
            # It is read several times, and opening a pipe that nobody writes to would wait for
            # ever.
            raise InputError(
                f"{path} is no file but a pipe or device; save what comes out of it as a file first"
            )
        with path.open("rb") as file:
            something = file.read(1)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} does not exist; check the name") from None
    except (OSError, ValueError) as exc:
        raise InputError(f"{path} cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    if not something:
        raise InputError(f"{path} is empty; copy it again from where it came from")


def _reason(exc: Exception) -> str:
    return (getattr(exc, "strerror", None) or str(exc)).lower()
