"""YOLO's text, a file a picture: ``class x y w h``, and with landmarks the pose format of Ultralytics.

Centre and size are shares of the picture's, and so are the keypoints, ``x y flag`` each with COCO's flags. Written is
Ultralytics' layout, which is CVAT's too: ``data.yaml``, ``train.txt``, ``images/train``, ``labels/train``; beside it
``classes.txt``, by which others know the classes. Read are that, Label Studio's (``classes.txt``, ``images``,
``labels``) and Darknet's (``obj.names``, ``obj_train_data``, which CVAT calls YOLO 1.1).

Faces to be ignored are of a class of their own. Training tools refuse a picture with a number outside of 0-1, so boxes
are cut at the picture's border, and landmarks beyond it become not labelled.
"""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from facepaint.errors import InputError, MissingExtra
from facepaint.labels import LANDMARKS, LabelledFace, LabelledPicture, check_image_name
from models.formats.common import (
    FACE,
    IGNORE,
    NOT_LABELLED,
    VISIBLE,
    Imported,
    LabelFormat,
    Source,
    box_of,
    chosen_classes,
    counted,
    keypoints_of,
    landmarks_of,
    number,
    pictures_below,
    read_text,
    size_of,
    stems,
    write_text,
)

DATA, CLASSES, NAMES = "data.yaml", "classes.txt", "obj.names"
SUBSET = "train"
MIRRORED = [1, 0, 2, 4, 3]
"""Which landmark each becomes when a picture is flipped left to right."""


def recognises(path: Path) -> bool:
    """Whether a folder has classes and labels in one of the layouts."""
    darknet = (path / NAMES).is_file() and any(path.glob("obj_*_data"))
    return darknet or next((path / "labels").rglob("*.txt"), None) is not None


def read(source: Source) -> Imported:
    """Read a folder: every picture, with the labels of the text file that is named like it."""
    top = source.path
    classes = _classes(top)
    labels = _label_files(top)
    parsed = {name: _rows(file) for name, file in labels.items()}
    used = dict.fromkeys(row[0] for rows in parsed.values() for _, row in rows)
    names = [classes.get(word, word) for word in used] or list(classes.values())
    chosen = chosen_classes(names, source)
    found, others = Imported(), 0
    for name, picture in _pictures(top, source, labels).items():
        rows = parsed.get(str(PurePosixPath(name).with_suffix("")), [])
        width, height = size_of(picture, name, str(top))
        faces = []
        for where, row in rows:
            label = classes.get(row[0], row[0])
            if label in chosen or label.casefold() == IGNORE:
                faces.append(_face(row, label, (width, height), where))
        others += len(rows) - len(faces)
        found.pictures.append(LabelledPicture(name, width, height, tuple(faces)))
        found.files[name] = picture
    if others:
        found.notes.append(f"{counted(others, 'object')} of other classes left out")
    return found


def _face(row: list[str], label: str, size: tuple[int, int], where: str) -> LabelledFace:
    width, height = size
    values = [number(word, where) for word in row[1:]]
    if len(values) not in (4, 5, 14, 15, 19, 20):
        raise InputError(f"{where}: after the class there are 4 numbers, or 14 or 19 with five keypoints")
    x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
    landmarks, attributes = None, dict[str, Any]()
    if len(values) > 5:
        step = 3 if len(values) > 15 else 2
        points = [
            value
            for at in range(4, 4 + 5 * step, step)
            for value in (values[at] * width, values[at + 1] * height, values[at + 2] if step == 3 else VISIBLE)
        ]
        landmarks, attributes = landmarks_of(points)
    if label.casefold() not in (FACE, IGNORE):
        attributes["class"] = label
    box = box_of(x - w / 2, y - h / 2, w, h)
    score = values[4] if len(values) == 5 else None
    return LabelledFace(box, landmarks, ignore=label.casefold() == IGNORE, score=score, attributes=attributes)


def write(folder: Path, pictures: Sequence[LabelledPicture]) -> list[str]:
    """Write ``data.yaml``, ``train.txt``, ``classes.txt`` and ``labels/train``; pictures must have their sizes."""
    faces = [face for picture in pictures for face in picture.faces]
    posed = any(keypoints_of(face) is not None for face in faces)
    classes = [FACE, IGNORE] if any(face.ignore for face in faces) else [FACE]
    names = stems(pictures, ".txt")
    cut = lost = 0
    for picture in pictures:
        lines = []
        for face in picture.faces:
            line, was_cut, was_lost = _line(face, _size(picture), posed)
            lines.append(line)
            cut, lost = cut + was_cut, lost + was_lost
        write_text(folder / "labels" / SUBSET / names[picture.image], "".join(f"{line}\n" for line in lines))
    # No `path`: it is this file's folder, wherever that is moved.
    pose: dict[str, Any] = {"kpt_shape": [len(LANDMARKS), 3], "flip_idx": MIRRORED} if posed else {}
    data = {"train": f"{SUBSET}.txt", **pose, "names": dict(enumerate(classes))}
    write_text(folder / DATA, "".join(f"{_yaml(key, value)}\n" for key, value in data.items()))
    write_text(folder / CLASSES, "".join(f"{name}\n" for name in classes))
    write_text(folder / f"{SUBSET}.txt", "".join(f"{_place(picture.image)}\n" for picture in pictures))
    notes = [f"boxes cut at the picture's border in {counted(cut, 'face')}"] if cut else []
    return notes + ([f"landmarks beyond the picture not labelled in {counted(lost, 'face')}"] if lost else [])


