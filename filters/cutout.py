"""A user's own picture made ready: read within bounds, and freed from a plain background."""

import io
import warnings

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from facepaint.errors import InputError
from facepaint.media.images import to_8_bits
from filters.artwork import premultiplied
from filters.planes import Pixels

MAX_PIXELS = 40_000_000
"""A picture claiming more is refused before it is decoded."""

MAX_SIDE_PX = 1024
"""Longest side a picture is kept at: about that of our own artwork."""

PLAIN_TOLERANCE = 10.0
"""How far (CIE76, where 2 is just visible) a colour may be from the background's and still belong
to it."""

PLAIN_SHARE = 0.7
"""The share of the border that must have one colour for it to be a background: the subject may
touch the rest."""

EDGE_PX = 3
"""How far the mixed colours of an edge reach into the subject; in a JPEG they reach further than
antialiasing does."""

SPECK_SHARE = 5e-5
"""Whatever stands alone in the background and is no larger than this share of the picture is
dirt."""

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


def read_sticker(data: bytes) -> Pixels:
    """Read a user's image: premultiplied RGBA, (height, width, 4), no side over `MAX_SIDE_PX`.

    The first picture of an animation is taken, upright as its EXIF says. One without transparency
    loses its plain background; one whose border is not plain stays whole.

    Raises:
        InputError: no PNG, WebP or JPEG, damaged, over 40 megapixels, or nothing of it can be seen.
    """
    rgba = _shrunk(_decoded(data))
    if rgba[:, :, 3].min() == 255:
        rgba = without_background(rgba)
    if not rgba[:, :, 3].any():
        raise InputError("the sticker is empty: every pixel of it is transparent")
    return premultiplied(rgba)


def without_background(rgba: Pixels) -> Pixels:
    """An opaque picture, its plain background made transparent where it reaches the border, with a
    soft edge.

    The edge's px are a mixture of subject and background: each gets the colour of the nearest px
    inside the subject and the share of it as alpha, so that no rim of the old background shows on a
    new one.
    """
    background = _background(rgba)
    if background is None or background.all():
        return rgba
    colour = np.median(rgba[background][:, :3], axis=0).astype(np.float32)
    square = np.ones((3, 3), np.uint8)
    inside = cv2.erode((~background).astype(np.uint8), square, iterations=EDGE_PX, borderValue=1)
    distance, nearest = cv2.distanceTransformWithLabels(
        1 - inside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Where the subject is thinner than its edges nothing is inside: there its px keep their own
    # colour.
    edge = (
        ~background & (inside == 0) & (distance <= 2 * EDGE_PX)
        if inside.any()
        else np.zeros_like(background)
    )
    cut = rgba.copy()
    cut[:, :, 3][background] = 0
    if edge.any():
        # Labels count the px inside row by row, from 1.
        subject = rgba[inside > 0][:, :3][nearest[edge] - 1]
        cut[:, :, :3][edge] = subject
        cut[:, :, 3][edge] = _share(rgba[edge][:, :3], subject, colour)
    cut[:, :, 3] = np.minimum(cut[:, :, 3], cv2.GaussianBlur(cut[:, :, 3], (3, 3), 0.8))
    return cut


def _background(rgba: Pixels) -> Mask | None:
    """The px of the background, True; None where the border has not one colour."""
    lab = np.asarray(
        cv2.cvtColor(rgba[:, :, :3].astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32
    )
    border = np.concatenate([lab[0], lab[-1], lab[1:-1, 0], lab[1:-1, -1]])
    close = np.asarray(np.linalg.norm(lab - np.median(border, axis=0), axis=-1) < PLAIN_TOLERANCE)
    on_border = np.concatenate([close[0], close[-1], close[1:-1, 0], close[1:-1, -1]])
    if on_border.mean() < PLAIN_SHARE:
        return None
    # A gap of a px or two in the subject's outline must not let the background flood its inside.
    square = np.ones((3, 3), np.uint8)
    wide = cv2.erode(close.astype(np.uint8), square, borderValue=1)
    _, labels = cv2.connectedComponents(wide, connectivity=4)
    outer = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    reached = np.isin(labels, outer[outer > 0]).astype(np.uint8)
    return _without_specks((cv2.dilate(reached, square) > 0) & close)


def _without_specks(background: Mask) -> Mask:
    """The background with the few stray px in it that compression leaves."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (~background).astype(np.uint8), connectivity=8
    )
    specks = stats[:, cv2.CC_STAT_AREA] <= SPECK_SHARE * background.size
    specks[0] = False
    return np.asarray(background | specks[labels])


def _share(mixed: Pixels, subject: Pixels, background: Floats) -> Pixels:
    """How much of the subject is in each of n mixed colours, as alpha; arrays of shape (n, 3),
    ``background`` (3,)."""
    span = subject.astype(np.float32) - background
    length = np.sum(span * span, axis=1)
    share = np.sum((mixed - background) * span, axis=1) / np.maximum(length, 1)
    # A subject of nearly the background's colour tells nothing: it stays.
    return np.where(length < 30**2, 255, np.clip(np.rint(255 * share), 0, 255)).astype(np.uint8)


def _decoded(data: bytes) -> Pixels:
    with warnings.catch_warnings():
        # Pillow warns of large pictures; those we refuse ourselves.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=["PNG", "WEBP", "JPEG"]) as picture:
                _check_size(*picture.size)
                return np.asarray(to_8_bits(ImageOps.exif_transpose(picture)).convert("RGBA"))
        except InputError:
            raise
        except Image.DecompressionBombError as exc:
            raise InputError(f"the sticker is too large: {exc}") from exc
        except (
            Exception
        ) as exc:  # Pillow raises a dozen types, SyntaxError among them, for damaged data
            raise InputError(
                f"the sticker is no picture that can be read (PNG, WebP or JPEG): {exc}"
            ) from exc


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(
            f"the sticker claims {width}x{height} px: at most {MAX_PIXELS // 1_000_000} "
            "megapixels are read; shrink it"
        )


def _shrunk(rgba: Pixels) -> Pixels:
    height, width = rgba.shape[:2]
    scale = MAX_SIDE_PX / max(width, height)
    if scale >= 1:
        return rgba
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaged premultiplied and taken back, or colours hidden under full transparency would bleed
    # into the edges.
    small = np.asarray(
        cv2.resize(premultiplied(rgba), size, interpolation=cv2.INTER_AREA), np.float32
    )
    alpha = small[:, :, 3:]
    colours = small[:, :, :3] * 255 / np.maximum(alpha, 1)
    return np.dstack([np.clip(np.rint(colours), 0, 255), alpha]).astype(np.uint8)
