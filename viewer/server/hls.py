"""HLS playlists (RFC 8216) of a job's painted segments, growing while the job is worked on. Text
only, no I/O."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facepaint.records.colour import TransferCharacteristics

LONGEST = 4
"""How much longer than a job's ``segment_s`` the uploader makes segments where no keyframe
comes."""

_HEAD = ("#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS")


@dataclass(frozen=True, slots=True)
class Rendition:
    """An audio track as players offer it."""

    uri: str
    name: str
    language: str = ""
    channels: int = 2


VIDEO_RANGES: dict[int, str] = {
    TransferCharacteristics.PQ: "PQ",
    TransferCharacteristics.HLG: "HLG",
}
"""The values of VIDEO-RANGE (RFC 8216bis, 4.4.6.2) for HDR, by transfer characteristics."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A segment in a playlist. ``gap``: it was given up and there is nothing to load."""

    uri: str
    duration_s: float
    gap: bool = False


def master(
    uri: str,
    bits_per_s: int,
    codecs: Sequence[str],
    size: tuple[int, int],
    sounds: Sequence[Rendition],
    transfer: int = TransferCharacteristics.UNSPECIFIED,
) -> str:
    """The playlist that names the picture's playlist and those of its sounds; the first sound is
    the default.

    ``transfer`` is the picture's transfer function by ITU-T H.273: players of HDR want to know
    before they load.
    """
    lines = list(_HEAD)
    for number, sound in enumerate(sounds):
        language = f',LANGUAGE="{_quotable(sound.language)}"' if sound.language else ""
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="{_quotable(sound.name)}"{language}'
            f",DEFAULT={'NO' if number else 'YES'},AUTOSELECT=YES"
            f',CHANNELS="{sound.channels}",URI="{sound.uri}"'
        )
    group = ',AUDIO="sound"' if sounds else ""
    hdr = f",VIDEO-RANGE={VIDEO_RANGES[transfer]}" if transfer in VIDEO_RANGES else ""
    codec_list = ",".join(codecs)
    lines.append(
        f'#EXT-X-STREAM-INF:BANDWIDTH={bits_per_s},CODECS="{codec_list}",RESOLUTION={size[0]}x{size[1]}{hdr}{group}'
    )
    return "\n".join([*lines, uri, ""])


def media(init_uri: str, entries: Iterable[Entry], segment_s: float, *, ended: bool) -> str:
    """The playlist of one stream: it only ever grows at its end, until ``ended``.

    The target duration must hold for entries to come, too, as it may not change: it is the longest
    that a job cut with
    ``segment_s`` has, unless the source shows one picture for longer.
    """
    entries = list(entries)
    longest_s = max([LONGEST * segment_s, *(entry.duration_s for entry in entries)])
    lines = [
        *_HEAD,
        # Not in the master playlist: FFmpeg takes one that says so for a stream without segments.
        "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES",
        f"#EXT-X-TARGETDURATION:{math.ceil(longest_s)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        f'#EXT-X-MAP:URI="{init_uri}"',
    ]
    for entry in entries:
        if entry.gap:
            lines.append("#EXT-X-GAP")
        lines += [f"#EXTINF:{entry.duration_s:.6f},", entry.uri]
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join([*lines, ""])


def _quotable(text: str) -> str:
    """A stranger's words inside a quoted attribute: it may hold neither quotes nor line ends."""
    return "".join(" " if char == '"' or ord(char) < 32 else char for char in text)[:100]
