"""Open video files. This is the only place where FFmpeg opens a user's file."""

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
from facepaint.records.bounds import Rotation
from facepaint.records.job import Chapter

# Scripts (ffconcat), playlists (HLS, DASH) and devices are not listed: such a file makes FFmpeg
# open other files.
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


FORMATS_WITHOUT_PTS = ("avi", "h264", "hevc")
"""Formats whose packets have no presentation times; those that FFmpeg reports are guesses."""

MATROSKA_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")

PACKED_BITSTREAM = re.compile(rb"DivX\d+(?:b|Build)\d+p")
"""The user data of MPEG-4 with two frames per packet, a convention of DivX encoders."""


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a file for demuxing.

    Raises:
        InputError: the file does not exist, is a folder, is empty, or cannot be read.
        UnreadableMedia: the file has no format that facepaint reads.
    """
    check_file(path)
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        if is_animated_webp(path):
            container = av.open(AnimationFile(path), "r", format="mov")
        else:
            # Tags are often not UTF-8, which must not make a video unreadable.
            # Without the prefix, a file named "concat:x" would select another protocol.
            container = av.open(f"file:{path}", "r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as exc:
        raise UnreadableMedia(
            f"{path} is not a readable video ({_reason(exc)}); check that a media player plays it"
        ) from exc
    with container:
        yield container


def main_video(container: InputContainer, path: Path) -> VideoStream:
    """The video stream that players show: the default track, else the longest, else the first.

    Cover images do not count. A thumbnail may also be an ordinary track.

    Raises:
        UnreadableMedia: there is none.
    """
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if videos:
        # The first of equal ones.
        return max(videos, key=lambda s: (bool(s.disposition & Disposition.default), _length_s(s)))
    content = "only audio" if container.streams.audio else "no video"
    raise UnreadableMedia(f"{path} contains {content}; facepaint needs a video or an image")


def _length_s(stream: VideoStream) -> float:
    """A stream's length in seconds as the container states it; 0 if it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    # Matroska has it in a tag: 00:00:04.027000000.
    match = MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if match is None:
        return 0.0
    hours, minutes, seconds = map(float, match.groups())
    return 3600 * hours + 60 * minutes + seconds


def orientation(frame: av.VideoFrame) -> tuple[Rotation, bool]:
    """The clockwise rotation in degrees (0, 90, 180, 270) that makes a frame upright, and whether
    the frame is flipped left to right before it.

    Follows the display matrix of ISO/IEC 14496-12: (x, y) is shown at (a x + c y, b x + d y).
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":  # type: ignore[attr-defined]  # the stub says str
            a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])  # type: ignore[arg-type]
            mirrored = a * d - b * c < 0
            angle = math.degrees(math.atan2(-b, -a) if mirrored else math.atan2(b, a))
            quarters: tuple[Rotation, ...] = (0, 90, 180, 270)
            return quarters[round(angle / 90) % 4], mirrored
    return 0, False


PROJECTIONS = {"SPHERICAL": "360-degree video", "STEREO3D": "3D video"}
"""What FFmpeg's side data of a frame marks a video as."""


def projections(frame: av.VideoFrame) -> tuple[str, ...]:
    """How a frame must be projected to be seen as meant; empty for ordinary video."""
    kinds = {data.type.name for data in frame.side_data}  # type: ignore[attr-defined]
    return tuple(phrase for kind, phrase in PROJECTIONS.items() if kind in kinds)


def lacks_pts(format_name: str, codec: str, extradata: bytes) -> bool:
    """Whether the packets of such a video have no usable presentation times."""
    return (codec in ("h264", "hevc") and format_name in FORMATS_WITHOUT_PTS) or (
        codec == "mpeg4" and PACKED_BITSTREAM.search(extradata) is not None
    )


def dispositions(stream: Stream) -> tuple[str, ...]:
    """FFmpeg's dispositions of a track: default, forced, comment, hearing_impaired ..."""
    return tuple(flag.name for flag in Disposition if stream.disposition & flag and flag.name)


def track_title(stream: Stream) -> str:
    """The title of a track, which MP4 calls its name."""
    return stream.metadata.get("title") or stream.metadata.get("name", "")


def chapters_of(container: InputContainer) -> list[Chapter]:
    """The chapters of a file, in seconds of its timeline."""
    found = []
    for chapter in container.chapters():
        base = chapter["time_base"] or Fraction(1)
        title = chapter.get("metadata", {}).get("title", "")
        found.append(Chapter(chapter["start"] * base, chapter["end"] * base, title))
    return found


def check_file(path: Path) -> None:
    """Raise `InputError` unless the path is a readable file that is not empty."""
    # FFmpeg's messages for these faults are less clear, or it waits.
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise InputError(f"{path} is a folder; name the files in it")
        if not stat.S_ISREG(kind):
            # A file is read several times, and opening a pipe without a writer blocks for ever.
            raise InputError(f"{path} is a pipe or a device; save its output as a file first")
        with path.open("rb") as file:
            first_byte = file.read(1)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} does not exist; check the name") from None
    except (OSError, ValueError) as exc:
        raise InputError(f"{path} cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    if not first_byte:
        raise InputError(f"{path} is empty; copy it again from its origin")


def _reason(exc: Exception) -> str:
    return (getattr(exc, "strerror", None) or str(exc)).lower()
