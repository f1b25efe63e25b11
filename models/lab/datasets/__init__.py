"""Label formats: a file each, and the registry of those that can be read and written."""

from pathlib import Path

from facepaint.errors import InputError, UsageError
from models.lab.datasets import coco, own, wider
from models.lab.datasets.common import Imported, LabelFormat, Source

FORMATS = {each.name: each for each in (own.FORMAT, coco.FORMAT, wider.FORMAT)}
"""In the order in which they are tried."""


def find_format(name: str) -> LabelFormat:
    """The format of that name.

    Raises:
        UsageError: there is none; the message lists the formats.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise UsageError(f"unknown format '{name}'; available: {', '.join(FORMATS)}") from None


def detect_format(path: Path) -> LabelFormat:
    """The format of a file or folder of labels.

    Raises:
        InputError: it does not exist, or no format matches.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name")
    for each in FORMATS.values():
        if each.matches(path):
            return each
    is_archive = path.suffix.lower() == ".zip"
    hint = "unpack it first" if is_archive else f"name it with --from: {', '.join(FORMATS)}"
    raise InputError(f"the label format of {path} is not recognized; {hint}")


__all__ = ["FORMATS", "Imported", "LabelFormat", "Source", "detect_format", "find_format"]