def _line(face: LabelledFace, size: tuple[int, int], posed: bool) -> tuple[str, bool, bool]:
    """A face's line; whether its box was cut, and whether a landmark was lost."""
    width, height = size
    x1, x2 = (min(max(value, 0), width) for value in face.box[0::2])
    y1, y2 = (min(max(value, 0), height) for value in face.box[1::2])
    values = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
    words = [str(int(face.ignore)), *map(_share, values)]
    lost = False
    if posed:
        known = keypoints_of(face) or [NOT_LABELLED] * 3 * len(LANDMARKS)
        for x, y, flag in zip(known[0::3], known[1::3], known[2::3], strict=True):
            inside = flag != NOT_LABELLED and 0 <= x <= width and 0 <= y <= height
            lost = lost or (flag != NOT_LABELLED and not inside)
            words += [_share(x / width), _share(y / height), str(int(flag))] if inside else ["0", "0", "0"]
    return " ".join(words), (x1, y1, x2, y2) != face.box, lost


def _share(value: float) -> str:
    """With digits enough for a ten thousandth of a px in the largest picture."""
    return f"{value:.11f}".rstrip("0").rstrip(".")


def _yaml(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join([f"{key}:", *(f"  {place}: {name}" for place, name in value.items())])
    return f"{key}: {json.dumps(value)}"  # JSON is YAML too


def _size(picture: LabelledPicture) -> tuple[int, int]:
    assert picture.width is not None
    assert picture.height is not None
    return picture.width, picture.height


def _rows(file: Path) -> list[tuple[str, list[str]]]:
    lines = enumerate(read_text(file).split("\n"), start=1)
    return [(f"{file}, line {place}", words) for place, line in lines if (words := line.split())]


def _label_files(top: Path) -> dict[str, Path]:
    """The text files by the names of their pictures, without suffix."""
    found = {}
    for folder in _label_folders(top):
        for file in sorted(folder.rglob("*.txt")):
            found[file.relative_to(folder).with_suffix("").as_posix()] = file
    return found


def _label_folders(top: Path) -> list[Path]:
    darknet = sorted(top.glob("obj_*_data"))
    subsets = [path for path in sorted((top / "labels").glob("*")) if path.is_dir() and path.name in _subsets(top)]
    return darknet or subsets or [top / "labels"]


def _subsets(top: Path) -> set[str]:
    """Those of data.yaml: its keys but the few that mean something else. In another layout there are none."""
    return set(_data(top)) - {"path", "names", "nc", "kpt_shape", "flip_idx", "download"}


def _pictures(top: Path, source: Source, labels: dict[str, Path]) -> dict[str, Path]:
    """Every picture by its name below its subset's folder; one with labels must be there."""
    folders = [top / "images" / folder.name for folder in _label_folders(top)] if _subsets(top) else [top / "images"]
    folders = [*_label_folders(top), *(folder for folder in folders if folder.is_dir())]
    roots = [*folders, source.images] if source.images else folders
    found: dict[str, Path] = {}
    for root in roots:
        for path in pictures_below([root]):
            found.setdefault(path.relative_to(root).as_posix(), path)
    by_stem: dict[str, str] = {}
    for name in found:
        check_image_name(name, str(top))
        stem = str(PurePosixPath(name).with_suffix(""))
        if stem in by_stem:
            raise InputError(f"{top}: {stem}.txt may label {by_stem[stem]} or {name}; take one of them out")
        by_stem[stem] = name
    missing = [name for name in labels if name not in by_stem]
    if missing:
        raise InputError(f"{top} has no picture for {missing[0]}.txt, and {len(missing) - 1} more; give --images")
    return found


def _classes(top: Path) -> dict[str, str]:
    """Names by number, as words."""
    for name in (NAMES, CLASSES):
        if (top / name).is_file():
            lines = [line.strip() for line in read_text(top / name).split("\n")]
            return {str(place): line for place, line in enumerate(lines) if line}
    names = _data(top).get("names", [])
    rows = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    return {str(place): str(name) for place, name in rows if isinstance(name, str | int)}


def _data(top: Path) -> dict[str, Any]:
    if not (top / DATA).is_file():
        return {}
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as exc:
        raise MissingExtra("worker", f"reading {top / DATA}") from exc
    try:
        content = yaml.safe_load(read_text(top / DATA))
    except yaml.YAMLError as exc:
        raise InputError(f"{top / DATA} is no YAML: {' '.join(str(exc).split())}") from exc
    return content if isinstance(content, dict) else {}


def _place(image: str) -> str:
    return f"images/{SUBSET}/{image}"


FORMAT = LabelFormat(
    name="yolo",
    summary="YOLO text, a file a picture: data.yaml, labels/train/ and images/train/",
    keeps=frozenset({"landmarks", "hidden landmarks", "ignore"}),
    keeps_attributes=frozenset(),
    recognises=recognises,
    read=read,
    write=write,
    place=_place,
)
