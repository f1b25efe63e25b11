"""Image files with all the metadata that cameras, phones and programs write."""

import io
import itertools
import struct
import zlib
from typing import Any

import skimage.data
from PIL import Image, ImageCms

from facepaint.records.faces import Candidate, Faces, FrameFaces

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

SECRETS = {
    "maker": b"SecretMaker",
    "maker's note": b"SecretNote",
    "place": b"SecretPlace",
    "thumbnail": b"SecretThumbnail",
    "XMP": b"SecretXmp",
    "IPTC": b"SecretIptc",
    "comment": b"SecretComment",
    "second image": b"SecretSecondImage",
    "gain map": b"SecretGainMap",
    "depth": b"SecretDepth",
    "appended video": b"SecretMotion",
    "text": b"SecretText",
}
"""Metadata that a search of the file's bytes finds."""


def astronaut(size: tuple[int, int] = (256, 256)) -> Image.Image:
    """The public-domain portrait; its face is at `face_of`."""
    return Image.fromarray(skimage.data.astronaut()).resize(size)


def face_of(width: int, height: int, index: int = 0) -> Faces:
    """A record of the one face in `astronaut` at that size."""
    x, y = width / 512, height / 512
    marks = (205, 110, 240, 110, 222, 130, 208, 145, 240, 145)
    landmarks = tuple(value * (y if at % 2 else x) for at, value in enumerate(marks))
    face = Candidate(0.9, (180 * x, 60 * y, 265 * x, 180 * y), landmarks)
    return Faces(index, (FrameFaces(index, faces=(face,)),), "facepaint-1", "cpu")


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An image as a file of that kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int = 1, order: str = "<", strips: bool = False) -> bytes:
    """An EXIF block: orientation, maker, a maker's note, a place, and a thumbnail (as a JPEG, or as
    strips)."""
    note, maker = SECRETS["maker's note"], SECRETS["maker"] + b"\0"
    place, thumbnail = SECRETS["place"], SECRETS["thumbnail"]
    first, inner, gps, second = 8, 100, 200, 300
    values = {400: maker, 450: note, 500: place, 600: thumbnail}

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        packed = (
            struct.pack(f"{order}H2x", value)
            if kind == 3 and count == 1
            else struct.pack(f"{order}I", value)
        )
        return struct.pack(f"{order}HHI", tag, kind, count) + packed

    where = ((0x0111, 4, 1, 600), (0x0117, 4, 1, len(thumbnail))) if strips else ()
    directories = {
        first: (
            (0x010F, 2, len(maker), 400),
            (0x0112, 3, 1, orientation),
            (0x8769, 4, 1, inner),
            (0x8825, 4, 1, gps),
        ),
        inner: ((0x927C, 7, len(note), 450),),
        gps: ((0x001B, 7, len(place), 500),),
        second: where or ((0x0103, 3, 1, 6), (0x0201, 4, 1, 600), (0x0202, 4, 1, len(thumbnail))),
    }
    block = bytearray(600 + len(thumbnail))
    block[:8] = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, first)
    for at, entries in directories.items():
        body = struct.pack(f"{order}H", len(entries)) + b"".join(entry(*row) for row in entries)
        body += struct.pack(f"{order}I", second if at == first else 0)
        block[at : at + len(body)] = body
    for at, value in values.items():
        block[at : at + len(value)] = value
    return b"Exif\0\0" + bytes(block)


def xmp(body: bytes = b"<tiff:Orientation>6</tiff:Orientation>" + SECRETS["XMP"]) -> bytes:
    """An XMP packet."""
    return b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + body + b"</x:xmpmeta>"


def jpeg_segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG (ITU-T T.81, B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def png_chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", zlib.crc32(name + body))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims that size, with hardly any data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def jpeg_with_everything(orientation: int = 1) -> bytes:
    """A JPEG as a phone writes it, with all kinds of metadata."""
    plain = encoded(astronaut(), "JPEG", quality=90, icc_profile=PROFILE, dpi=(300, 300))
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(SECRETS["IPTC"])) + SECRETS["IPTC"]
    planted = (
        jpeg_segment(0xE1, exif(orientation))
        + jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp())
        + jpeg_segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + SECRETS["depth"])
        + jpeg_segment(0xE2, b"MPF\0MM\0*" + SECRETS["second image"])
        + jpeg_segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + SECRETS["gain map"])
        + jpeg_segment(0xED, b"Photoshop 3.0\0" + resource)
        + jpeg_segment(0xFE, SECRETS["comment"])
    )
    behind = (
        encoded(astronaut((64, 64)), "JPEG", comment=SECRETS["second image"])
        + SECRETS["appended video"]
    )
    return plain[:2] + planted + plain[2:] + behind


def png_with_everything(orientation: int = 1) -> bytes:
    """A PNG with texts, EXIF, XMP, and EXIF in a text chunk."""
    plain = encoded(astronaut(), "PNG", icc_profile=PROFILE, dpi=(300, 300))
    raw = b"Raw profile type exif\0\0" + zlib.compress(SECRETS["thumbnail"].hex().encode())
    planted = (
        png_chunk(b"tEXt", b"Comment\0" + SECRETS["comment"])
        + png_chunk(b"zTXt", raw)
        + png_chunk(b"iTXt", b"Title\0\0\0\0\0" + SECRETS["text"])
        + png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp())
        + png_chunk(b"eXIf", exif(orientation)[6:])
        + png_chunk(b"prIv", SECRETS["depth"])
    )
    return plain[:33] + planted + plain[33:] + SECRETS["appended video"]


def webp_with_everything(orientation: int = 1, *, lossless: bool = False) -> bytes:
    """A WebP with EXIF, XMP and an unknown chunk."""
    plain = encoded(
        astronaut(),
        "WEBP",
        lossless=lossless,
        icc_profile=PROFILE,
        exif=exif(orientation)[6:],
        xmp=xmp(),
    )
    more = (
        b"SECR"
        + struct.pack("<I", len(SECRETS["depth"]))
        + SECRETS["depth"]
        + bytes(len(SECRETS["depth"]) % 2)
    )
    return plain[:4] + struct.pack("<I", len(plain) + len(more) - 8) + plain[8:] + more


def ink_profile() -> bytes:
    """A profile (ICC.1, lut8Type) of a press on which all inks print dark red: nothing guesses that
    without it."""
    paper, dark_red, d50 = bytes((255, 128, 128)), bytes((136, 208, 195)), (0xF6D6, 0x10000, 0xD32D)
    grid = b"".join(
        dark_red if any(inks) else paper for inks in itertools.product((0, 1), repeat=4)
    )
    identity = struct.pack(">9I", *(0x10000 * (at % 4 == 0) for at in range(9)))
    ramp = bytes(range(256))
    tags = {
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3I", *d50),
        b"A2B0": b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + 4 * ramp + grid + 3 * ramp,
    }
    directory, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        directory += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    size = 128 + len(directory) + len(bodies)
    header = struct.pack(
        ">I4sI4s4s4s12x4s", size, b"", 0x0210_0000, b"prtr", b"CMYK", b"Lab ", b"acsp"
    )
    return (
        (header.ljust(68, b"\0") + struct.pack(">3I", *d50)).ljust(128, b"\0") + directory + bodies
    )
