"""What of a picture's file goes along with its pixels: its colours always, the rest only if no face
is to be hidden."""

import re
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

ORIENTATION = 0x0112
THUMBNAILS = ((0x0111, 0x0117), (0x0201, 0x0202))
"""Tags of where a thumbnail's bytes lie and how many they are: as strips of pixels, as a JPEG."""

UPRIGHT = 1
SHORT = 3
EXIF_MARK = b"Exif\0\0"
LONGEST_SEGMENT = 65_000
"""What fits in one segment of a JPEG, with room for the marks before it."""

COLOUR_CHUNKS = (b"cHRM", b"cICP", b"gAMA", b"sRGB")
"""Chunks of a PNG that say what its colours mean; its profile, iCCP, is passed on by itself."""

TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")

OTHER_PICTURES = re.compile(
    rb"hdrgm|HDRGainMap|Container|GDepth|GImage|MicroVideo|MotionPhoto|HasExtendedXMP|Thumbnails"
)
"""What XMP says where it holds pictures or tells of others in the file, which are not in the
result."""


def save_options(picture: Image.Image, data: bytes, *, redacts: bool) -> dict[str, Any]:
    """The options that make Pillow write a picture's metadata into a file of the same format.

    With ``redacts`` that is what its colours mean and nothing else. Else also EXIF, its orientation
    said to be upright and without the thumbnail, XMP unless it tells of other pictures, comments,
    texts, and resolution.

    Args:
        picture: as opened, its pixels loaded.
        data: the file it was opened from.
    """
    options: dict[str, Any] = {}
    if picture.info.get("icc_profile"):
        options["icc_profile"] = picture.info["icc_profile"]
    if picture.format == "PNG":
        options["pnginfo"] = _png_info(data, redacts=redacts)
    if redacts:
        return options
    kept = {
        "exif": upright_exif(picture.info.get("exif", b"")),
        "xmp": upright_xmp(picture.info.get("xmp", b"")),
        "comment": picture.info.get("comment"),
        "dpi": _resolution(picture),
    }
    small = {name: value for name, value in kept.items() if value and len(value) < LONGEST_SEGMENT}
    return options | small


def orientation(exif: bytes) -> int:
    """The orientation an EXIF block tells, 1 to 8; 1 if it tells none or cannot be read."""
    block, order = _exif_block(exif)
    try:
        for tag, at in _entries(block, order, _first_directory(block, order)):
            if tag == ORIENTATION:
                (value, *_) = _numbers(block, order, at)
                return value if value in range(1, 9) else UPRIGHT
    except (struct.error, ValueError):
        pass
    return UPRIGHT


def upright_exif(exif: bytes) -> bytes:
    """An EXIF block (CIPA DC-008) with orientation 1 and no thumbnail, everything else byte for
    byte as it was.

    Nothing is moved, since makers' notes hold offsets nobody else knows. A block that cannot be
    read becomes empty.
    """
    block, order = _exif_block(exif)
    mark = exif[: len(exif) - len(block)]
    try:
        first = _first_directory(block, order)
        for tag, at in _entries(block, order, first):
            if tag == ORIENTATION:
                struct.pack_into(f"{order}HIH2x", block, at + 2, SHORT, 1, UPRIGHT)
        track = first + 2 + 12 * struct.unpack_from(f"{order}H", block, first)[0]
        (second,) = struct.unpack_from(f"{order}I", block, track)
        if second:
            struct.pack_into(f"{order}I", block, track, 0)
            _blank_thumbnail(block, order, second)
    except struct.error:
        return b""
    return mark + bytes(block)


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet with orientation 1; empty if it holds pictures or tells of others in the
    file."""
    if OTHER_PICTURES.search(xmp):
        return b""
    return re.sub(rb'(tiff:Orientation(?:=["\']|>))[0-9]', rb"\g<1>1", xmp)


def _exif_block(exif: bytes) -> tuple[bytearray, str]:
    """The block behind its mark in a JPEG, and its byte order as `struct` has it, empty if it has
    none."""
    block = bytearray(exif.removeprefix(EXIF_MARK))
    return block, {b"II": "<", b"MM": ">"}.get(bytes(block[:2]), "")


def _first_directory(block: bytearray, order: str) -> int:
    """Where the first directory is, whose link leads to that of the thumbnail."""
    if not order:
        raise struct.error("no byte order")
    return int(struct.unpack_from(f"{order}I", block, 4)[0])


def _entries(block: bytearray, order: str, directory: int) -> Iterator[tuple[int, int]]:
    """The tag and place of each entry of a directory."""
    (count,) = struct.unpack_from(f"{order}H", block, directory)
    for number in range(count):
        at = directory + 2 + 12 * number
        yield struct.unpack_from(f"{order}H", block, at)[0], at


def _blank_thumbnail(block: bytearray, order: str, directory: int) -> None:
    """Write zeros over a directory's pictures and the directory itself; what then ends the block is
    cut off."""
    places = dict(_entries(block, order, directory))
    for where, how_many in THUMBNAILS:
        if where in places and how_many in places:
            starts, sizes = (_numbers(block, order, places[tag]) for tag in (where, how_many))
            for start, size in zip(starts, sizes, strict=False):
                _blank(block, start, start + size)
    _blank(block, directory, directory + 2 + 12 * len(places) + 4)


def _blank(block: bytearray, start: int, end: int) -> None:
    if end >= len(block):
        del block[start:]
    else:
        block[start:end] = bytes(max(0, end - start))


def _numbers(block: bytearray, order: str, at: int) -> tuple[int, ...]:
    """The values of an entry of whole numbers."""
    kind, count = struct.unpack_from(f"{order}HI", block, at + 2)
    letter, size = ("H", 2) if kind == SHORT else ("I", 4)
    if size * count > 4:
        at = struct.unpack_from(f"{order}I", block, at + 8)[0] - 8
    return struct.unpack_from(f"{order}{count}{letter}", block, at + 8)


def _resolution(picture: Image.Image) -> tuple[float, float] | None:
    """Dots per inch across and down, if the file says so in a way that can be written again."""
    dpi = picture.info.get("dpi")
    return (
        (float(dpi[0]), float(dpi[1])) if dpi and all(0 < value < 65_536 for value in dpi) else None
    )


def _png_info(data: bytes, *, redacts: bool) -> PngInfo:
    info = PngInfo()
    for name, body in _png_chunks(data):
        if name in COLOUR_CHUNKS:
            info.add(name, body)
        elif name in TEXT_CHUNKS and not redacts:
            # Such texts are EXIF and the like in hexadecimal, thumbnails and all.
            if not body.startswith(b"Raw profile type") and not OTHER_PICTURES.search(body):
                info.add(name, upright_xmp(body))
        elif name == b"tIME" and not redacts:
            info.add(name, body)
    return info


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at + 8 : at + 8 + size]
        at += 12 + size
