"""HLS playlists (RFC 8216) of a job's painted segments, which grow while the job is painted.

Text only, no I/O.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facepaint.records.colour import TransferCharacteristics

MAX_SEGMENT_GROWTH = 4
"""How many times a job's ``segment_s`` the uploader makes segments at most where no keyframe
comes."""

VIDEO_RANGES: dict[int, str] = {
    TransferCharacteristics.PQ: "PQ",
    TransferCharacteristics.HLG: "HLG",
}
"""The values of VIDEO-RANGE (RFC 8216bis, 4.4.6.2) for HDR, by transfer characteristics."""

_HEAD = ("#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS")


@dataclass(frozen=True, slots=True)
class Rendition:
    """An audio track of the master playlist; ``language`` is a tag of BCP 47 or ISO 639."""

    uri: str
    name: str
    language: str = ""
    channels: int = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A segment of a media playlist. A ``gap`` failed to be painted: there is nothing to load."""

    uri: str
    duration_s: float
    gap: bool = False


def master(
    uri: str,
    bits_per_s: int,
    codecs: Sequence[str],
    size: tuple[int, int],
    audio: Sequence[Rendition],
    transfer: int = TransferCharacteristics.UNSPECIFIED,
) -> str:
    """The master playlist.

    Args:
        uri: the media playlist of the video.
        bits_per_s: peak bit rate of video and audio together.
        codecs: RFC 6381 codecs of video and audio.
        size: width and height in px.
        audio: the audio tracks; the first one is the default.
        transfer: transfer function of the video by ITU-T H.273. Players choose a variant by it
            before they load anything.
    """
    lines = [*_HEAD, *(_audio_line(track, default=not n) for n, track in enumerate(audio))]
    attributes = [
        f"BANDWIDTH={bits_per_s}",
        f'CODECS="{",".join(codecs)}"',
        f"RESOLUTION={size[0]}x{size[1]}",
    ]
    if transfer in VIDEO_RANGES:
        attributes.append(f"VIDEO-RANGE={VIDEO_RANGES[transfer]}")
    if audio:
        attributes.append('AUDIO="audio"')
    lines.append(f"#EXT-X-STREAM-INF:{','.join(attributes)}")
    return "\n".join([*lines, uri, ""])


def _audio_line(track: Rendition, *, default: bool) -> str:
    attributes = ["TYPE=AUDIO", 'GROUP-ID="audio"', f'NAME="{_quotable(track.name)}"']
    if track.language:
        attributes.append(f'LANGUAGE="{_quotable(track.language)}"')
    attributes += [
        f"DEFAULT={'YES' if default else 'NO'}",
        "AUTOSELECT=YES",
        f'CHANNELS="{track.channels}"',
        f'URI="{track.uri}"',
    ]
    return f"#EXT-X-MEDIA:{','.join(attributes)}"


def media(init_uri: str, entries: Iterable[Entry], segment_s: float, *, ended: bool) -> str:
    """The media playlist of one stream: only lines at its end are added, until ``ended``.

    The target duration may never change, so it must hold for later entries as well. It is that of
    the longest segment that the uploader cuts with ``segment_s``, or of a longer entry: a source
    can show one frame for any time.
    """
    entries = list(entries)
    longest_s = max([MAX_SEGMENT_GROWTH * segment_s, *(entry.duration_s for entry in entries)])
    lines = [
        *_HEAD,
        # Not in the master playlist: FFmpeg takes one with this tag for a media playlist.
        "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES",
        f"#EXT-X-TARGETDURATION:{math.ceil(longest_s)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        # Nothing is ever removed: players may seek back to the start.
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        f'#EXT-X-MAP:URI="{init_uri}"',
    ]
    for entry in entries:
        # Players skip it instead of waiting for a segment that never comes.
        if entry.gap:
            lines.append("#EXT-X-GAP")
        lines += [f"#EXTINF:{entry.duration_s:.6f},", entry.uri]
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join([*lines, ""])


def _quotable(text: str) -> str:
    """Text of a source file for a quoted attribute, which must not contain quotes or line ends."""
    return "".join(" " if char == '"' or ord(char) < 32 else char for char in text)[:100]
