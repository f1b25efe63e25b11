"""Opening still pictures: the one place where a picture file meets Pillow."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from facepaint.errors import NoPicture, UnreadableMedia

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_SIDE_PX = 16_384
MAX_PIXELS = 134_000_000

_DAMAGED = (OSError, EOFError, ValueError, SyntaxError, LookupError, ArithmeticError, struct.error, zlib.error)
"""What Pillow's decoders raise over damaged data."""


@contextmanager
def open_picture(source: Path | bytes, name: str, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a JPEG, PNG or WebP; only its header is read yet. ``name`` is what messages call it.

    Raises:
        NoPicture: it is none of the three.
        UnreadableMedia: it is too large, or damaged; also if that shows while the caller decodes it.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of what is large; what is too large is decided here, by the header.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
        with opened as picture:
            width, height = picture.size
            if max(width, height) > MAX_SIDE_PX or width * height > max_pixels:
                raise UnreadableMedia(f"{name} has {width}x{height} px, more than can be painted; make it smaller")
            yield picture
    except Image.DecompressionBombError as exc:
        raise UnreadableMedia(f"{name} claims far more pixels than can be painted; make it smaller") from exc
    except UnidentifiedImageError as exc:
        raise NoPicture(f"{name} is no picture in PNG, WebP or JPEG") from exc
    except _DAMAGED as exc:
        raise UnreadableMedia(f"{name} is a damaged picture ({exc}); open it to see if it is whole") from exc


def picture_format(picture: Image.Image) -> str:
    """One of `FORMATS`. Phones write JPEGs that hold further pictures (MPO); the first is the photograph."""
    return "JPEG" if picture.format == "MPO" else str(picture.format)


def is_animated(picture: Image.Image) -> bool:
    """Whether a PNG or WebP moves."""
    return picture_format(picture) != "JPEG" and bool(getattr(picture, "is_animated", False))


def in_8_bits(picture: Image.Image) -> Image.Image:
    """The picture with 8 bits a sample: of grey in 16, Pillow's own conversion cuts everything over 255 off."""
    if not picture.mode.startswith("I"):
        return picture
    return picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
