"""WIDER FACE's text.

WIDER FACE (Yang et al., CVPR 2016), as its readme has it: a line with the picture's path below
``images/``, a line with the number of faces, and a line a face: ``x y w h blur expression
illumination invalid occlusion pose``. A picture without faces has one line of zeros. CVAT and
Datumaro write the last three as occluded, pose, invalid, leave ``-`` where nothing is known, and
put pictures without an event into ``no_label/``; they are known by their ``labels.txt``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facepaint.detectors.labels import LabelledFace, LabelledImage
from facepaint.errors import InputError
from facepaint.text import counted
from models.lab.datasets.common import (
    PICTURES,
    Finder,
    Imported,
    LabelFormat,
    Source,
    box_of,
    corner_and_size,
    number,
    read_text,
    text,
    write_text,
)

SPLIT = "wider_face_split"
SUBSET = "train"
NO_EVENT = "no_label/"

WIDER_COLUMNS = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
CVAT_COLUMNS = ("blur", "expression", "illumination", "occlusion", "pose", "invalid")
KEPT = tuple(name for name in WIDER_COLUMNS if name != "invalid")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A picture's path as it is written, and the words of each face's line, with where that is."""

    path: str
    where: str
    rows: list[tuple[str, list[str]]]


def recognises(path: Path) -> bool:
    """Whether a folder or a text file holds WIDER FACE's text."""
    return any(path.glob(f"{SPLIT}/*_bbx_gt.txt")) or _is_text(path)


def read(source: Source) -> Imported:
    """Read a text, or those of a folder."""
    found = Imported()
    for file in _files(source.path):
        roots = [source.images, *_picture_folders(file)]
        columns = CVAT_COLUMNS if _is_cvats(file) else WIDER_COLUMNS
        finder = Finder(roots)
        for entry in _entries(read_text(file), str(file)):
            path = entry.path.replace("\\", "/")
            at = finder.find(path, entry.where)
            name = path.removeprefix(NO_EVENT)
            found.pictures.append(
                LabelledImage(
                    name, faces=tuple(_face(row, where, columns) for where, row in entry.rows)
                )
            )
            if at is not None:
                found.files[name] = at
    return found


def write(folder: Path, pictures: Sequence[LabelledImage]) -> list[str]:
    """Write ``wider_face_split/`` in the layout that WIDER FACE is handed out in."""
    lines = []
    other = 0
    for picture in pictures:
        lines += [_place(picture.image), str(len(picture.faces))]
        for face in picture.faces:
            kept = {name: face.attributes.get(name) for name in KEPT}
            other += any(value is not None and not _is_grade(value) for value in kept.values())
            grades = [
                int(face.ignore) if name == "invalid" else kept[name] for name in WIDER_COLUMNS
            ]
            words = [text(value) for value in corner_and_size(face.box)]
            lines.append(
                " ".join(words + [str(grade if _is_grade(grade) else 0) for grade in grades])
            )
        if not picture.faces:
            lines.append(" ".join("0" * 10))
    write_text(
        folder / SPLIT / f"wider_face_{SUBSET}_bbx_gt.txt", "".join(f"{line}\n" for line in lines)
    )
    return [f"grades that are no whole numbers made 0 in {counted(other, 'face')}"] if other else []


def _entries(content: str, file: str) -> Iterator[_Entry]:
    """The pictures of a text, with the lines of their faces."""
    entry: _Entry | None = None
    due: int | None = None
    for line_number, line in enumerate(content.split("\n"), start=1):
        where, line = f"{file}, line {line_number}", line.strip()
        words = line.split()
        if not words:
            continue
        if line.lower().endswith(PICTURES):
            if entry is not None:
                yield _checked(entry, due)
            entry, due = _Entry(line, where, []), None
        elif entry is None:
            raise InputError(
                f"{where}: no picture is named before; this is no text of WIDER FACE's"
            )
        elif len(words) == 1:
            due = int(number(words[0], where))
        elif due == 0 and not any(word.strip("0") for word in words):
            continue  # what WIDER FACE writes of a picture without faces
        else:
            entry.rows.append((where, words))
    if entry is not None:
        yield _checked(entry, due)


def _checked(entry: _Entry, due: int | None) -> _Entry:
    if due is not None and due != len(entry.rows):
        raise InputError(
            f"{entry.where}: {entry.path} is said to have {due} faces, and {len(entry.rows)} "
            "lines follow"
        )
    return entry


def _face(words: list[str], where: str, columns: Sequence[str]) -> LabelledFace:
    box = box_of(*(number(word, where) for word in words[:4]))
    if len(words) in (10, 11):  # CVAT writes a class last, unless it is "face"
        grades = {
            name: _grade(word, where) for name, word in zip(columns, words[4:10], strict=True)
        }
        attributes: dict[str, Any] = {name: grades[name] for name in KEPT if grades[name]}
        return LabelledFace(box, ignore=bool(grades["invalid"]), attributes=attributes)
    if len(words) in (4, 5):
        return LabelledFace(box)
    raise InputError(f"{where}: a face has 4 or 10 numbers here, not {len(words)}")


def _grade(word: str, where: str) -> int:
    """A column's number; 0, the usual, where CVAT has none."""
    return (
        0
        if word == "-"
        else int(word == "True")
        if word in ("True", "False")
        else int(number(word, where))
    )


def _is_grade(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(path.glob(f"{SPLIT}/*_bbx_gt.txt"))


def _picture_folders(file: Path) -> list[Path]:
    """Where pictures lie by the layout, or beside a text by itself."""
    subset = file.stem.removeprefix("wider_face_").removesuffix("_bbx_gt")
    return [file.parent.parent / f"WIDER_{subset}" / "images", file.parent / "images"]


def _is_cvats(file: Path) -> bool:
    return any(
        (file.parent.parent / name).is_file() for name in ("labels.txt", "dataset_meta.json")
    )


def _is_text(path: Path) -> bool:
    if not (path.is_file() and path.suffix.lower() == ".txt"):
        return False
    return _first_line(path).lower().endswith(PICTURES)


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline(4096).strip()


def _place(image: str) -> str:
    """Without an event's folder CVAT does not take a line for a picture's."""
    return image if "/" in image and not image.startswith(NO_EVENT) else f"{NO_EVENT}{image}"


FORMAT = LabelFormat(
    name="wider",
    summary="WIDER FACE's text: wider_face_split/ and WIDER_train/images/",
    keeps=frozenset({"ignore"}),
    keeps_attributes=frozenset(KEPT),
    recognises=recognises,
    read=read,
    write=write,
    place=lambda image: f"WIDER_{SUBSET}/images/{_place(image)}",
)
