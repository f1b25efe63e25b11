"""What a look that hides lets through of a video's records: what is heard, what is read, and its languages."""

import re
from dataclasses import replace

from facepaint.jobs import Extras, Job
from facepaint.templates import change_parameters, codec_name

SUBTITLE_HEADER = {
    "script info": ("scripttype", "playresx", "playresy", "wrapstyle", "scaledborderandshadow", "ycbcr matrix"),
    "events": ("format",),
}
"""Of ASS: the lines that tell how subtitles look, by section; programs write names and folders beside them."""


def private_job(job: Job) -> Job:
    """The record of a video without the titles of its tracks and what comments their parameters carry."""
    assert job.video is not None
    audio = tuple(replace(track, title="", template=bare_template(track.template)) for track in job.audio)
    return replace(job, video=replace(job.video, title=""), audio=audio)


def private_extras(extras: Extras) -> Extras:
    """The chapters and subtitles alone: no tags, no titles of tracks."""
    subtitles = (replace(track, title="", template=bare_template(track.template)) for track in extras.subtitles)
    return replace(extras, tags={}, subtitles=tuple(subtitles))


def bare_template(template: bytes) -> bytes:
    """A template without words that are neither heard nor read: comments of Vorbis, what programs write into ASS."""
    changes = {"vorbis": _without_comments, "ass": _styles_alone, "ssa": _styles_alone}
    codec = codec_name(template) if template else ""
    return change_parameters(template, changes[codec]) if codec in changes else template


def _without_comments(parameters: bytes) -> bytes:
    """Vorbis' three headers in Xiph lacing, the second of them, the comments, empty (Vorbis I, 5)."""
    sizes, at = [], 1
    for _ in range(2):
        end = next(place for place in range(at, len(parameters)) if parameters[place] < 255) + 1
        sizes.append(sum(parameters[at:end]))
        at = end
    first, setup = parameters[at : at + sizes[0]], parameters[at + sum(sizes) :]
    nothing = b"\x03vorbis" + bytes(8) + b"\x01"
    return bytes((2, len(first), len(nothing))) + first + nothing + setup


def _styles_alone(parameters: bytes) -> bytes:
    """The header of ASS subtitles with its styles, and of the rest what tells how they look."""
    kept, section = [], ""
    for line in parameters.decode("utf-8", "replace").splitlines():
        heading = re.fullmatch(r"\s*\ufeff?\[(.*)\]\s*", line)
        section = heading[1].lower() if heading else section
        told = SUBTITLE_HEADER.get(section, ())
        if "styles" in section or (told and heading) or line.partition(":")[0].strip().lower() in told:
            kept.append(line)
    return "".join(f"{line}\r\n" for line in kept).encode()
