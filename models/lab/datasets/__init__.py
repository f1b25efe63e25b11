"""Formats of labels: one registry of what can be read and written, a file each; see
`LabelFormat`."""

from pathlib import Path

from facepaint.errors import InputError, UsageError
from models.lab.datasets import coco, own, wider
from models.lab.datasets.common import Imported, LabelFormat, Source, losses

FORMATS = {kind.name: kind for kind in (own.FORMAT, coco.FORMAT, wider.FORMAT)}
"""In the order in which they are tried."""


def find_format(name: str) -> LabelFormat:
    """The format of that name.

    Raises:
        UsageError: there is none; the message lists what there is.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise UsageError(f"unknown format '{name}'; there are {', '.join(FORMATS)}") from None


def recognised(path: Path) -> LabelFormat:
    """The format of a file or folder of labels.

    Raises:
        InputError: there is nothing, or nothing that is one of them.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name")
    for kind in FORMATS.values():
        if kind.recognises(path):
            return kind
    hint = (
        "unpack it first"
        if path.suffix.lower() == ".zip"
        else f"say which with --from: {', '.join(FORMATS)}"
    )
    raise InputError(f"{path} is in no format of labels that is known by its files; {hint}")


__all__ = ["FORMATS", "Imported", "LabelFormat", "Source", "find_format", "losses", "recognised"]
