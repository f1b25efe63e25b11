"""COCO's JSON for objects and keypoints (Lin et al., ECCV 2014;
https://cocodataset.org/#format-data).

Boxes are x, y, width, height in px from 0; keypoints x, y, flag (0 not labelled, 1 hidden, 2
visible). A face to be ignored has ``iscrowd`` and ``ignore`` 1, which COCO's evaluation goes by.
``attributes`` of an annotation and ``score`` are as CVAT and Datumaro have them. Ids are numbered
anew. Read are the layouts of COCO and CVAT (``annotations/*.json``), of Label Studio
(``result.json``) and any other JSON file that is named.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from facepaint.detectors.labels import LANDMARKS, LabelledFace, LabelledImage
from facepaint.errors import InputError
from facepaint.text import counted
from models.lab.datasets.common import (
    ASPECTS,
    FACE,
    NOT_LABELLED,
    SETS,
    Finder,
    Imported,
    LabelFormat,
    Source,
    box_of,
    chosen_classes,
    corner_and_size,
    keypoints_of,
    landmarks_of,
    number,
    px,
    read_text,
    without_points,
    write_text,
)

ANNOTATIONS = "annotations"
LABEL_STUDIO = "result.json"
CATEGORY = 1

_IMAGE_KEYS = {"id", "file_name", "width", "height"}
_ANNOTATION_KEYS = {
    "id",
    "image_id",
    "category_id",
    "bbox",
    "area",
    "iscrowd",
    "ignore",
    "keypoints",
    "num_keypoints",
}
_OWN_KEYS = {*SETS, "ignore", "is_crowd"}

Row = dict[str, Any]


def recognises(path: Path) -> bool:
    """Whether a folder has the layout of COCO or Label Studio, or a JSON file says that it is
    one."""
    if path.is_file():
        return path.suffix.lower() == ".json" and '"annotations"' in read_text(path)
    return bool(_files(path))


def read(source: Source) -> Imported:
    """Read one file, or those of a folder: of two for one subset that with keypoints, which has the
    boxes too."""
    found = Imported()
    files = [source.path] if source.path.is_file() else _files(source.path)
    for file in files:
        try:
            content = json.loads(read_text(file))
        except (ValueError, RecursionError) as exc:
            raise InputError(f"{file} is no JSON: {exc}") from exc
        if not isinstance(content, dict):
            raise InputError(
                f"{file} is no COCO JSON: it has no images, categories and annotations"
            )
        _read_file(content, file, source, found)
    return found


def _read_file(content: Row, file: Path, source: Source, found: Imported) -> None:
    faces = _read_annotations(content, file, source, found)
    # CVAT puts the JSON into a folder beside the images, Label Studio at the top.
    top = file.parent.parent if file.parent.name == ANNOTATIONS else file.parent
    images = top / "images"
    folders = [source.images, images, images / _subset(file), top, file.parent]
    finder = Finder(folders)
    for place, row in enumerate(_rows(content, "images", file)):
        where = f"{file}, images[{place}]"
        name = str(row.get("file_name", "")).replace("\\", "/")
        if file.name == LABEL_STUDIO:
            name = name.removeprefix("images/")
        at = finder.find(name, where)
        found.pictures.append(_picture(row, name, tuple(faces.pop(row.get("id"), ())), where))
        if at is not None:
            found.files[name] = at
    if faces:
        raise InputError(
            f"{file} has annotations of images it does not list: image_id {next(iter(faces))!r}"
        )


def _read_annotations(
    content: Row, file: Path, source: Source, found: Imported
) -> dict[Any, list[LabelledFace]]:
    """The faces of the chosen classes by image id. Adds notes on what is left out."""
    annotations = _rows(content, "annotations", file)
    categories = {row.get("id"): row for row in _rows(content, "categories", file)}
    names = {key: str(row.get("name", "")) for key, row in categories.items()}
    used = {row.get("category_id") for row in annotations}
    chosen = chosen_classes([names[key] for key in names if key in used] or names.values(), source)
    orders = {
        key: _order(row.get("keypoints"), names[key], found.notes)
        for key, row in categories.items()
    }
    faces: dict[Any, list[LabelledFace]] = {}
    others = 0
    for place, row in enumerate(annotations):
        name = names.get(row.get("category_id"), "")
        if name not in chosen:
            others += 1
            continue
        face = _face(row, orders[row["category_id"]], f"{file}, annotations[{place}]")
        if name.casefold() != FACE:
            face.attributes.setdefault("class", name)
        faces.setdefault(row.get("image_id"), []).append(face)
    if others:
        found.notes.append(
            f"{counted(others, 'annotation')} of other classes left out of {file.name}"
        )
    return faces


def _rows(content: Row, key: str, file: Path) -> list[Row]:
    rows = content.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file} is no COCO JSON: its '{key}' is no list of objects")
    return rows


def _order(names: object, category: str, notes: list[str]) -> list[int] | None:
    """Where each of our landmarks stands among a category's keypoints; None where there are no five
    of them."""
    if not isinstance(names, list) or not names:
        return list(range(len(LANDMARKS)))
    words = [
        frozenset(str(name).casefold().replace("-", "_").replace(" ", "_").split("_"))
        for name in names
    ]
    ours = [frozenset(name.split("_")) for name in LANDMARKS]
    places = [[place for place, word in enumerate(words) if our <= word] for our in ours]
    if all(len(place) == 1 for place in places):
        return [place[0] for place in places]
    if len(names) == len(LANDMARKS):
        notes.append(
            f"keypoints of '{category}' ({', '.join(map(str, names))}) taken in the order "
            f"{', '.join(LANDMARKS)}"
        )
        return list(range(len(LANDMARKS)))
    notes.append(
        f"keypoints of '{category}' left out: there are {len(names)}, and not "
        f"{', '.join(LANDMARKS)} among them"
    )
    return None


def _face(row: Row, order: list[int] | None, where: str) -> LabelledFace:
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise InputError(f"{where}: bbox is x, y, width, height, not {box!r}")
    extra = row.get("attributes")
    extra = dict(extra) if isinstance(extra, dict) else {}
    # COCO has a key for crowds; CVAT and our own export use attributes.
    ignored = row.get("iscrowd") or row.get("ignore") or extra.get("ignore")
    sets = {name: bool(extra[name]) for name in SETS if extra.get(name) is not None}
    score = row.get("score")
    landmarks, seen = landmarks_of(_keypoints(row, order, where))
    return LabelledFace(
        box_of(*(number(value, where) for value in box)),
        landmarks,
        ignore=bool(ignored or extra.get("is_crowd")),
        score=None if score is None else number(score, where),
        attributes={**_attributes(row, extra), **seen},
        **sets,
    )


def _attributes(row: Row, extra: Row) -> dict[str, Any]:
    """What an annotation says besides the format's own keys and ours."""
    known = {*_ANNOTATION_KEYS, "attributes", "score"}
    others = {key: value for key, value in row.items() if key not in known and value}
    return {**others, **{key: value for key, value in extra.items() if key not in _OWN_KEYS}}


