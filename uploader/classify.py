"""Classify a user's files: videos, still images, or files that cannot be painted."""

from collections.abc import Iterable
from pathlib import Path

from facepaint.errors import InputError, NotAnImage, UnreadableMedia
from facepaint.media.images import IMAGE_FORMATS, is_animated, open_image
from facepaint.media.open import check_file
from uploader.probe import probe

MOTION_JPEG = (".mjpeg", ".mjpg")
"""Suffixes of concatenated JPEGs without a container, of which Pillow reads only the first."""

UNREAD_FORMATS = {
    b"BM": "BMP",
    b"II*\0": "TIFF or raw",
    b"MM\0*": "TIFF or raw",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
}
"""The first bytes of image formats that facepaint does not read."""


def classify(paths: Iterable[Path]) -> tuple[list[Path], list[Path], list[InputError]]:
    """Sort files into videos, images and errors, by their contents and not by their names.

    An animated GIF, PNG or WebP is a video.
    """
    videos: list[Path] = []
    images: list[Path] = []
    problems: list[InputError] = []
    for path in paths:
        try:
            check_file(path)
            if is_still_image(path):
                images.append(path)
            else:
                # The upload needs the same probe, which is cached.
                probe(path)
                videos.append(path)
        except InputError as exc:
            problems.append(exc)
    return videos, images, problems


def is_still_image(path: Path) -> bool:
    """Whether a file is an image without animation.

    Raises:
        UnreadableMedia: it is an image that cannot be painted: damaged, too large, or in a format
            that facepaint does not read.
    """
    # The one case in which the name decides: Pillow would take the first of many JPEGs.
    if path.suffix.lower() in MOTION_JPEG:
        return False
    try:
        with open_image(path, str(path), formats=IMAGE_FORMATS) as image:
            if is_animated(image):
                return False
            # This only checks that the file is complete, so a JPEG is decoded at a small size.
            image.draft("RGB", (64, 64))
            image.load()
    except NotAnImage:
        _refuse_unread_format(path)
        return False
    return True


def _refuse_unread_format(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(8)
    kind = next((kind for start, kind in UNREAD_FORMATS.items() if head.startswith(start)), None)
    if kind is not None:
        raise UnreadableMedia(f"{path} is a {kind} image; save it as JPEG, PNG or WebP first")
