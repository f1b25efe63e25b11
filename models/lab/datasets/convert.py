"""`facepaint detectors convert`: labels and their pictures from one format into another."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facepaint.detectors.labels import LabelledImage, check_image, header_size, read_labels
from facepaint.errors import InputError, UsageError
from facepaint.files import atomic_write
from facepaint.text import counted
from models.lab.datasets import Imported, LabelFormat, Source, find_format, losses, recognised
from models.lab.datasets.complete import completed, is_extent_of_landmarks


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written, and lines on what was left out or changed."""

    pictures: int
    faces: int
    kind: str
    notes: list[str]

    def report(self) -> str:
        """In one line."""
        return (
            f"{counted(self.pictures, 'picture')}, {counted(self.faces, 'face')}, from {self.kind}"
        )


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
    """Read labels in one format and write them with their pictures in another.

    Args:
        source: what to read.
        target: folder to write; it is made.
        to: name of the format to write.
        kind: name of the format to read, None to recognise it.
        complete_from: folder of our own labels as they were before another tool had them, see
            `completed`.
        link: pictures are linked (hard) rather than copied, where the file system can.
        overwrite: files of the same name are replaced; without it the folder must be empty or new.

    Raises:
        UsageError: no such format, or there is something in the target.
        InputError: the labels are no good, or pictures are missing.
    """
    into = find_format(to)
    reader = recognised(source.path) if kind is None else find_format(kind)
    _check_target(target, source.path, overwrite)
    found = reader.read(source)
    _check(found, source.path)
    skeletons = sum(
        is_extent_of_landmarks(face) for picture in found.pictures for face in picture.faces
    )
    if complete_from is not None:
        found = _renamed(found, completed(found.pictures, read_labels(complete_from)))
    elif skeletons:
        said = (
            f"{counted(skeletons, 'box')} no more than the extent of the landmarks, as CVAT "
            "gives skeletons"
        )
        found.notes.append(f"{said}; --complete-from DATA gives the boxes of before back")
    pictures = [_sized(picture, found.files[picture.image]) for picture in found.pictures]
    notes = [*found.notes, *write(into, target, pictures, found.files, link=link)]
    return Converted(
        len(pictures), sum(len(picture.faces) for picture in pictures), reader.name, notes
    )


def write(
    into: LabelFormat,
    target: Path,
    pictures: Sequence[LabelledImage],
    files: dict[str, Path],
    *,
    link: bool = False,
) -> list[str]:
    """Write labels in a format, pictures first: whoever finds the labels finds all they name. Gives
    notes."""
    target.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        _put(files[picture.image], target / into.place(picture.image), link=link)
    notes = into.write(target, pictures)
    lost = losses(into, pictures)
    return notes + ([f"{into.name} cannot say, and has lost: {', '.join(lost)}"] if lost else [])


def _check_target(target: Path, source: Path, overwrite: bool) -> None:
    if target.resolve() in (
        source.resolve(),
        source.resolve().parent if source.is_file() else None,
    ):
        raise UsageError(f"{target} is what is read; write into another folder")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file; name a folder to write")
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise UsageError(
            f"{target} is not empty; name another folder, or replace files in it with --overwrite"
        )


def _check(found: Imported, path: Path) -> None:
    if not found.pictures:
        raise InputError(f"{path} has no labels of pictures")
    seen: set[str] = set()
    for picture in found.pictures:
        check_image(picture, str(path))
        if picture.image in seen:
            raise InputError(f"{path} names {picture.image} twice; convert its parts one by one")
        seen.add(picture.image)
    missing = [picture.image for picture in found.pictures if picture.image not in found.files]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {counted(len(found.pictures), 'picture')} not found, as "
            f"{missing[0]}; "
            "say where they lie with --images"
        )


def _renamed(found: Imported, pictures: list[LabelledImage]) -> Imported:
    """With the names that pictures had before."""
    files = {
        new.image: found.files[old.image] for old, new in zip(found.pictures, pictures, strict=True)
    }
    if len(files) < len(pictures):
        raise InputError(
            "two pictures are the same one of before by their names; take one of them out"
        )
    return Imported(pictures, files, found.notes)


def _sized(picture: LabelledImage, file: Path) -> LabelledImage:
    """With the size that the file itself has; tools that don't heed its orientation give the sides
    exchanged."""
    size = header_size(file)
    said = picture.width, picture.height
    if None not in said and said not in (size, size[::-1]):
        there, labelled = ("x".join(map(str, sides)) for sides in (size, said))
        raise InputError(
            f"{file} is {there} px, but its labels are for {labelled}; find the picture that "
            "was labelled"
        )
    return replace(picture, width=size[0], height=size[1])


def _put(file: Path, place: Path, *, link: bool) -> None:
    """Copy or link a picture; what stands there is replaced at once or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists() and place.samefile(file):
        return
    try:
        with atomic_write(place) as draft:
            if not (link and _hard_link(file.resolve(), draft)):
                shutil.copyfile(file, draft)
    except OSError as exc:
        raise InputError(f"{file} cannot be put at {place}: {exc.strerror or exc}") from exc


def _hard_link(file: Path, draft: Path) -> bool:
    """Put a hard link in the draft's place; False where the file system cannot."""
    link = draft.with_suffix(".link")
    try:
        os.link(file, link)
        link.replace(draft)
    except OSError:
        link.unlink(missing_ok=True)
        return False
    return True
