"""The metadata that a painted image keeps: the meaning of its colours always, the rest only with a
look that does not redact."""

import re
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

ORIENTATION = 0x0112
THUMBNAILS = ((0x0111, 0x0117), (0x0201, 0x0202))
"""EXIF tags of the place and the size of a thumbnail, stored as strips of pixels or as a JPEG."""

UPRIGHT = 1
"""The orientation of an image that needs no rotation."""

SHORT = 3
"""EXIF's number of the type of 16-bit integers."""

EXIF_HEADER = b"Exif\0\0"

MAX_SEGMENT_BYTES = 65_000
"""What fits in one segment of a JPEG, with room for its headers."""

COLOUR_CHUNKS = (b"cHRM", b"cICP", b"gAMA", b"sRGB")
"""PNG chunks that define the meaning of colours. Pillow handles the profile, iCCP."""

TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")

OTHER_IMAGES = re.compile(
    rb"hdrgm|HDRGainMap|Container|GDepth|GImage|MicroVideo|MotionPhoto|HasExtendedXMP|Thumbnails"
)
"""Names in XMP that contains images, or describes others in the file, which the result lacks."""


def save_options(image: Image.Image, data: bytes, *, redacts: bool) -> dict[str, Any]:
    """Pillow's options that write an image's metadata into a file of the same format.

    With ``redacts`` this is the meaning of the colours only: texts and thumbnails may identify a
    person. Without, also EXIF (set to upright, without the thumbnail), XMP unless it refers to
    other images, comments, texts, and the resolution.

    Args:
        image: opened, its pixels loaded.
        data: the file that it was opened from.
    """
    options: dict[str, Any] = {}
    if image.info.get("icc_profile"):
        options["icc_profile"] = image.info["icc_profile"]
    if image.format == "PNG":
        options["pnginfo"] = _png_info(data, redacts=redacts)
    if redacts:
        return options
    kept = {
        "exif": upright_exif(image.info.get("exif", b"")),
        "xmp": upright_xmp(image.info.get("xmp", b"")),
        "comment": image.info.get("comment"),
        "dpi": _resolution(image),
    }
    # Pillow fails on a segment that is too long. The profile may span several.
    fitting = {
        name: value for name, value in kept.items() if value and len(value) < MAX_SEGMENT_BYTES
    }
    return options | fitting


def orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, 1 to 8; 1 if it has none or cannot be read."""
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
    """An EXIF block (CIPA DC-008) with orientation 1 and no thumbnail, otherwise byte for byte the
    same.

    Nothing is moved: maker notes hold offsets in private formats. A block that cannot be read
    becomes empty.
    """
    block, order = _exif_block(exif)
    header = exif[: len(exif) - len(block)]
    # In place: an entry keeps its offset and size, so that nothing else has to move.
    try:
        first = _first_directory(block, order)
        for tag, at in _entries(block, order, first):
            if tag == ORIENTATION:
                struct.pack_into(f"{order}HIH2x", block, at + 2, SHORT, 1, UPRIGHT)
        link = first + 2 + 12 * struct.unpack_from(f"{order}H", block, first)[0]
        (second,) = struct.unpack_from(f"{order}I", block, link)
        if second:
            struct.pack_into(f"{order}I", block, link, 0)
            _blank_thumbnail(block, order, second)
    except struct.error:
        return b""
    return header + bytes(block)


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet with orientation 1; empty if it contains images or describes others in the
    file."""
    if OTHER_IMAGES.search(xmp):
        return b""
    return re.sub(rb'(tiff:Orientation(?:=["\']|>))[0-9]', rb"\g<1>1", xmp)


def _exif_block(exif: bytes) -> tuple[bytearray, str]:
    """The block after its header, and its byte order as in `struct`, empty if it has none."""
    block = bytearray(exif.removeprefix(EXIF_HEADER))
    return block, {b"II": "<", b"MM": ">"}.get(bytes(block[:2]), "")


def _first_directory(block: bytearray, order: str) -> int:
    """The offset of the first directory, which links to that of the thumbnail."""
    if not order:
        raise struct.error("no byte order")
    return int(struct.unpack_from(f"{order}I", block, 4)[0])


def _entries(block: bytearray, order: str, directory: int) -> Iterator[tuple[int, int]]:
    """The tag and offset of each entry of a directory."""
    (count,) = struct.unpack_from(f"{order}H", block, directory)
    for number in range(count):
        at = directory + 2 + 12 * number
        yield struct.unpack_from(f"{order}H", block, at)[0], at


def _blank_thumbnail(block: bytearray, order: str, directory: int) -> None:
    """Overwrite a directory and its images with zeros, or cut them off at the end of the block."""
    entries = dict(_entries(block, order, directory))
    for place_tag, size_tag in THUMBNAILS:
        if place_tag in entries and size_tag in entries:
            starts = _numbers(block, order, entries[place_tag])
            sizes = _numbers(block, order, entries[size_tag])
            for start, size in zip(starts, sizes, strict=False):
                _blank(block, start, start + size)
    _blank(block, directory, directory + 2 + 12 * len(entries) + 4)


def _blank(block: bytearray, start: int, end: int) -> None:
    # The thumbnail is usually last; a block that ends before it is as valid and shorter.
    if end >= len(block):
        del block[start:]
    else:
        block[start:end] = bytes(max(0, end - start))


def _numbers(block: bytearray, order: str, at: int) -> tuple[int, ...]:
    """The values of an entry of integers. Up to four bytes lie in the entry itself."""
    kind, count = struct.unpack_from(f"{order}HI", block, at + 2)
    letter, size = ("H", 2) if kind == SHORT else ("I", 4)
    if size * count > 4:
        at = struct.unpack_from(f"{order}I", block, at + 8)[0] - 8
    return struct.unpack_from(f"{order}{count}{letter}", block, at + 8)


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch in x and y, if the file has values that can be written again."""
    dpi = image.info.get("dpi")
    if not dpi or not all(0 < value < 65_536 for value in dpi):
        return None
    return float(dpi[0]), float(dpi[1])


def _png_info(data: bytes, *, redacts: bool) -> PngInfo:
    info = PngInfo()
    for name, body in _png_chunks(data):
        if name in COLOUR_CHUNKS:
            info.add(name, body)
        elif redacts:
            continue
        elif name in TEXT_CHUNKS and _is_plain_text(body):
            info.add(name, upright_xmp(body))
        elif name == b"tIME":
            info.add(name, body)
    return info


def _is_plain_text(body: bytes) -> bool:
    """Whether a text is one, and not EXIF and the like in hexadecimal with its thumbnail."""
    return not body.startswith(b"Raw profile type") and not OTHER_IMAGES.search(body)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at + 8 : at + 8 + size]
        at += 12 + size
