"""Give an MP4 file another edit list, as phones and editors do that trim or splice without
encoding."""

import struct
from pathlib import Path

Part = tuple[float, float]
"""Where a part begins in the media, and its length, in seconds."""


def splice(source: Path, out: Path, parts: list[Part]) -> Path:
    """Copy an MP4 whose index stands at its end, its first (video) track showing only these
    parts."""
    data = bytearray(source.read_bytes())
    movie, media = _timescale(data, b"mvhd"), _timescale(data, b"mdhd")
    at = data.index(b"elst")
    (size,) = struct.unpack_from(">I", data, at - 4)
    (first,) = struct.unpack_from(">i", data, at + 16)
    rows = b"".join(
        struct.pack(">IiHH", round(length * movie), first + round(begin * media), 1, 0)
        for begin, length in parts
    )
    new = struct.pack(">II", 0, len(parts)) + rows
    grown = len(new) - (size - 8)
    assert data.index(b"mdat") < data.index(b"moov"), "offsets of the data must not move"
    for box in (data.index(b"moov"), data.index(b"trak"), data.index(b"edts"), at):
        struct.pack_into(">I", data, box - 4, struct.unpack_from(">I", data, box - 4)[0] + grown)
    data[at + 4 : at - 4 + size] = new
    out.write_bytes(data)
    return out


def _timescale(data: bytearray, box: bytes) -> int:
    scale: int = struct.unpack_from(">I", data, data.index(box) + 16)[0]
    return scale
