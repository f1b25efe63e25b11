"""The few boxes of fragmented MP4 (ISO/IEC 14496-12) that joining painted segments needs to read
and patch."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from facepaint.errors import UnreadableMedia
from facepaint.records.colour import LightLevels

FULL_BOX = 4
"""Bytes of version and flags before the fields of a full box."""

SAMPLE_DESCRIPTION = "moov/trak/mdia/minf/stbl/stsd"

STSD_FIELDS = FULL_BOX + 4
"""Bytes of a sample description before its entries."""

SAMPLE_ENTRY = 78
"""Bytes of a visual sample entry before the boxes inside it."""

VIDEO_ENTRIES = frozenset({b"avc1", b"avc3", b"hvc1", b"hev1", b"av01"})

CHROMATICITIES, LUMINANCES = 50_000, 10_000
"""Steps to 1, and to 1 cd/m2, that mastering displays are described in."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box by its offsets in the data: all of it is ``[start, end)``, what it holds ``[body,
    end)``."""

    kind: bytes
    start: int
    body: int
    end: int


def walk(data: bytes | bytearray, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes lying one after another in ``data[start:end]``.

    Raises:
        UnreadableMedia: a box says it is longer than what holds it, or shorter than its own header.
    """
    end = len(data) if end is None else end
    while start < end:
        size, body = int.from_bytes(data[start : start + 4]), start + 8
        if size == 1:
            size, body = int.from_bytes(data[start + 8 : start + 16]), start + 16
        elif size == 0:
            size = end - start
        if size < body - start or start + size > end:
            raise UnreadableMedia(
                f"the MP4 box at byte {start} does not fit what holds it; the data is damaged"
            )
        yield Box(bytes(data[start + 4 : start + 8]), start, body, start + size)
        start += size


def find(data: bytes | bytearray, path: str, inside: Box | None = None) -> Iterator[Box]:
    """Every box at a path such as ``moof/traf/tfdt``."""
    kind, _, rest = path.partition("/")
    start, end = (inside.body, inside.end) if inside else (0, len(data))
    for box in walk(data, start, end):
        if box.kind == kind.encode():
            yield from find(data, rest, box) if rest else (box,)


def init_length(data: bytes) -> int:
    """Length in bytes of the part before the first ``moof``: what a player must have before any
    fragment.

    Raises:
        UnreadableMedia: the data has no ``moov`` followed by a ``moof``.
    """
    seen_moov = False
    for box in walk(data):
        if box.kind == b"moof" and seen_moov:
            return box.start
        seen_moov = seen_moov or box.kind == b"moov"
    raise UnreadableMedia("this is no fragmented MP4: it has no moov box followed by a moof box")


def shift_tfdt(data: bytes, ticks: int) -> bytes:
    """The same fragments ``ticks`` later, in ticks of the track's timescale.

    Raises:
        UnreadableMedia: there is no ``tfdt``, or a time leaves the range that its field can hold.
    """
    shifted = bytearray(data)
    found = False
    for box in find(data, "moof/traf/tfdt"):
        found = True
        field = _tfdt_field(data, box)
        time = int.from_bytes(data[field]) + ticks
        try:
            shifted[field] = time.to_bytes(field.stop - field.start)
        except OverflowError:
            raise UnreadableMedia(
                f"the decode time {time} does not fit into the tfdt box of the MP4"
            ) from None
    if not found:
        raise UnreadableMedia(
            "this is no fragmented MP4: no fragment in it says its decode time (tfdt)"
        )
    return bytes(shifted)


def _tfdt_field(data: bytes, box: Box) -> slice:
    start = box.body + FULL_BOX
    return slice(start, start + (8 if data[box.body] == 1 else 4))


def codec_string(init: bytes) -> str:
    """The RFC 6381 string of the video track, by which a browser tells whether it can play it.

    H.264 and HEVC as in ISO/IEC 14496-15 annex E, AV1 as in "AV1 Codec ISO Media File Format
    Binding".

    Raises:
        UnreadableMedia: the init part has no track of these.
    """
    for entry in _sample_entries(init):
        for box in walk(init, entry.body + SAMPLE_ENTRY, entry.end):
            if box.kind in _CODEC_STRINGS:
                return f"{entry.kind.decode()}.{_CODEC_STRINGS[box.kind](init[box.body : box.end])}"
    raise UnreadableMedia("the init part of the MP4 describes no H.264, HEVC or AV1 track")


def _sample_entries(init: bytes) -> Iterator[Box]:
    for stsd in find(init, SAMPLE_DESCRIPTION):
        yield from (
            entry
            for entry in walk(init, stsd.body + STSD_FIELDS, stsd.end)
            if entry.kind in VIDEO_ENTRIES
        )


def _avc(record: bytes) -> str:
    """Profile, constraints and level in hexadecimal, from an AVCDecoderConfigurationRecord."""
    return record[1:4].hex()


