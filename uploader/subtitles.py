"""Text subtitles of a source: few enough bytes to travel whole in ``extras.json``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import av
from av.stream import Stream

from facepaint.media.codec_params import write_codec_params
from facepaint.media.open import dispositions, track_title
from facepaint.records.job import Subtitles

MAX_BYTES = 4 * 2**20
TEXT_CODECS = frozenset({"mov_text", "subrip", "ass", "ssa", "webvtt", "text"})

STYLED = frozenset({"ass", "ssa"})
"""Only these have a header that a muxer needs; plain text needs no template."""


class SubtitleReader:
    """Gathers the packets of text subtitle tracks; ``left_out`` counts those past `MAX_BYTES`."""

    def __init__(self) -> None:
        self._tracks: dict[int, Subtitles] = {}
        self._packets: dict[int, list[tuple[int, int, bytes]]] = {}
        self._bytes = 0
        self.left_out = 0

    def takes(self, stream: Stream) -> bool:
        """Whether a track is text."""
        context = stream.codec_context
        return context is not None and context.codec.canonical_name in TEXT_CODECS

    def add(self, packet: av.Packet[Any]) -> None:
        """Take a packet; those without a time are no subtitles, and past `MAX_BYTES` no more are
        kept."""
        stream = packet.stream
        if packet.pts is None:
            return
        if self._bytes + packet.size > MAX_BYTES:
            self.left_out += 1
            return
        if stream.index not in self._tracks:
            assert stream.time_base is not None
            codec = stream.codec_context.codec.canonical_name
            self._tracks[stream.index] = Subtitles(
                codec=codec,
                time_base=stream.time_base,
                codec_params=write_codec_params(stream, packet) if codec in STYLED else b"",
                packets=(),
                language=stream.metadata.get("language", ""),
                title=track_title(stream),
                disposition=dispositions(stream),
            )
        self._bytes += packet.size
        self._packets.setdefault(stream.index, []).append(
            (packet.pts, packet.duration or 0, bytes(packet))
        )

    def tracks(self) -> tuple[Subtitles, ...]:
        """The tracks with what was gathered."""
        return tuple(
            replace(track, packets=tuple(self._packets[index]))
            for index, track in sorted(self._tracks.items())
        )