def _keypoints(row: Row, order: list[int] | None, where: str) -> list[float]:
    points = row.get("keypoints")
    if not points or order is None:
        return [float(NOT_LABELLED)] * 3 * len(LANDMARKS)
    if not isinstance(points, list) or len(points) < 3 * (max(order) + 1):
        raise InputError(
            f"{where}: keypoints are x, y, flag of each; there are {len(points)} numbers"
        )
    return [number(points[3 * place + part], where) for place in order for part in range(3)]


def _picture(row: Row, name: str, faces: tuple[LabelledFace, ...], where: str) -> LabelledImage:
    sides = [row.get("width") or None, row.get("height") or None]
    width, height = (None if side is None else int(number(side, where)) for side in sides)
    others = {key: value for key, value in row.items() if key not in _IMAGE_KEYS and value}
    return LabelledImage(name, width, height, faces, others)


def write(folder: Path, pictures: Sequence[LabelledImage]) -> list[str]:
    """Write ``annotations/instances_default.json``, and the same with landmarks, if there are any,
    for keypoint tools.

    Tools tell what is in a file by its name: the second is ``person_keypoints_default.json``.
    """
    points = any(keypoints_of(face) is not None for picture in pictures for face in picture.faces)
    with_points = folder / ANNOTATIONS / "person_keypoints_default.json"
    _write_file(folder / ANNOTATIONS / "instances_default.json", pictures, points=False)
    if points:
        _write_file(with_points, pictures, points=True)
    else:
        with_points.unlink(
            missing_ok=True
        )  # of labels that are being replaced: it would be read in place of these
    return []