def _hevc(record: bytes) -> str:
    """From an HEVCDecoderConfigurationRecord: profile, the compatible ones, tier and level,
    constraints."""
    space, high_tier, profile = record[1] >> 6, record[1] >> 5 & 1, record[1] & 31
    compatible = int(f"{int.from_bytes(record[2:6]):032b}"[::-1], 2)
    parts = [
        f"{' ABC'[space].strip()}{profile}",
        f"{compatible:X}",
        f"{'LH'[high_tier]}{record[12]}",
        *(f"{byte:X}" for byte in record[6:12].rstrip(b"\0")),
    ]
    return ".".join(parts)


def _av1(record: bytes) -> str:
    """From an AV1CodecConfigurationRecord: profile, level and tier, bit depth."""
    profile, level, high_tier = record[1] >> 5, record[1] & 31, record[2] >> 7
    depth = 8 if not record[2] & 0x40 else 12 if record[2] & 0x20 else 10
    return f"{profile}.{level:02}{'MH'[high_tier]}.{depth:02}"


_CODEC_STRINGS = {b"avcC": _avc, b"hvcC": _hevc, b"av1C": _av1}


def add_light_levels(data: bytes, light: LightLevels) -> bytes:
    """The same MP4 with ``mdcv`` and ``clli`` boxes (ISO/IEC 14496-12) in the video's sample entry.

    Levels that are unknown are left out. For a fragmented MP4: the offsets in another would no
    longer fit.
    """
    boxes = b""
    if len(light.primaries) == 8 and light.max_luminance:
        red, green, blue, white = zip(*[iter(light.primaries)] * 2, strict=True)
        steps = [
            round(share * CHROMATICITIES).to_bytes(2) for share in (*green, *blue, *red, *white)
        ]
        levels = [
            round(level * LUMINANCES).to_bytes(4)
            for level in (light.max_luminance, light.min_luminance)
        ]
        boxes += _box(b"mdcv", b"".join([*steps, *levels]))
    if light.max_content or light.max_average:
        boxes += _box(b"clli", light.max_content.to_bytes(2) + light.max_average.to_bytes(2))
    entry = next(_sample_entries(data), None)
    if not boxes or entry is None:
        return data
    grown = bytearray(data)
    for box in _around(data, entry):
        grown[box.start : box.start + 4] = (box.end - box.start + len(boxes)).to_bytes(4)
    grown[entry.end : entry.end] = boxes
    return bytes(grown)


def _around(data: bytes, entry: Box) -> Iterator[Box]:
    """A sample entry and every box that holds it."""
    yield entry
    kinds = SAMPLE_DESCRIPTION.split("/")
    for depth in range(len(kinds)):
        holders = find(data, "/".join(kinds[: depth + 1]))
        yield next(box for box in holders if box.start < entry.start < box.end)


def _box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4) + kind + body


def read_moov(file: BinaryIO) -> tuple[int, bytes]:
    """Where the ``moov`` box of a file begins, and all of it; nothing else is read.

    Raises:
        UnreadableMedia: there is none.
    """
    start = 0
    while True:
        file.seek(start)
        header = file.read(16)
        size = int.from_bytes(header[:4])
        size = int.from_bytes(header[8:16]) if size == 1 else size
        if header[4:8] == b"moov":
            file.seek(start)
            return start, file.read(size)
        if size < 8:
            raise UnreadableMedia("this is no MP4: it has no moov box")
        start += size


def delay_track(moov: bytes, track: int, ticks: int) -> bytes:
    """The same ``moov`` with the first ``ticks`` of a track cut away, which thus begins that much
    later.

    ``track`` counts from 0, ``ticks`` are of the track's timescale. Only a track that already
    begins late has the two edits this changes; another is left as it is.
    """
    box = next(walk(moov))
    trak = list(find(moov, "trak", box))[track]
    movie, media = _timescale(moov, "mvhd", box), _timescale(moov, "mdia/mdhd", trak)
    elst = next(find(moov, "edts/elst", trak), None)
    if elst is None or int.from_bytes(moov[elst.body + FULL_BOX : elst.body + FULL_BOX + 4]) != 2:
        return moov
    width = 8 if moov[elst.body] == 1 else 4
    # An edit: duration in the movie's timescale, where in the media it begins (-1: nothing plays),
    # speed.
    first = elst.body + FULL_BOX + 4
    second = first + 2 * width + 4
    later = round(Fraction(ticks * movie, media))
    patched = bytearray(moov)
    for at, change in ((first, later), (second, -later), (second + width, ticks)):
        # A track may end before what is cut away does.
        patched[at : at + width] = max(0, int.from_bytes(moov[at : at + width]) + change).to_bytes(
            width
        )
    return bytes(patched)


def _timescale(data: bytes, path: str, inside: Box) -> int:
    """Of an ``mvhd`` or ``mdhd`` box: it stands behind the times of making and changing."""
    header = next(find(data, path, inside))
    at = header.body + FULL_BOX + (16 if data[header.body] == 1 else 8)
    return int.from_bytes(data[at : at + 4])
