"""Read and patch the atoms of fragmented MP4 (ISO/IEC 14496-12) that join painted segments.

The standard calls them boxes; here a box is a face rectangle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from facepaint.errors import UnreadableMedia
from facepaint.records.colour import LightLevels

VERSION_FLAGS = 4
"""Bytes of version and flags that begin a "full box"."""

SAMPLE_DESCRIPTION = "moov/trak/mdia/minf/stbl/stsd"

STSD_FIELDS = VERSION_FLAGS + 4
"""Bytes of a sample description before its entries: version, flags and their number."""

SAMPLE_ENTRY = 78
"""Bytes of a visual sample entry before its child atoms."""

VIDEO_ENTRIES = frozenset({b"avc1", b"avc3", b"hvc1", b"hev1", b"av01"})

CHROMATICITY_STEPS, LUMINANCE_STEPS = 50_000, 10_000
"""Units of ``mdcv``: parts of 1, and parts of 1 cd/m2."""


@dataclass(frozen=True, slots=True)
class Atom:
    """An atom by its offsets: all of it is ``[start, end)``, its payload ``[body, end)``."""

    kind: bytes
    start: int
    body: int
    end: int


def walk(data: bytes | bytearray, start: int = 0, end: int | None = None) -> Iterator[Atom]:
    """Yield the consecutive atoms in ``data[start:end]``.

    Raises:
        UnreadableMedia: an atom's size exceeds its parent, or is smaller than its header.
    """
    end = len(data) if end is None else end
    while start < end:
        size, body = int.from_bytes(data[start : start + 4]), start + 8
        if size == 1:  # the size follows in 64 bits
            size, body = int.from_bytes(data[start + 8 : start + 16]), start + 16
        elif size == 0:  # the last atom, up to the end
            size = end - start
        if size < body - start or start + size > end:
            raise UnreadableMedia(
                f"the MP4 atom at byte {start} does not fit into its parent; the data is damaged"
            )
        yield Atom(bytes(data[start + 4 : start + 8]), start, body, start + size)
        start += size


def find(data: bytes | bytearray, path: str, inside: Atom | None = None) -> Iterator[Atom]:
    """Yield the atoms at a path such as ``moof/traf/tfdt``, below ``inside`` if it is given."""
    kind, _, rest = path.partition("/")
    start, end = (inside.body, inside.end) if inside else (0, len(data))
    for atom in walk(data, start, end):
        if atom.kind == kind.encode():
            yield from find(data, rest, atom) if rest else (atom,)


def init_length(data: bytes) -> int:
    """Length in bytes of the init segment, which precedes the first ``moof``.

    Raises:
        UnreadableMedia: the data has no ``moov`` followed by a ``moof``.
    """
    seen_moov = False
    for atom in walk(data):
        if atom.kind == b"moof" and seen_moov:
            return atom.start
        seen_moov = seen_moov or atom.kind == b"moov"
    raise UnreadableMedia("this is not a fragmented MP4: no moov atom precedes a moof atom")


def shift_tfdt(data: bytes, ticks: int) -> bytes:
    """Move fragments in time by ``ticks`` of the track's timescale.

    FFmpeg starts every file at 0, and a segment must state its place in the whole video.

    Raises:
        UnreadableMedia: there is no ``tfdt``, or a time does not fit into its field.
    """
    shifted = bytearray(data)
    found = False
    for atom in find(data, "moof/traf/tfdt"):
        found = True
        field = _tfdt_field(data, atom)
        time = int.from_bytes(data[field]) + ticks
        try:
            shifted[field] = time.to_bytes(field.stop - field.start)
        except OverflowError:
            raise UnreadableMedia(
                f"the decode time {time} does not fit into the tfdt atom of the MP4"
            ) from None
    if not found:
        raise UnreadableMedia("this is not a fragmented MP4: no fragment has a decode time (tfdt)")
    return bytes(shifted)


def _tfdt_field(data: bytes, atom: Atom) -> slice:
    start = atom.body + VERSION_FLAGS
    return slice(start, start + (8 if data[atom.body] == 1 else 4))


def codec_string(init: bytes) -> str:
    """The RFC 6381 codec string of the video track, from which browsers decide if they can play it.

    For H.264 and HEVC see ISO/IEC 14496-15 annex E, for AV1 "AV1 Codec ISO Media File Format
    Binding".

    Raises:
        UnreadableMedia: the init segment has no H.264, HEVC or AV1 track.
    """
    # The entry names the codec, its child atom has the configuration.
    for entry in _sample_entries(init):
        for atom in walk(init, entry.body + SAMPLE_ENTRY, entry.end):
            if atom.kind in _CODEC_STRINGS:
                return (
                    f"{entry.kind.decode()}.{_CODEC_STRINGS[atom.kind](init[atom.body : atom.end])}"
                )
    raise UnreadableMedia("the init segment of the MP4 has no H.264, HEVC or AV1 track")


def _sample_entries(init: bytes) -> Iterator[Atom]:
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
    """Profile, compatible profiles, tier and level, and constraints, from an
    HEVCDecoderConfigurationRecord."""
    space, high_tier, profile = record[1] >> 6, record[1] >> 5 & 1, record[1] & 31
    # The string has these 32 flags in reverse bit order.
    compatible = int(f"{int.from_bytes(record[2:6]):032b}"[::-1], 2)
    parts = [
        f"{' ABC'[space].strip()}{profile}",
        f"{compatible:X}",
        f"{'LH'[high_tier]}{record[12]}",
        *(f"{byte:X}" for byte in record[6:12].rstrip(b"\0")),
    ]
    return ".".join(parts)


def _av1(record: bytes) -> str:
    """Profile, level and tier, and bit depth, from an AV1CodecConfigurationRecord."""
    profile, level, high_tier = record[1] >> 5, record[1] & 31, record[2] >> 7
    depth = 8 if not record[2] & 0x40 else 12 if record[2] & 0x20 else 10
    return f"{profile}.{level:02}{'MH'[high_tier]}.{depth:02}"


_CODEC_STRINGS = {b"avcC": _avc, b"hvcC": _hevc, b"av1C": _av1}


def add_light_levels(data: bytes, light: LightLevels) -> bytes:
    """Add ``mdcv`` and ``clli`` atoms (ISO/IEC 14496-12) to the video's sample entry.

    Unknown levels are left out. Only for fragmented MP4: other files have offsets that would have
    to change too.
    """
    atoms = _light_atoms(light)
    entry = next(_sample_entries(data), None)
    if not atoms or entry is None:
        return data
    grown = bytearray(data)
    for atom in _ancestors(data, entry):
        grown[atom.start : atom.start + 4] = (atom.end - atom.start + len(atoms)).to_bytes(4)
    grown[entry.end : entry.end] = atoms
    return bytes(grown)


def _light_atoms(light: LightLevels) -> bytes:
    atoms = b""
    if len(light.primaries) == 8 and light.max_luminance:
        red, green, blue, white = zip(*[iter(light.primaries)] * 2, strict=True)
        # The order of mdcv is that of HEVC's SEI message: green, blue, red.
        steps = [
            round(share * CHROMATICITY_STEPS).to_bytes(2) for share in (*green, *blue, *red, *white)
        ]
        levels = [
            round(level * LUMINANCE_STEPS).to_bytes(4)
            for level in (light.max_luminance, light.min_luminance)
        ]
        atoms += _atom(b"mdcv", b"".join([*steps, *levels]))
    if light.max_content or light.max_average:
        atoms += _atom(b"clli", light.max_content.to_bytes(2) + light.max_average.to_bytes(2))
    return atoms


def _ancestors(data: bytes, entry: Atom) -> Iterator[Atom]:
    """A sample entry and every atom that contains it."""
    yield entry
    kinds = SAMPLE_DESCRIPTION.split("/")
    for depth in range(len(kinds)):
        candidates = find(data, "/".join(kinds[: depth + 1]))
        yield next(atom for atom in candidates if atom.start < entry.start < atom.end)


def _atom(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4) + kind + body


def read_moov(file: BinaryIO) -> tuple[int, bytes]:
    """The offset of a file's ``moov`` atom, and its bytes. Other atoms are skipped unread.

    Raises:
        UnreadableMedia: the file has no ``moov``.
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
            raise UnreadableMedia("this is not an MP4: it has no moov atom")
        start += size


