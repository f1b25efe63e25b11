"""What a user's files are: videos, still pictures, or nothing that can be painted."""

from collections.abc import Iterable
from pathlib import Path

from facepaint.errors import InputError, NoPicture, UnreadableMedia
from facepaint.media.images import STILLS, is_animated, open_image
from facepaint.media.open import check_file
from uploader.probe import probe

MOTION_JPEG = (".mjpeg", ".mjpg")
"""Names of bare JPEGs one behind the other, which look like the first of them."""

OTHER_PICTURES = {
    b"BM": "BMP",
    b"II*\0": "TIFF or raw",
    b"MM\0*": "TIFF or raw",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
}
"""How pictures begin in formats that are not read."""


def classify(paths: Iterable[Path]) -> tuple[list[Path], list[Path], list[InputError]]:
    """Sort files into videos and pictures by what is in them, whatever their names, and say what is
    wrong with others.

    A GIF, PNG or WebP that moves is a video.
    """
    videos: list[Path] = []
    pictures: list[Path] = []
    problems: list[InputError] = []
    for path in paths:
        try:
            check_file(path)
            if is_still_picture(path):
                pictures.append(path)
            else:
                probe(path)
                videos.append(path)
        except InputError as exc:
            problems.append(exc)
    return videos, pictures, problems


def is_still_picture(path: Path) -> bool:
    """Whether a file is a picture that does not move.

    Raises:
        UnreadableMedia: it is a picture that cannot be painted: damaged, too large, or in a format
            that is not read.
    """
    if path.suffix.lower() in MOTION_JPEG:
        return False
    try:
        with open_image(path, str(path), formats=STILLS) as picture:
            if is_animated(picture):
                return False
            # A JPEG is decoded small: this is only to see whether all of it is there.
            picture.draft("RGB", (64, 64))
            picture.load()
    except NoPicture:
        _refuse_other_pictures(path)
        return False
    return True


def _refuse_other_pictures(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(8)
    kind = next((kind for start, kind in OTHER_PICTURES.items() if head.startswith(start)), None)
    if kind is not None:
        raise UnreadableMedia(f"{path} is a {kind} picture; save it as JPEG, PNG or WebP first")
