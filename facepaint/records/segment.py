"""A segment: packets and the frames that they show. The unit of upload, work and playback."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Protocol, TypeVar

from annotated_types import Interval

from facepaint.records.bounds import Count, Index, Ticks
from facepaint.records.codec import Schema

REACH_S = 1.0
"""Seconds before and after a window on which its result depends, by tracking and smoothing."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed video packet.

    A ``discard`` packet is decoded and not shown (edit lists). ``side_data`` has FFmpeg's name and
    the size of each piece that the decoder needs; in the ``.bin`` the pieces follow the packet's
    own ``size`` bytes.
    """

    size: Count
    pts: Ticks | None
    dts: Ticks | None
    duration: Ticks = 0
    keyframe: bool = False
    discard: bool = False
    side_data: tuple[tuple[str, Count], ...] = ()

    @property
    def stored_bytes(self) -> int:
        """Its size in the ``.bin``."""
        return self.size + sum(size for _, size in self.side_data)

    def split(self, stored: bytes) -> tuple[bytes, dict[str, bytes]]:
        """The packet's own bytes and its side data by name, from its bytes in the ``.bin``."""
        pieces, position = {}, self.size
        for name, size in self.side_data:
            pieces[name] = stored[position : position + size]
            position += size
        return stored[: self.size], pieces


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One audio packet. ``stream`` is the number of the job's audio track, from 0, and times are in
    its time base."""

    stream: Annotated[int, Interval(ge=0, le=1024)]
    size: Count
    pts: Ticks | None
    dts: Ticks | None
    duration: Ticks = 0

    @property
    def stored_bytes(self) -> int:
        """Its size in the ``.bin``."""
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
        """The checksum in the segment's record, in hexadecimal; empty without bytes."""
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
    """``source/<n>.json``: a stored segment.

    The segment shows the frames of its window ``start <= pts < end``. Its ``.bin`` has the bytes of
    ``packets`` one after another. The last ``overlap`` of them also begin the next segment: with an
    open GOP the next keyframe and the packets with an earlier pts, and within a run without
    keyframes those that push the last frames of the window out of the decoder.

    To decode a segment, the packets of the segments from ``decode_from`` on are fed to one decoder.
    Only the last one is fed with its overlap.
    """

    index: Index
    start: Ticks
    end: Ticks
    packets: tuple[Packet, ...]
    sha256: str
    overlap: Count = 0
    decode_from: Index = 0
    audio: tuple[AudioPacket, ...] = ()
    audio_sha256: str = ""
    schema: Schema = 1

    BULKY: ClassVar = True

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError("the window ends before it starts")
        if self.decode_from > self.index:
            raise ValueError("it is decoded from a later segment")

    @property
    def bytes(self) -> int:
        """Size of the ``.bin``."""
        return sum(packet.stored_bytes for packet in self.packets)

    @property
    def own_packets(self) -> tuple[Packet, ...]:
        """The packets without the overlap."""
        return self.packets[: len(self.packets) - self.overlap]
