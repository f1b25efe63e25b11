"""Open image files. This is the only place where Pillow opens a user's file."""

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
"""The formats of images to paint."""

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
"""The errors that Pillow's decoders raise for damaged data."""


@contextmanager
def open_image(
    source: Path | bytes,
    name: str,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = STICKER_FORMATS,
) -> Iterator[Image.Image]:
    """Open an image and read its header; the caller decodes it.

    Args:
        source: the file, or its bytes.
        name: the name of the image in messages.
        formats: Pillow's names of the formats that are accepted.

    Raises:
        NotAnImage: the file has none of the formats.
        UnreadableMedia: the image is too large or damaged. Damage may show only when the caller
            decodes it, and is raised then.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, which are refused below, and of faults in metadata,
            # which is not used.
            warnings.simplefilter("ignore")
            opened = Image.open(
                io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats
            )
        with opened as image:
            width, height = image.size
            # Checked before decoding: a small file can claim gigabytes of pixels.
            if max(width, height) > MAX_SIDE_PX or width * height > max_pixels:
                raise UnreadableMedia(
                    f"{name} has {width}x{height} px, more than can be painted; make it smaller"
                )
            yield image
    except Image.DecompressionBombError as exc:
        raise UnreadableMedia(
            f"{name} claims far more pixels than can be painted; make it smaller"
        ) from exc
    except UnidentifiedImageError as exc:
        raise NotAnImage(f"{name} is not a PNG, WebP or JPEG image") from exc
    except _DAMAGED as exc:
        raise UnreadableMedia(
            f"{name} is damaged ({exc}); open it in an image viewer to check it"
        ) from exc


def image_format(image: Image.Image) -> str:
    """The format of an image, one of `IMAGE_FORMATS`."""
    # Phones write JPEGs with further images in them (MPO). The first one is the photograph.
    return "JPEG" if image.format == "MPO" else str(image.format)


def is_animated(image: Image.Image) -> bool:
    """Whether a GIF, PNG or WebP has more than one frame."""
    return image_format(image) != "JPEG" and bool(getattr(image, "is_animated", False))


def to_8_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits per sample."""
    if not image.mode.startswith("I"):
        return image
    # Pillow's own conversion of 16-bit grey clips at 255 instead of scaling.
    return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")


def is_lossless_webp(data: bytes) -> bool:
    """Whether a WebP is coded losslessly (RFC 9649)."""
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name in {b"VP8 ", b"VP8L"}:
            return bool(name == b"VP8L")
        at += 8 + size + size % 2
    return False