def _write_file(file: Path, pictures: Sequence[LabelledImage], *, points: bool) -> None:
    category: Row = {"id": CATEGORY, "name": FACE, "supercategory": ""}
    if points:
        category |= {"keypoints": list(LANDMARKS), "skeleton": []}
    images: list[Row] = []
    annotations: list[Row] = []
    for place, picture in enumerate(pictures, start=1):
        own = {
            "id": place,
            "file_name": picture.image,
            "width": picture.width,
            "height": picture.height,
        }
        images.append(
            {
                **{
                    key: value
                    for key, value in picture.attributes.items()
                    if key not in _IMAGE_KEYS
                },
                **own,
            }
        )
        for face in picture.faces:
            annotations.append(_annotation(face, len(annotations) + 1, place, points))
    content = {
        "info": {"description": "faces"},
        "licenses": [],
        "images": images,
        "categories": [category],
    }
    text = json.dumps({**content, "annotations": annotations}, ensure_ascii=False, allow_nan=False)
    write_text(file, f"{text}\n")


def _annotation(face: LabelledFace, number_: int, image: int, points: bool) -> Row:
    x, y, width, height = corner_and_size(face.box)
    extra = without_points(face.attributes) | {
        name: getattr(face, name) for name in SETS if getattr(face, name) is not None
    }
    row: Row = {
        "id": number_,
        "image_id": image,
        "category_id": CATEGORY,
        "bbox": [x, y, width, height],
        "area": px(width * height),
        "segmentation": extra.pop("segmentation", []),
        "iscrowd": int(face.ignore),
        "ignore": int(face.ignore),
    }
    if points:
        known = keypoints_of(face) or [NOT_LABELLED] * 3 * len(LANDMARKS)
        row["keypoints"] = [px(value) for value in known]
        row["num_keypoints"] = sum(flag != NOT_LABELLED for flag in known[2::3])
    if face.score is not None:
        row["score"] = face.score
    if face.ignore:
        extra["ignore"] = True  # CVAT keeps attributes, and loses `iscrowd` of a box
    return row | ({"attributes": extra} if extra else {})


def _files(path: Path) -> list[Path]:
    found = {file.name: file for file in sorted(path.glob(f"{ANNOTATIONS}/*.json"))}
    both = {
        name
        for name in found
        if name.replace("instances", "person_keypoints") in found.keys() - {name}
    }
    chosen = [file for name, file in found.items() if name not in both]
    return chosen or [file for file in _loose(path) if recognises(file)]


def _loose(path: Path) -> Iterable[Path]:
    return (
        (path / LABEL_STUDIO,) if (path / LABEL_STUDIO).is_file() else sorted(path.glob("*.json"))
    )


def _subset(file: Path) -> str:
    """As in the file's name, ``<task>_<subset>.json``, where CVAT puts the subset's pictures into a
    folder."""
    return file.stem.removeprefix("person_keypoints_").removeprefix("instances_")


FORMAT = LabelFormat(
    name="coco",
    summary="COCO JSON with keypoints: annotations/*.json and images/",
    keeps=frozenset({*ASPECTS, "attributes of pictures"}),
    keeps_attributes=frozenset(),
    recognises=recognises,
    read=read,
    write=write,
    place=lambda image: f"images/{image}",
)
