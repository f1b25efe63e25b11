"""facepaint's own format, `facepaint.detectors.labels`, as one of the formats."""

from collections.abc import Sequence
from pathlib import Path

from facepaint.detectors.labels import IMAGES, LABELS, LabelledImage, read_labels, write_labels
from models.lab.datasets.common import ASPECTS, Finder, Imported, LabelFormat, Source


def recognises(path: Path) -> bool:
    """Whether a folder holds it."""
    return (path / LABELS).is_file()


def read(source: Source) -> Imported:
    """Read a folder."""
    pictures = read_labels(source.path)
    finder = Finder([source.path / IMAGES, source.images])
    found = {one.image: finder.find(one.image, str(source.path / LABELS)) for one in pictures}
    return Imported(pictures, {name: file for name, file in found.items() if file is not None})


def write(folder: Path, pictures: Sequence[LabelledImage]) -> list[str]:
    """Write a folder's labels."""
    write_labels(folder, pictures)
    return []


FORMAT = LabelFormat(
    name="facepaint",
    summary="labels.jsonl, a line of JSON a picture, and images/",
    keeps=frozenset({*ASPECTS, "attributes of pictures"}),
    keeps_attributes=frozenset(),
    recognises=recognises,
    read=read,
    write=write,
    place=lambda image: f"{IMAGES}/{image}",
)
