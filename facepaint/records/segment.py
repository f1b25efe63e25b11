"""A segment: a run of packets and the frames that they show; the unit of upload, work, retry and
play."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, TypeVar

from facepaint.records.codec import Schema

REACH_S = 1.0
"""How far tracking and smoothing look to each side, in seconds; readiness and results depend
on no more."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed packet of a segment. ``discard`` packets are decoded and not shown (edit
    lists, hidden frames).

    ``side_data`` is what a decoder needs besides: FFmpeg's name and the size of each piece. In the
    ``.bin`` the pieces lie behind the packet's ``size`` bytes.
    """

    size: int
    pts: int | None
    dts: int | None
    duration: int = 0
    keyframe: bool = False
    discard: bool = False
    side_data: tuple[tuple[str, int], ...] = ()

    @property
    def stored_bytes(self) -> int:
        """What it takes of the ``.bin``."""
        return self.size + sum(size for _, size in self.side_data)

    def split(self, stored: bytes) -> tuple[bytes, dict[str, bytes]]:
        """The packet's own bytes and its side data by name, from what it takes of the ``.bin``."""
        pieces, position = {}, self.size
        for name, size in self.side_data:
            pieces[name] = stored[position : position + size]
            position += size
        return stored[: self.size], pieces


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One audio packet; ``stream`` counts the job's audio tracks from 0, times are in that track's
    time base."""

    stream: int
    size: int
    pts: int | None
    dts: int | None
    duration: int = 0

    @property
    def stored_bytes(self) -> int:
        """What it takes of the ``.bin``."""
        return self.size


class StoredPacket(Protocol):
    """A packet of either kind."""

    @property
    def stored_bytes(self) -> int: ...


AnyPacket = TypeVar("AnyPacket", bound=StoredPacket)


@dataclass(frozen=True)
class SegmentData:
    """The bytes of a segment's video or audio packets, one after another: the ``.bin`` objects."""

    data: bytes

    @classmethod
    def pack(cls, pieces: Iterable[bytes]) -> "SegmentData":
        """Join the stored bytes of packets."""
        return cls(b"".join(pieces))

    @cached_property
    def sha256(self) -> str:
        """The digest that the segment's record names, in hexadecimal; empty without any bytes."""
        return hashlib.sha256(self.data).hexdigest() if self.data else ""

    def unpack(
        self, packets: Iterable[AnyPacket], skip: int = 0
    ) -> Iterator[tuple[AnyPacket, bytes]]:
        """Yield each packet with its stored bytes.

        Args:
            packets: the packets of the segment's record, in its order.
            skip: packets that are left out at the start.
        """
        position = 0
        for number, packet in enumerate(packets):
            end = position + packet.stored_bytes
            if number >= skip:
                yield packet, self.data[position:end]
            position = end


@dataclass(frozen=True, slots=True)
class Segment:
    """``source/<n>.json``: the record that makes a segment exist.

    The segment shows the frames of its window ``start <= pts < end``. Its ``.bin`` holds
    ``packets`` one after another; the last ``overlap`` of them belong to the next segment too and
    are fed only when this segment is the last one fed: with an open GOP the next keyframe and the
    packets with an earlier pts, within a run without keyframes those that push the window's last
    frames out of the decoder. To decode, the bins from ``decode_from`` on are fed to one decoder,
    each without its overlap but the last.
    """

    index: int
    start: int
    end: int
    packets: tuple[Packet, ...]
    sha256: str
    overlap: int = 0
    decode_from: int = 0
    audio: tuple[AudioPacket, ...] = ()
    audio_sha256: str = ""
    schema: Schema = 1

    BULKY: ClassVar = True

    @property
    def bytes(self) -> int:
        """Size of the ``.bin``."""
        return sum(packet.stored_bytes for packet in self.packets)

    @property
    def own_packets(self) -> tuple[Packet, ...]:
        """The packets without the overlap."""
        return self.packets[: len(self.packets) - self.overlap]
