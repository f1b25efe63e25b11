"""The programs of an MPEG transport stream (ISO/IEC 13818-1, 2.4.4).

A transport stream may carry several television programs. FFmpeg lists the streams of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from av.container import InputContainer
from av.stream import Stream

SYNC = 0x47
PACKET_SIZES = (188, 192, 204)
"""Bytes of a transport packet: plain, with a time code before it, or error correction behind it.
"""

SEARCH_BYTES = 4 * 2**20
PAT_PID = 0
PAT_TABLE, PMT_TABLE = 0, 2


def streams_of_program(path: Path, container: InputContainer, stream: Stream) -> frozenset[int]:
    """The indexes of the streams in the same program as a stream; all where nothing is known."""
    everything = frozenset(other.index for other in container.streams)
    if container.format.name != "mpegts":
        return everything
    programs = _programs(path)
    own = [pids for pids in programs if stream.id in pids]
    if len(programs) < 2 or not own:
        return everything
    return frozenset(other.index for other in container.streams if other.id in own[0])


def _programs(path: Path) -> list[frozenset[int]]:
    """The packet ids of the elementary streams of each program."""
    with path.open("rb") as file:
        data = file.read(SEARCH_BYTES)
    table_pids: set[int] = set()
    programs: dict[int, frozenset[int]] = {}
    pending: dict[int, bytearray] = {}
    for pid, starts, payload in _packets(data):
        if pid != PAT_PID and pid not in table_pids:
            continue
        if starts:
            # The pointer field says where a section begins.
            pending[pid] = bytearray(payload[1 + payload[0] :]) if payload else bytearray()
        elif pid in pending:
            pending[pid] += payload
        section = _section(pending.get(pid, bytearray()))
        if section is None:
            continue
        if section[0] == PAT_TABLE and pid == PAT_PID:
            table_pids |= set(_pmt_pids(section))
        elif section[0] == PMT_TABLE:
            programs[int.from_bytes(section[3:5])] = frozenset(_elementary_pids(section))
    return list(programs.values())


def _packets(data: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """Each packet's id, whether a section starts in it, and its payload."""
    found = _layout(data)
    if found is None:
        return
    start, size = found
    for at in range(start, len(data) - 187, size):
        packet = data[at : at + 188]
        if packet[0] != SYNC:
            continue
        has_payload, has_field = packet[3] & 0x10, packet[3] & 0x20
        begin = 4 + (1 + packet[4] if has_field else 0)
        if has_payload and begin < 188:
            pid = int.from_bytes(packet[1:3]) & 0x1FFF
            yield pid, bool(packet[1] & 0x40), packet[begin:]


def _layout(data: bytes) -> tuple[int, int] | None:
    """Where the first packet is, and the distance of packets; None for other data."""
    for size in PACKET_SIZES:
        for start in range(size):
            if all(data[at : at + 1] == b"\x47" for at in range(start, start + 5 * size, size)):
                return start, size
    return None


def _section(data: bytearray) -> bytes | None:
    """The section at the start, once all of it is there."""
    if len(data) < 3:
        return None
    length = 3 + (int.from_bytes(data[1:3]) & 0x0FFF)
    return bytes(data[:length]) if 12 <= length <= len(data) else None


def _pmt_pids(section: bytes) -> Iterator[int]:
    for at in range(8, len(section) - 4 - 3, 4):
        if int.from_bytes(section[at : at + 2]):
            yield int.from_bytes(section[at + 2 : at + 4]) & 0x1FFF


def _elementary_pids(section: bytes) -> Iterator[int]:
    at = 12 + (int.from_bytes(section[10:12]) & 0x0FFF)
    while at + 5 <= len(section) - 4:
        yield int.from_bytes(section[at + 1 : at + 3]) & 0x1FFF
        at += 5 + (int.from_bytes(section[at + 3 : at + 5]) & 0x0FFF)
