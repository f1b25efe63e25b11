"""WIDER FACE's text (Yang et al., CVPR 2016), as its readme describes it.

For each image a line with its path below ``images/``, a line with the number of faces, and a line
for each face: ``x y w h blur expression illumination invalid occlusion pose``. An image without
faces has one line of zeros.

CVAT and Datumaro write the last three columns as occluded, pose, invalid, write ``-`` for unknown
values, and put images without an event into ``no_label/``. Their export has a ``labels.txt``.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facepaint.detectors.labels import LabelledFace, LabelledImage
from facepaint.errors import InputError
from facepaint.files import write_text
from facepaint.text import counted
from models.lab.datasets.common import (
    IMAGE_SUFFIXES,
    KEYPOINTS,
    SETS,
    Finder,
    Imported,
    LabelFormat,
    Source,
    box_of,
    corner_and_size,
    number,
    read_text,
    without_landmarks,
)

SPLIT = "wider_face_split"
SUBSET = "train"
NO_EVENT = "no_label/"

WIDER_COLUMNS = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
CVAT_COLUMNS = ("blur", "expression", "illumination", "occlusion", "pose", "invalid")
GRADES = tuple(name for name in WIDER_COLUMNS if name != "invalid")


@dataclass(frozen=True, slots=True)
class _Entry:
    """An image's path as written, and the words of each face's line with the line's place."""

    path: str
    where: str
    rows: list[tuple[str, list[str]]]


def matches(path: Path) -> bool:
    """Whether a folder or a text file holds WIDER FACE's text."""
    return any(path.glob(f"{SPLIT}/*_bbx_gt.txt")) or _is_text(path)


def read(source: Source) -> Imported:
    """Read a text, or those of a folder."""
    imported = Imported()
    for file in _files(source.path):
        columns = CVAT_COLUMNS if _is_from_cvat(file) else WIDER_COLUMNS
        finder = Finder([source.images, *_image_folders(file)])
        for entry in _entries(read_text(file), str(file)):
            # Tools on Windows write backslashes.
            path = entry.path.replace("\\", "/")
            image_file = finder.find(path, entry.where)
            name = path.removeprefix(NO_EVENT)
            faces = tuple(_face(row, where, columns) for where, row in entry.rows)
            imported.images.append(LabelledImage(name, faces=faces))
            if image_file is not None:
                imported.files[name] = image_file
    return imported


def write(folder: Path, images: Sequence[LabelledImage]) -> list[str]:
    """Write ``wider_face_split/`` in the layout that WIDER FACE is published in."""
    lines: list[str] = []
    for image in images:
        lines += [_place(image.image), str(len(image.faces))]
        lines += [_face_line(face) for face in image.faces] or [" ".join("0" * 10)]
    path = folder / SPLIT / f"wider_face_{SUBSET}_bbx_gt.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(f"{line}\n" for line in lines))
    return _losses(images)


def _face_line(face: LabelledFace) -> str:
    numbers = [f"{value:.4f}".rstrip("0").rstrip(".") for value in corner_and_size(face.box)]
    values = {**face.attributes, "invalid": int(face.ignore)}
    grades = [values.get(name) for name in WIDER_COLUMNS]
    return " ".join([*numbers, *(str(grade if _is_grade(grade) else 0) for grade in grades)])


def _losses(images: Sequence[LabelledImage]) -> list[str]:
    """One note on what the text cannot store."""
    lost = Counter(name for image in images for face in image.faces for name in _lost(face))
    parts = [f"{name} of {counted(count, 'face')}" for name, count in lost.items()]
    with_attributes = sum(bool(image.attributes) for image in images)
    if with_attributes:
        parts.append(f"attributes of {counted(with_attributes, 'image')}")
    return [f"left out, because wider cannot store it: {', '.join(parts)}"] if parts else []


def _lost(face: LabelledFace) -> Iterator[str]:
    """What of a face the text cannot store."""
    if face.landmarks is not None or KEYPOINTS in face.attributes:
        yield "landmarks"
    if any(getattr(face, name) is not None for name in SETS):
        yield "easy, medium, hard"
    if face.score is not None:
        yield "score"
    if any(
        key not in GRADES or not _is_grade(value)
        for key, value in without_landmarks(face.attributes).items()
    ):
        yield "attributes"


def _entries(content: str, file: str) -> Iterator[_Entry]:
    """The images of a text, with the lines of their faces."""
    entry: _Entry | None = None
    count: int | None = None
    for line_number, line in enumerate(content.split("\n"), start=1):
        where, line = f"{file}, line {line_number}", line.strip()
        words = line.split()
        if not words:
            continue
        if line.lower().endswith(IMAGE_SUFFIXES):
            if entry is not None:
                yield _checked(entry, count)
            entry, count = _Entry(line, where, []), None
        elif entry is None:
            raise InputError(f"{where}: no image is named before it; this is not WIDER FACE's text")
        elif len(words) == 1:
            count = int(number(words[0], where))
        elif count != 0 or any(word.strip("0") for word in words):
            # The line of zeros below a count of 0 is no face.
            entry.rows.append((where, words))
    if entry is not None:
        yield _checked(entry, count)


def _checked(entry: _Entry, count: int | None) -> _Entry:
    # CVAT writes no count for an image without faces.
    if count is not None and count != len(entry.rows):
        raise InputError(
            f"{entry.where}: {entry.path} should have {count} faces, but {len(entry.rows)} "
            "lines follow"
        )
    return entry


def _face(words: list[str], where: str, columns: Sequence[str]) -> LabelledFace:
    box = box_of(*(number(word, where) for word in words[:4]))
    if len(words) in (4, 5):
        return LabelledFace(box)
    # CVAT adds a class at the end, unless it is "face".
    if len(words) not in (10, 11):
        raise InputError(f"{where}: a face has 4 or 10 numbers here, not {len(words)}")
    values = (_grade(word, where) for word in words[4:10])
    grades = dict(zip(columns, values, strict=True))
    attributes = {name: grades[name] for name in GRADES if grades[name]}
    return LabelledFace(box, ignore=bool(grades["invalid"]), attributes=attributes)


def _grade(word: str, where: str) -> int:
    """A column's number; CVAT writes truth values, and ``-`` for 0."""
    if word in ("-", "False"):
        return 0
    return 1 if word == "True" else int(number(word, where))


def _is_grade(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.glob(f"{SPLIT}/*_bbx_gt.txt"))


def _image_folders(file: Path) -> list[Path]:
    """Where images are: in the published layout, or beside a single text."""
    subset = file.stem.removeprefix("wider_face_").removesuffix("_bbx_gt")
    return [file.parent.parent / f"WIDER_{subset}" / "images", file.parent / "images"]


def _is_from_cvat(file: Path) -> bool:
    top = file.parent.parent
    return any((top / name).is_file() for name in ("labels.txt", "dataset_meta.json"))


def _is_text(path: Path) -> bool:
    if not path.is_file() or path.suffix.lower() != ".txt":
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first_line = file.readline(4096).strip()
    return first_line.lower().endswith(IMAGE_SUFFIXES)


def _place(image: str) -> str:
    """The path of an image in the text: CVAT takes only lines with a folder for image paths."""
    return image if "/" in image and not image.startswith(NO_EVENT) else f"{NO_EVENT}{image}"


FORMAT = LabelFormat(
    name="wider",
    matches=matches,
    read=read,
    write=write,
    place=lambda image: f"WIDER_{SUBSET}/images/{_place(image)}",
)
