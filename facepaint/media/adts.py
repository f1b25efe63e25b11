"""AAC in ADTS (ISO/IEC 13818-7, 6.2): every packet states how it is coded.

A broadcast may change from stereo to 5.1 in mid-stream. Decoders follow; MP4 and Matroska have one
set of parameters for a track, so each coding becomes a track of its own.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import av
from av.container import InputContainer

HEADER_BYTES = 7
FEWEST_PACKETS = 8
"""A coding of fewer packets is damage."""

MAX_CODINGS = 8


def coding_of(data: bytes) -> bytes:
    """What a packet's header says of its coding: profile, sample rate and channels; empty without a
    header."""
    if len(data) < HEADER_BYTES or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return b""
    # Without the private bit, and without what differs from packet to packet.
    return bytes((data[1] & 0x08, data[2] & 0xFD, data[3] & 0xC0))


def first_packets(
    container: InputContainer, indexes: Iterable[int]
) -> dict[int, dict[bytes, bytes]]:
    """The first packet of each coding of some streams, by stream index, in the order of the file.

    Reads the whole file, but stops at the first packets where no stream has ADTS headers.
    """
    streams = [container.streams[index] for index in indexes]
    firsts: dict[int, dict[bytes, bytes]] = {}
    counts: dict[tuple[int, bytes], int] = {}
    waiting = {stream.index for stream in streams}
    for packet in container.demux(streams) if streams else ():
        index, data = packet.stream_index, bytes(packet)
        coding = coding_of(data)
        if index in waiting and data:
            waiting.discard(index)
            if coding:
                firsts[index] = {}
            elif not waiting and not firsts:
                return {}
        if index in firsts and coding:
            firsts[index].setdefault(coding, data)
            counts[index, coding] = counts.get((index, coding), 0) + 1
    return {index: _frequent(index, codings, counts) for index, codings in firsts.items()}


def _frequent(
    index: int, codings: dict[bytes, bytes], counts: dict[tuple[int, bytes], int]
) -> dict[bytes, bytes]:
    kept = [coding for coding in codings if counts[index, coding] >= FEWEST_PACKETS]
    kept = kept[:MAX_CODINGS] or list(codings)[:1]
    return {coding: codings[coding] for coding in kept}


class CodingSorter:
    """Assigns the packets of a stream to its codings; a packet of none belongs to the last one."""

    def __init__(self, codings: Collection[bytes]) -> None:
        self._codings = codings
        self._last = next(iter(codings), b"")

    def of(self, data: bytes) -> bytes:
        """The coding of the next packet."""
        coding = coding_of(data)
        if coding in self._codings:
            self._last = coding
        return self._last


@contextmanager
def opened(packet: bytes) -> Iterator[tuple[av.AudioStream, av.Packet[av.AudioStream]]]:
    """A packet as a stream of its own coding, and as its packet."""
    with av.open(io.BytesIO(packet), "r", format="aac") as container:
        stream = container.streams.audio[0]
        yield stream, next(container.demux(stream))
