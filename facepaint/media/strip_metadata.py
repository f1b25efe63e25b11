"""What a look that hides lets through of a video's records: what is heard, what is read, and its
languages."""

import re
from dataclasses import replace

from facepaint.media.codec_params import change_parameters, codec_name
from facepaint.records.job import Extras, VideoJob

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
"""Of ASS: the lines that tell how subtitles look, by section; programs write names and folders
beside them."""

VORBIS_FIRST_BYTES, THEORA_FIRST_BYTES = 30, 42
"""Lengths of the first header of three."""


def strip_job(job: VideoJob) -> VideoJob:
    """The record of a video without the titles of its tracks and what comments their parameters
    carry."""
    audio = tuple(
        replace(track, title="", codec_params=strip_codec_params(track.codec_params))
        for track in job.audio
    )
    video = replace(job.video, title="")
    if video.codec == "theora":
        video = replace(video, extradata=_bare_theora(video.extradata))
    return replace(job, video=video, audio=audio)


def strip_extras(extras: Extras) -> Extras:
    """The chapters and subtitles alone: no tags, no titles of tracks."""
    subtitles = (
        replace(track, title="", codec_params=strip_codec_params(track.codec_params))
        for track in extras.subtitles
    )
    return replace(extras, tags={}, subtitles=tuple(subtitles))


def strip_codec_params(codec_params: bytes) -> bytes:
    """A template without words that are neither heard nor read: comments of Vorbis, what programs
    write into ASS."""
    changes = {"vorbis": _bare_vorbis, "ass": _styles_alone, "ssa": _styles_alone}
    codec = codec_name(codec_params) if codec_params else ""
    return change_parameters(codec_params, changes[codec]) if codec in changes else codec_params


def _bare_vorbis(parameters: bytes) -> bytes:
    """Vorbis I, 5: no vendor, no comment, and the framing bit."""
    return _without_comments(parameters, b"\x03vorbis" + bytes(8) + b"\x01", VORBIS_FIRST_BYTES)


def _bare_theora(parameters: bytes) -> bytes:
    """Theora specification, 6.3: no vendor, no comment."""
    return _without_comments(parameters, b"\x81theora" + bytes(8), THEORA_FIRST_BYTES)


def _without_comments(parameters: bytes, empty: bytes, first_size: int) -> bytes:
    """The three headers of Vorbis or Theora, the second of them, the comments, ``empty``; in Xiph
    lacing."""
    first, setup = _outer_headers(parameters, first_size)
    return bytes((2, len(first), len(empty))) + first + empty + setup if setup else parameters


def _outer_headers(parameters: bytes, first_size: int) -> tuple[bytes, bytes]:
    """The first and third of three Xiph headers, behind lengths in Xiph lacing or in two bytes
    each; else nothing."""
    if parameters[:2] == first_size.to_bytes(2):
        comments_at = 2 + first_size
        setup_at = comments_at + 2 + int.from_bytes(parameters[comments_at : comments_at + 2])
        return parameters[2:comments_at], parameters[setup_at + 2 :]
    sizes: list[int] = []
    at = 1
    while parameters[:1] == b"\x02" and len(sizes) < 2:
        end = (
            next((place for place in range(at, len(parameters)) if parameters[place] < 255), at) + 1
        )
        sizes.append(sum(parameters[at:end]))
        at = end
    return parameters[at : at + sum(sizes[:1])], parameters[at + sum(sizes) :] if sizes else b""


def _styles_alone(parameters: bytes) -> bytes:
    """The header of ASS subtitles with its styles, and of the rest what tells how they look."""
    kept, section = [], ""
    for line in parameters.decode("utf-8", "replace").splitlines():
        heading = re.fullmatch(r"\s*\ufeff?\[(.*)\]\s*", line)
        section = heading[1].lower() if heading else section
        told = SUBTITLE_HEADER.get(section, ())
        if (
            "styles" in section
            or (told and heading)
            or line.partition(":")[0].strip().lower() in told
        ):
            kept.append(line)
    return "".join(f"{line}\r\n" for line in kept).encode()
