"""Remove metadata from the records of a video with a redacting look.

Audio, subtitles, chapters and languages stay. Tags, titles and comments can identify people, so
they are not stored at all.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from facepaint.media.codec_params import change_extradata, codec_name, open_codec_params
from facepaint.media.subtitles import STYLED_TEXT
from facepaint.records.job import Extras, Subtitles, VideoJob

SUBTITLE_HEADER = {
    "script info": (
        "scripttype",
        "playresx",
        "playresy",
        "wrapstyle",
        "scaledborderandshadow",
        "ycbcr matrix",
    ),
    "events": ("format",),
}
"""The lines of an ASS header that affect rendering, by section. Programs add names and paths."""

STYLE_LINE = re.compile(rb"^\s*Style:([^,\r\n]*)", re.MULTILINE | re.IGNORECASE)

EVENT_FIELDS = 9
"""Order, layer, style, name, three margins, effect, text."""

RENDERED_EFFECTS = (b"banner;", b"scroll up;", b"scroll down;", b"karaoke")
"""Effects that move the text; any other is a note."""

ASS_COMMENT = re.compile(rb"\{[^}\\]*\}")
"""Braces without an override, which renderers skip."""

VORBIS_FIRST_BYTES, THEORA_FIRST_BYTES = 30, 42
"""Lengths of the first of the three headers."""


def strip_job(job: VideoJob) -> VideoJob:
    """The record of a video without the titles of its tracks and the comments in their codec
    parameters."""
    audio = tuple(
        replace(track, title="", codec_params=strip_codec_params(track.codec_params))
        for track in job.audio
    )
    video = replace(job.video, title="")
    if video.codec == "theora":
        video = replace(video, extradata=_strip_theora(video.extradata))
    return replace(job, video=video, audio=audio)


def strip_extras(extras: Extras) -> Extras:
    """The extras without tags and without titles of subtitle tracks."""
    return replace(extras, tags={}, subtitles=tuple(map(_strip_subtitles, extras.subtitles)))


def _strip_subtitles(track: Subtitles) -> Subtitles:
    track = replace(track, title="")
    if track.codec not in STYLED_TEXT:
        return replace(track, codec_params=strip_codec_params(track.codec_params))
    with open_codec_params(track.codec_params) as container:
        header = container.streams[0].codec_context.extradata or b""
    styles = _style_names(header)
    packets = tuple(
        (pts, duration, _strip_event(data, styles)) for pts, duration, data in track.packets
    )
    return replace(track, codec_params=strip_codec_params(track.codec_params), packets=packets)


def _style_names(header: bytes) -> list[bytes]:
    """The names of the styles of an ASS header, in order."""
    return [match[1].strip() for match in STYLE_LINE.finditer(header)]


def _strip_event(data: bytes, styles: Sequence[bytes]) -> bytes:
    """An ASS event as Matroska stores it, without the name of the actor, comments, and the names of
    style and effect."""
    fields = data.split(b",", EVENT_FIELDS - 1)
    if len(fields) < EVENT_FIELDS:
        return data
    style = fields[2].strip().lstrip(b"*")
    fields[2] = _neutral_style(styles.index(style) if style in styles else 0)
    fields[3] = b""
    if not fields[7].lower().startswith(RENDERED_EFFECTS):
        fields[7] = b""
    fields[8] = ASS_COMMENT.sub(b"", fields[8])
    return b",".join(fields)


def _neutral_style(number: int) -> bytes:
    return b"Style%d" % (number + 1)


def strip_codec_params(codec_params: bytes) -> bytes:
    """The codec parameters without the comments of Vorbis and the metadata of ASS."""
    strippers = {"vorbis": _strip_vorbis, "ass": _strip_ass, "ssa": _strip_ass}
    codec = codec_name(codec_params) if codec_params else ""
    if codec not in strippers:
        return codec_params
    return change_extradata(codec_params, strippers[codec])


def _strip_vorbis(parameters: bytes) -> bytes:
    # Vorbis I, section 5: no vendor, no comment, and the framing bit.
    no_comments = b"\x03vorbis" + bytes(8) + b"\x01"
    return _replace_comments(parameters, no_comments, VORBIS_FIRST_BYTES)


def _strip_theora(parameters: bytes) -> bytes:
    # Theora specification, section 6.3: no vendor, no comment.
    no_comments = b"\x81theora" + bytes(8)
    return _replace_comments(parameters, no_comments, THEORA_FIRST_BYTES)


def _replace_comments(parameters: bytes, comments: bytes, first_size: int) -> bytes:
    """The three headers of Vorbis or Theora in Xiph lacing, with another second one."""
    first, setup = _outer_headers(parameters, first_size)
    if not setup:
        return parameters
    lacing = bytes((2, len(first), len(comments)))
    return lacing + first + comments + setup


def _outer_headers(parameters: bytes, first_size: int) -> tuple[bytes, bytes]:
    """The first and third of three Xiph headers; the third is empty if the layout is another.

    FFmpeg's demuxers write the headers with lengths of two bytes each, or in Xiph lacing.
    """
    if parameters[:2] == first_size.to_bytes(2):
        comments_at = 2 + first_size
        setup_at = comments_at + 2 + int.from_bytes(parameters[comments_at : comments_at + 2])
        return parameters[2:comments_at], parameters[setup_at + 2 :]
    if not parameters.startswith(b"\x02"):
        return b"", b""
    first_bytes, position = _laced_size(parameters, 1)
    comment_bytes, position = _laced_size(parameters, position)
    setup_at = position + first_bytes + comment_bytes
    return parameters[position : position + first_bytes], parameters[setup_at:]


def _laced_size(data: bytes, start: int) -> tuple[int, int]:
    """A size in Xiph lacing, bytes of 255 and a smaller last one, and the position behind it."""
    end = next((n for n in range(start, len(data)) if data[n] < 255), start) + 1
    return sum(data[start:end]), end


def _strip_ass(parameters: bytes) -> bytes:
    """The header of ASS subtitles with its styles, and the other lines that affect rendering."""
    kept, section, styles = [], "", 0
    for line in parameters.decode("utf-8", "replace").splitlines():
        heading = re.fullmatch(r"\s*\ufeff?\[(.*)\]\s*", line)
        if heading:
            section = heading[1].lower()
        in_styles = "styles" in section
        allowed = ("format",) if in_styles else SUBTITLE_HEADER.get(section, ())
        key = line.partition(":")[0].strip().lower()
        if in_styles and key == "style":
            # Styles are often named after people.
            rest = line.partition(",")[2]
            kept.append(f"Style: {_neutral_style(styles).decode()},{rest}")
            styles += 1
        elif (allowed and heading) or key in allowed:
            kept.append(line)
    return "".join(f"{line}\r\n" for line in kept).encode()
