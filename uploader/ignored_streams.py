"""What of a video file has no place in the result, in words for the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from av.container import InputContainer
from av.stream import Disposition, Stream

from uploader.subtitles import TEXT_CODECS

NAMES = {
    "cover": ("a cover picture, which is not painted", "{} cover pictures, which are not painted"),
    "video": ("a second video track", "{} more video tracks"),
    "subtitle": (
        "a track of subtitles that are pictures",
        "{} tracks of subtitles that are pictures",
    ),
    "data": ("a data track", "{} data tracks"),
    "attachment": ("an attached file", "{} attached files"),
}
"""Each kind of track in the singular and the plural."""


def left_out(container: InputContainer, taken: Container[int]) -> tuple[str, ...]:
    """The tracks, but for sound, that are not among those taken: a phrase for each kind."""
    found = Counter(
        _kind(container, stream) for stream in container.streams if stream.index not in taken
    )
    return tuple(
        one if found[kind] == 1 else more.format(found[kind])
        for kind, (one, more) in NAMES.items()
        if found[kind]
    )


def _kind(container: InputContainer, stream: Stream) -> str:
    if stream.disposition & Disposition.attached_pic:
        return "cover"
    if (
        stream.type == "subtitle"
        and stream.codec_context
        and stream.codec_context.codec.canonical_name in TEXT_CODECS
    ):
        return "taken"
    if (
        stream.type == "data"
        and stream.metadata.get("handler_name") == "SubtitleHandler"
        and container.chapters()
    ):
        return "chapters"  # in MP4 their titles are a track, too
    return stream.type
