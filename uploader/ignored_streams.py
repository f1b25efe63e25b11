"""The tracks of a video file that have no place in the result, in words for the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from av.container import InputContainer
from av.stream import Disposition, Stream

from facepaint.media.subtitles import is_text

NAMES = {
    "cover": ("a cover image, which is not painted", "{} cover images, which are not painted"),
    "video": ("a second video track", "{} more video tracks"),
    "subtitle": ("a bitmap subtitle track", "{} bitmap subtitle tracks"),
    "data": ("a data track", "{} data tracks"),
    "attachment": ("an attached file", "{} attached files"),
}
"""Each kind of track in the singular and the plural."""

KEPT = "kept"
"""The kind of a track whose contents reach the result."""


def ignored_streams(container: InputContainer, taken: Container[int]) -> tuple[str, ...]:
    """The tracks, except audio, that are not among those taken: a phrase for each kind."""
    count = Counter(
        _kind(container, stream) for stream in container.streams if stream.index not in taken
    )
    return tuple(
        one if count[kind] == 1 else more.format(count[kind])
        for kind, (one, more) in NAMES.items()
        if count[kind]
    )


def _kind(container: InputContainer, stream: Stream) -> str:
    if stream.disposition & Disposition.attached_pic:
        return "cover"
    if stream.type == "subtitle" and is_text(stream):
        return KEPT
    # MP4 also stores the titles of its chapters as a track.
    holds_chapters = stream.metadata.get("handler_name") == "SubtitleHandler"
    if stream.type == "data" and holds_chapters and container.chapters():
        return KEPT
    return stream.type
