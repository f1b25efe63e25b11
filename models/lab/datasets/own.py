"""facepaint's own label format; see `facepaint.detectors.labels`."""

from collections.abc import Sequence
from pathlib import Path

from facepaint.detectors.labels import IMAGES, LABELS, LabelledImage, read_labels, write_labels
from models.lab.datasets.common import Finder, Imported, LabelFormat, Source


def read(source: Source) -> Imported:
    """Read a folder."""
    imported = Imported(read_labels(source.path))
    finder = Finder([source.path / IMAGES, source.images])
    for image in imported.images:
        image_file = finder.find(image.image, str(source.path / LABELS))
        if image_file is not None:
            imported.files[image.image] = image_file
    return imported


def write(folder: Path, images: Sequence[LabelledImage]) -> list[str]:
    """Write a folder's labels; the format stores everything."""
    write_labels(folder, images)
    return []


FORMAT = LabelFormat(
    name="facepaint",
    matches=lambda path: (path / LABELS).is_file(),
    read=read,
    write=write,
    place=lambda image: f"{IMAGES}/{image}",
)
