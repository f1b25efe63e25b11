"""A user's sticker: decoded within bounds, and cut out of a plain background."""

import io
import warnings
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from facepaint.errors import InputError
from facepaint.media.images import to_8_bits
from filters.artwork import premultiplied
from filters.planes import Pixels

MAX_PIXELS = 40_000_000
"""An image whose header claims more is refused before it is decoded."""

MAX_SIDE_PX = 1024
"""Longer images are shrunk: about the size of our own artwork."""

BACKGROUND_TOLERANCE = 10.0
"""The colour difference (CIE76, where 2 is just visible) up to which px belong to the
background."""

BACKGROUND_SHARE = 0.7
"""The share of the border that a plain background must fill: the subject may touch the rest."""

EDGE_PX = 3
"""The depth of mixed colours along the subject's edge; JPEG mixes further than antialiasing."""

MAX_SPECK_SHARE = 5e-5
"""An isolated spot in the background is dirt up to this share of the image."""

MIN_CONTRAST = 30.0
"""The least difference of RGB between subject and background from which alpha can be estimated."""

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


def read_sticker(data: bytes) -> Pixels:
    """Read a user's image: premultiplied RGBA, (height, width, 4), no side over `MAX_SIDE_PX`.

    Takes the first frame of an animation, and applies the EXIF orientation. An opaque image loses a
    plain background; one whose border is not plain stays whole.

    Raises:
        InputError: no PNG, WebP or JPEG, damaged, over 40 megapixels, or fully transparent.
    """
    rgba = _shrunk(_decoded(data))
    if rgba[:, :, 3].min() == 255:
        rgba = without_background(rgba)
    if not rgba[:, :, 3].any():
        raise InputError("the sticker is empty: every pixel of it is transparent")
    return premultiplied(rgba)


def without_background(rgba: Pixels) -> Pixels:
    """Make the plain background of an opaque image transparent where it reaches the border.

    Px of the edge are mixtures of subject and background. Each gets the colour of the nearest px
    inside the subject, and its share of it as alpha: no rim of the old background shows on a new
    one.
    """
    background = _background(rgba)
    if background is None or background.all():
        return rgba
    colour = np.median(rgba[background][:, :3], axis=0).astype(np.float32)
    inside = cv2.erode(
        (~background).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=EDGE_PX, borderValue=1
    )
    distance, nearest = cv2.distanceTransformWithLabels(
        1 - inside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    cut = rgba.copy()
    cut[:, :, 3][background] = 0
    # Where the subject is thinner than its edges nothing is inside, and its px keep their colours.
    if inside.any():
        edge = ~background & (inside == 0) & (distance <= 2 * EDGE_PX)
        # Labels number the px inside row by row, from 1.
        subject = rgba[inside > 0][:, :3][nearest[edge] - 1]
        cut[:, :, :3][edge] = subject
        cut[:, :, 3][edge] = _alpha(rgba[edge][:, :3], subject, colour)
    # Softens a jagged outline; only inwards, or the background would come back.
    cut[:, :, 3] = np.minimum(cut[:, :, 3], cv2.GaussianBlur(cut[:, :, 3], (3, 3), 0.8))
    return cut


def _background(rgba: Pixels) -> Mask | None:
    """The mask of the background; None where most of the border has not one colour."""
    rgb = rgba[:, :, :3].astype(np.float32) / 255
    lab = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), np.float32)
    colour = np.median(_border(lab), axis=0)
    close = np.asarray(np.linalg.norm(lab - colour, axis=-1) < BACKGROUND_TOLERANCE)
    if _border(close).mean() < BACKGROUND_SHARE:
        return None
    # Eroded before it is flooded from the border: a gap of a px or two in the subject's outline
    # must not let the background in.
    square = np.ones((3, 3), np.uint8)
    wide = cv2.erode(close.astype(np.uint8), square, borderValue=1)
    _, labels = cv2.connectedComponents(wide, connectivity=4)
    outer = np.unique(_border(labels))
    flooded = np.isin(labels, outer[outer > 0]).astype(np.uint8)
    return _without_specks((cv2.dilate(flooded, square) > 0) & close)


def _border(pixels: Any) -> Any:
    """The outermost px of an array of shape (height, width, ...), each once."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def _without_specks(background: Mask) -> Mask:
    """The background with the stray px in it that compression leaves."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (~background).astype(np.uint8), connectivity=8
    )
    specks = stats[:, cv2.CC_STAT_AREA] <= MAX_SPECK_SHARE * background.size
    # Label 0 is the background itself.
    specks[0] = False
    return np.asarray(background | specks[labels])


def _alpha(mixed: Pixels, subject: Pixels, background: Floats) -> Pixels:
    """The share of the subject in n mixed colours, as alpha (n,).

    ``mixed`` and ``subject`` have shape (n, 3), ``background`` (3,). It is the projection onto the
    line from the background's colour to the subject's.
    """
    span = subject.astype(np.float32) - background
    squared = np.sum(span * span, axis=1)
    share = np.sum((mixed - background) * span, axis=1) / np.maximum(squared, 1)
    alpha = np.clip(np.rint(255 * share), 0, 255)
    # A subject of nearly the background's colour would get a random alpha: it stays opaque.
    return np.where(squared < MIN_CONTRAST**2, 255, alpha).astype(np.uint8)


def _decoded(data: bytes) -> Pixels:
    """Straight RGBA of shape (height, width, 4), upright."""
    with warnings.catch_warnings():
        # Pillow warns of large images; `_check_size` refuses them.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=["PNG", "WEBP", "JPEG"]) as image:
                _check_size(*image.size)
                return np.asarray(to_8_bits(ImageOps.exif_transpose(image)).convert("RGBA"))
        except InputError:
            raise
        except Image.DecompressionBombError as exc:
            raise InputError(f"the sticker is too large: {exc}") from exc
        except Exception as exc:
            # Pillow raises a dozen types for damaged data, SyntaxError among them.
            raise InputError(
                f"the sticker is not a readable image (PNG, WebP or JPEG): {exc}"
            ) from exc


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(
            f"the sticker has {width}x{height} px; the limit is {MAX_PIXELS // 1_000_000} "
            "megapixels: shrink it"
        )


def _shrunk(rgba: Pixels) -> Pixels:
    """Straight RGBA, shrunk to `MAX_SIDE_PX`."""
    height, width = rgba.shape[:2]
    scale = MAX_SIDE_PX / max(width, height)
    if scale >= 1:
        return rgba
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaged premultiplied: else the colours of fully transparent px would bleed into the edges.
    averaged = cv2.resize(premultiplied(rgba), size, interpolation=cv2.INTER_AREA)
    small = np.asarray(averaged, np.float32)
    alpha = small[:, :, 3:]
    colours = small[:, :, :3] * 255 / np.maximum(alpha, 1)
    return np.dstack([np.clip(np.rint(colours), 0, 255), alpha]).astype(np.uint8)