def delay_track(moov: bytes, track: int, ticks: int) -> bytes:
    """Cut the first ``ticks`` of a track, in its timescale, which then begins that much later.

    Works on the track's edit list, without touching its samples. Only a track that already begins
    late has the two edits that this changes; another is left as it is.

    Args:
        moov: the whole atom.
        track: the number of the track, from 0.
    """
    atom = next(walk(moov))
    trak = list(find(moov, "trak", atom))[track]
    movie, media = _timescale(moov, "mvhd", atom), _timescale(moov, "mdia/mdhd", trak)
    elst = next(find(moov, "edts/elst", trak), None)
    if (
        elst is None
        or int.from_bytes(moov[elst.body + VERSION_FLAGS : elst.body + VERSION_FLAGS + 4]) != 2
    ):
        return moov
    width = 8 if moov[elst.body] == 1 else 4
    # An edit has a duration in the movie's timescale, a start in the media (-1: nothing plays), and
    # a rate. The first edit is the wait, the second plays the track.
    first = elst.body + VERSION_FLAGS + 4
    second = first + 2 * width + 4
    later = round(Fraction(ticks * movie, media))
    patched = bytearray(moov)
    for at, change in ((first, later), (second, -later), (second + width, ticks)):
        # A track can be shorter than the cut.
        patched[at : at + width] = max(0, int.from_bytes(moov[at : at + width]) + change).to_bytes(
            width
        )
    return bytes(patched)


def _timescale(data: bytes, path: str, inside: Atom) -> int:
    """The timescale of an ``mvhd`` or ``mdhd`` atom."""
    header = next(find(data, path, inside))
    # It follows the times of creation and modification, which have 64 bits each in version 1.
    at = header.body + VERSION_FLAGS + (16 if data[header.body] == 1 else 8)
    return int.from_bytes(data[at : at + 4])
