"""Opening still pictures: the one place where a picture file meets Pillow."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from facepaint.errors import NotAnImage, UnreadableMedia

STICKER_FORMATS = ("JPEG", "PNG", "WEBP")
IMAGE_FORMATS = (*STICKER_FORMATS, "GIF")
"""What a picture to be painted may be; a GIF is no sticker."""

MAX_SIDE_PX = 16_384
MAX_PIXELS = 134_000_000

_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise over damaged data."""


@contextmanager
def open_image(
    source: Path | bytes,
    name: str,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = STICKER_FORMATS,
) -> Iterator[Image.Image]:
    """Open a picture in one of the formats; only its header is read yet. ``name`` is what messages
    call it.

    Raises:
        NotAnImage: it is in none of them.
        UnreadableMedia: it is too large, or damaged; also if that shows while the caller decodes
            it.
    """
    try:
        with warnings.catch_warnings():
            # Of what is large, which is decided here, by the header; of odd things beside the
            # pixels, left out anyway.
            warnings.simplefilter("ignore")
            opened = Image.open(
                io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats
            )
        with opened as picture:
            width, height = picture.size
            if max(width, height) > MAX_SIDE_PX or width * height > max_pixels:
                raise UnreadableMedia(
                    f"{name} has {width}x{height} px, more than can be painted; make it smaller"
                )
            yield picture
    except Image.DecompressionBombError as exc:
        raise UnreadableMedia(
            f"{name} claims far more pixels than can be painted; make it smaller"
        ) from exc
    except UnidentifiedImageError as exc:
        raise NotAnImage(f"{name} is no picture in PNG, WebP or JPEG") from exc
    except _DAMAGED as exc:
        raise UnreadableMedia(
            f"{name} is a damaged picture ({exc}); open it to see if it is whole"
        ) from exc


def image_format(picture: Image.Image) -> str:
    """One of `IMAGE_FORMATS`. Phones write JPEGs that hold further pictures (MPO); the first is the
    photograph."""
    return "JPEG" if picture.format == "MPO" else str(picture.format)


def is_animated(picture: Image.Image) -> bool:
    """Whether a GIF, PNG or WebP moves."""
    return image_format(picture) != "JPEG" and bool(getattr(picture, "is_animated", False))


def to_8_bits(picture: Image.Image) -> Image.Image:
    """The picture with 8 bits a sample: of grey in 16, Pillow's own conversion cuts everything over
    255 off."""
    if not picture.mode.startswith("I"):
        return picture
    return picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")


def is_lossless_webp(data: bytes) -> bool:
    """Whether the pixels of a WebP are in its lossless coding (RFC 9649)."""
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name in {b"VP8 ", b"VP8L"}:
            return bool(name == b"VP8L")
        at += 8 + size + size % 2
    return False
