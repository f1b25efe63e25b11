"""What a user's files are: videos, still pictures, or nothing that can be painted."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from facepaint.errors import InputError
from uploader.media import check_file
from uploader.probe import probe

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP")
MAX_SIDE_PX = 16_384
MAX_PIXELS = 134_000_000


def classify(paths: Iterable[Path]) -> tuple[list[Path], list[Path], list[InputError]]:
    """Sort files into videos and pictures by what is in them, and say what is wrong with the others."""
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
    """Whether a file is a picture with one frame.

    Raises:
        InputError: it is a picture that cannot be painted: damaged, or too large.
    """
    try:
        # Only the header is read here; an absurd size is refused before any pixel is made.
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            width, height = picture.size
            if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
                raise InputError(f"{path} claims {width}x{height} px, more than can be painted")
            if getattr(picture, "n_frames", 1) > 1 and picture.format != "JPEG":
                return False
            picture.draft("RGB", (64, 64))
            picture.load()
    except Image.DecompressionBombError as exc:
        raise InputError(f"{path} claims more pixels than can be painted") from exc
    except UnidentifiedImageError:
        return False
    except (OSError, ValueError, SyntaxError) as exc:
        raise InputError(f"{path} is a damaged picture ({exc}); open it to see if it is whole") from exc
    return True
