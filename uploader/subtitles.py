"""Text subtitles of a source: few enough bytes to be stored whole in ``extras.json``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import av

from facepaint.media.codec_params import write_codec_params
from facepaint.media.open import dispositions, track_title
from facepaint.media.subtitles import STYLED_TEXT
from facepaint.records.job import Subtitles

MAX_BYTES = 4 * 2**20
"""Text of all tracks together that is kept."""


class SubtitleReader:
    """Collects the packets of text subtitle tracks; ``dropped`` counts those past `MAX_BYTES`."""

    def __init__(self) -> None:
        self._tracks: dict[int, Subtitles] = {}
        self._packets: dict[int, list[tuple[int, int, bytes]]] = {}
        self._bytes = 0
        self.dropped = 0

    def add(self, packet: av.Packet[Any]) -> None:
        """Keep a packet if it has a time and there is room for it."""
        index = packet.stream.index
        if packet.pts is None:
            return
        # They are held until the end of the file, so a limit bounds the memory.
        if self._bytes + packet.size > MAX_BYTES:
            self.dropped += 1
            return
        if index not in self._tracks:
            self._tracks[index] = _describe(packet)
        self._bytes += packet.size
        self._packets.setdefault(index, []).append(
            (packet.pts, packet.duration or 0, bytes(packet))
        )

    def tracks(self) -> tuple[Subtitles, ...]:
        """The tracks with their packets, in the order of the file's streams."""
        return tuple(
            replace(track, packets=tuple(self._packets[index]))
            for index, track in sorted(self._tracks.items())
        )


def _describe(packet: av.Packet[Any]) -> Subtitles:
    """A track without packets, described by its first packet."""
    stream = packet.stream
    assert stream.time_base is not None
    codec = stream.codec_context.codec.canonical_name
    return Subtitles(
        codec=codec,
        time_base=stream.time_base,
        codec_params=write_codec_params(stream, packet) if codec in STYLED_TEXT else b"",
        # Collected apart, since the record is frozen.
        packets=(),
        language=stream.metadata.get("language", ""),
        title=track_title(stream),
        disposition=dispositions(stream),
    )
