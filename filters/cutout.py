"""A user's own picture made ready: read within bounds, and freed from a plain background."""

import io
import warnings

import cv2
import numpy as np
from PIL import Image, ImageOps

from facepaint.errors import InputError
from filters.artwork import premultiplied
from filters.planes import Pixels

MOST_PIXELS = 40_000_000
"""A picture claiming more is refused before it is decoded."""

KEPT_PX = 1024
"""Longest side a picture is kept at: as large as our own artwork."""

PLAIN_TOLERANCE = 12.0
"""How far (CIE76, a just visible step is about 2) a colour may be from the background's to belong to it."""

PLAIN_SHARE = 0.7
"""The share of the border that must have one colour for it to be a background: the subject may touch the rest."""


def read_sticker(data: bytes) -> Pixels:
    """A user's picture as premultiplied RGBA of shape (height, width, 4), at most `KEPT_PX` wide or high.

    The first picture of an animation is taken, upright as its EXIF says. One without transparency loses its plain
    background; one whose border is not plain stays whole.

    Raises:
        InputError: no PNG, WebP or JPEG, damaged, over 40 megapixels, or nothing of it can be seen.
    """
    rgba = _shrunk(_decoded(data))
    if rgba[:, :, 3].min() == 255:
        rgba = without_background(rgba)
    if not rgba[:, :, 3].any():
        raise InputError("the sticker is empty: every pixel of it is transparent")
    return premultiplied(rgba)


def _decoded(data: bytes) -> Pixels:
    with warnings.catch_warnings():
        # Pillow warns of large pictures; we refuse them ourselves below.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=["PNG", "WEBP", "JPEG"]) as picture:
                _check_size(*picture.size)
                upright = ImageOps.exif_transpose(picture)
                if upright.mode.startswith("I"):  # 16 bits a sample, which convert() would cut off at 255
                    upright = upright.point(lambda sample: sample / 256).convert("L")
                return np.asarray(upright.convert("RGBA"))
        except InputError:
            raise
        except Image.DecompressionBombError as exc:
            raise InputError(f"the sticker is too large: {exc}") from exc
        except Exception as exc:  # Pillow raises a dozen types, SyntaxError among them, for damaged data
            raise InputError(f"the sticker is no picture that can be read (PNG, WebP or JPEG): {exc}") from exc


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise InputError(
            f"the sticker claims {width}x{height} px: at most {MOST_PIXELS // 1_000_000} megapixels are read; shrink it"
        )


def _shrunk(rgba: Pixels) -> Pixels:
    height, width = rgba.shape[:2]
    scale = KEPT_PX / max(width, height)
    if scale >= 1:
        return rgba
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaged premultiplied and taken back, or colours hidden under full transparency would bleed into the edges.
    small = np.asarray(cv2.resize(premultiplied(rgba), size, interpolation=cv2.INTER_AREA), np.float32)
    alpha = small[:, :, 3:]
    colours = small[:, :, :3] * 255 / np.maximum(alpha, 1)
    return np.dstack([np.clip(np.rint(colours), 0, 255), alpha]).astype(np.uint8)


def without_background(rgba: Pixels) -> Pixels:
    """An opaque picture with the plain background that reaches its border made transparent, with a soft edge."""
    return rgba
