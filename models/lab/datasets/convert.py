"""`facepaint detectors convert`: labels and their images from one format into another."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facepaint.detectors.labels import LabelledImage, check_image, header_size, read_labels
from facepaint.errors import InputError, UsageError
from facepaint.text import counted
from models.lab.datasets import Imported, LabelFormat, Source, detect_format, find_format
from models.lab.datasets.complete import completed, is_extent_of_landmarks


@dataclass(frozen=True, slots=True)
class Converted:
    """How much was written, and notes on what was left out or changed."""

    images: int
    faces: int
    kind: str
    notes: list[str]

    def report(self) -> str:
        """In one line."""
        return f"{counted(self.images, 'image')}, {counted(self.faces, 'face')}, from {self.kind}"


def convert(
    source: Source,
    target: Path,
    to: str,
    *,
    kind: str | None = None,
    complete_from: Path | None = None,
    link: bool = False,
    overwrite: bool = False,
) -> Converted:
    """Read labels in one format and write them with their images in another.

    Args:
        target: folder to write; it is created.
        to: name of the format to write.
        kind: name of the format to read; None detects it.
        complete_from: folder of facepaint's labels from before another tool changed them; see
            `completed`.
        link: hard-link images instead of copying, where the file system can.
        overwrite: replace files of the same name; without it the folder must be empty or new.

    Raises:
        UsageError: there is no such format, or the target is not empty.
        InputError: the labels cannot be used, or images are missing.
    """
    output_format = find_format(to)
    input_format = detect_format(source.path) if kind is None else find_format(kind)
    _check_target(target, source.path, overwrite)
    imported = input_format.read(source)
    _check(imported, source.path)
    if complete_from is not None:
        images = completed(imported.images, read_labels(complete_from))
        imported = _renamed(imported, images)
    else:
        _note_skeletons(imported)
    images = [_with_size(image, imported.files[image.image]) for image in imported.images]
    notes = write(output_format, target, images, imported.files, link=link)
    faces = sum(len(image.faces) for image in images)
    return Converted(len(images), faces, input_format.name, imported.notes + notes)


def write(
    output_format: LabelFormat,
    target: Path,
    images: Sequence[LabelledImage],
    files: dict[str, Path],
    *,
    link: bool = False,
) -> list[str]:
    """Write labels in a format; returns notes on what it cannot store."""
    target.mkdir(parents=True, exist_ok=True)
    # Images first: labels never name an image that is not there yet.
    for image in images:
        _put(files[image.image], target / output_format.place(image.image), link=link)
    return output_format.write(target, images)


def _check_target(target: Path, source: Path, overwrite: bool) -> None:
    resolved = source.resolve()
    if target.resolve() == resolved or (source.is_file() and target.resolve() == resolved.parent):
        raise UsageError(f"{target} is the input; write into another folder")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file; name a folder to write")
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise UsageError(
            f"{target} is not empty; name another folder, or replace files in it with --overwrite"
        )


def _check(imported: Imported, path: Path) -> None:
    if not imported.images:
        raise InputError(f"{path} has no labels of images")
    names: set[str] = set()
    for image in imported.images:
        check_image(image, str(path))
        if image.image in names:
            raise InputError(f"{path} names {image.image} twice; convert its parts one by one")
        names.add(image.image)
    missing = sorted(names - imported.files.keys())
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {counted(len(names), 'image')} not found, such as "
            f"{missing[0]}; name their folder with --images"
        )


def _note_skeletons(imported: Imported) -> None:
    faces = (face for image in imported.images for face in image.faces)
    skeletons = sum(map(is_extent_of_landmarks, faces))
    if skeletons:
        imported.notes.append(
            f"{counted(skeletons, 'box')} no larger than the extent of the landmarks, as CVAT "
            "exports skeletons; --complete-from DATA restores the original boxes"
        )


def _renamed(imported: Imported, images: list[LabelledImage]) -> Imported:
    """The same labels under the names in ``images``."""
    pairs = zip(imported.images, images, strict=True)
    files = {new.image: imported.files[old.image] for old, new in pairs}
    if len(files) < len(images):
        raise InputError("two images have the name of one original; remove one of them")
    return Imported(images, files, imported.notes)


def _with_size(image: LabelledImage, file: Path) -> LabelledImage:
    """The image with the size of its file."""
    size = header_size(file)
    labelled = (image.width, image.height)
    # Tools that ignore the EXIF orientation exchange width and height.
    if None not in labelled and labelled not in (size, size[::-1]):
        in_file, in_labels = ("x".join(map(str, sides)) for sides in (size, labelled))
        raise InputError(
            f"{file} is {in_file} px, but its labels are for {in_labels}; find the image that "
            "was labelled"
        )
    return replace(image, width=size[0], height=size[1])


def _put(file: Path, target: Path, *, link: bool) -> None:
    """Copy or link an image; an existing file is replaced atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # An earlier run with --link made them the same file.
    if target.exists() and target.samefile(file):
        return
    draft = target.with_name(f".{target.name}.part")
    try:
        draft.unlink(missing_ok=True)
        if not (link and _linked(file, draft)):
            shutil.copyfile(file, draft)
        draft.replace(target)
    except OSError as exc:
        draft.unlink(missing_ok=True)
        raise InputError(f"{file} cannot be put at {target}: {exc.strerror or exc}") from exc


def _linked(file: Path, target: Path) -> bool:
    """Hard-link a file; False on another file system, or one without links."""
    try:
        os.link(file.resolve(), target)
    except OSError:
        return False
    return True
