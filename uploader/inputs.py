"""What a user's files are: videos, still pictures, or nothing that can be painted."""

from collections.abc import Iterable
from pathlib import Path

from facepaint.errors import InputError, NoPicture
from facepaint.media import check_file
from facepaint.pictures import STILLS, is_animated, open_picture
from uploader.probe import probe

MOTION_JPEG = (".mjpeg", ".mjpg")
"""Names of bare JPEGs one behind the other, which look like the first of them."""


def classify(paths: Iterable[Path]) -> tuple[list[Path], list[Path], list[InputError]]:
    """Sort files into videos and pictures by what is in them, whatever their names, and say what is wrong with others.

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
        UnreadableMedia: it is a picture that cannot be painted: damaged, or too large.
    """
    if path.suffix.lower() in MOTION_JPEG:
        return False
    try:
        with open_picture(path, str(path), formats=STILLS) as picture:
            if is_animated(picture):
                return False
            # A JPEG is decoded small: this is only to see whether all of it is there.
            picture.draft("RGB", (64, 64))
            picture.load()
    except NoPicture:
        return False
    return True
