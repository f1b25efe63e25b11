"""COCO's JSON for objects and keypoints (Lin et al., ECCV 2014;
https://cocodataset.org/#format-data).

Boxes are x, y, width, height in px from 0; keypoints x, y, flag (0 not labelled, 1 hidden, 2
visible). An ignored face has ``iscrowd`` and ``ignore`` 1, which COCO's evaluation follows.
``attributes`` and ``score`` of an annotation are as in CVAT and Datumaro. Ids are numbered anew.

It reads the layouts of COCO and CVAT (``annotations/*.json``), of Label Studio (``result.json``)
and any other JSON file that is named.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from facepaint.detectors.coco import CATEGORY, NOT_LABELLED, Row, face_category, write_coco
from facepaint.detectors.labels import LabelledFace, LabelledImage
from facepaint.errors import InputError
from facepaint.files import atomic_write
from facepaint.records.faces import LANDMARKS
from facepaint.text import counted
from models.lab.datasets.common import (
    FACE,
    SETS,
    Finder,
    Imported,
    LabelFormat,
    Source,
    box_of,
    chosen_classes,
    corner_and_size,
    flagged_keypoints,
    landmarks_of,
    number,
    px,
    read_text,
    without_landmarks,
)

ANNOTATIONS = "annotations"
LABEL_STUDIO = "result.json"

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
    "attributes",
    "score",
}
_OWN_ATTRIBUTES = {*SETS, "ignore", "is_crowd"}


def matches(path: Path) -> bool:
    """Whether a folder has the layout of COCO or Label Studio, or a file is COCO JSON."""
    if path.is_file():
        return path.suffix.lower() == ".json" and '"annotations"' in read_text(path)
    return bool(_files(path))


def read(source: Source) -> Imported:
    """Read one file, or those of a folder; of two files for one subset the one with keypoints,
    which has the boxes too."""
    imported = Imported()
    for file in [source.path] if source.path.is_file() else _files(source.path):
        try:
            content = json.loads(read_text(file))
        except (ValueError, RecursionError) as exc:
            raise InputError(f"{file} is not JSON: {exc}") from exc
        if not isinstance(content, dict):
            raise InputError(
                f"{file} is not COCO JSON: it has no images, categories and annotations"
            )
        _read_file(content, file, source, imported)
    return imported


def _read_file(content: Row, file: Path, source: Source, imported: Imported) -> None:
    faces = _read_annotations(content, file, source, imported.notes)
    # CVAT puts the JSON into a folder beside the images, Label Studio above them.
    top = file.parent.parent if file.parent.name == ANNOTATIONS else file.parent
    images = top / "images"
    finder = Finder([source.images, images, images / _subset(file), top, file.parent])
    for place, row in enumerate(_rows(content, "images", file)):
        where = f"{file}, images[{place}]"
        name = str(row.get("file_name", "")).replace("\\", "/")
        # Label Studio writes paths with the folder's name.
        if file.name == LABEL_STUDIO:
            name = name.removeprefix("images/")
        image_file = finder.find(name, where)
        # Popped, so that annotations of unlisted images remain.
        image = _labelled_image(row, name, tuple(faces.pop(row.get("id"), ())), where)
        imported.images.append(image)
        if image_file is not None:
            imported.files[name] = image_file
    if faces:
        raise InputError(
            f"{file} has annotations of images that it does not list: "
            f"image_id {next(iter(faces))!r}"
        )


def _read_annotations(
    content: Row, file: Path, source: Source, notes: list[str]
) -> dict[Any, list[LabelledFace]]:
    """The faces of the chosen classes by image id. Adds notes on what is left out."""
    annotations = _rows(content, "annotations", file)
    categories = {row.get("id"): row for row in _rows(content, "categories", file)}
    names = {key: str(row.get("name", "")) for key, row in categories.items()}
    chosen = chosen_classes(_used_names(names, annotations), source)
    orders = {key: _keypoint_order(row, names[key], notes) for key, row in categories.items()}
    faces: dict[Any, list[LabelledFace]] = {}
    skipped = 0
    for place, row in enumerate(annotations):
        category = row.get("category_id")
        name = names.get(category, "")
        if name not in chosen:
            skipped += 1
            continue
        face = _face(row, orders[category], f"{file}, annotations[{place}]")
        if name.casefold() != FACE:
            face.attributes.setdefault("class", name)
        faces.setdefault(row.get("image_id"), []).append(face)
    if skipped:
        notes.append(f"{counted(skipped, 'annotation')} of other classes left out of {file.name}")
    return faces


def _used_names(names: dict[Any, str], annotations: Sequence[Row]) -> list[str]:
    """The names of the categories that have annotations; those of all if none has."""
    # An unused category is no reason to ask which ones are faces.
    used = {row.get("category_id") for row in annotations}
    return [name for key, name in names.items() if key in used] or list(names.values())


def _rows(content: Row, key: str, file: Path) -> list[Row]:
    rows = content.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file} is not COCO JSON: its '{key}' is not a list of objects")
    return rows


def _keypoint_order(category: Row, name: str, notes: list[str]) -> list[int] | None:
    """The place of each of `LANDMARKS` among a category's keypoints; None if it lacks some."""
    keypoints = category.get("keypoints")
    if not isinstance(keypoints, list) or not keypoints:
        return list(range(len(LANDMARKS)))
    places = [_places(landmark, keypoints) for landmark in LANDMARKS]
    if all(len(place) == 1 for place in places):
        return [place[0] for place in places]
    if len(keypoints) == len(LANDMARKS):
        notes.append(
            f"keypoints of '{name}' ({', '.join(map(str, keypoints))}) read in the order "
            f"{', '.join(LANDMARKS)}"
        )
        return list(range(len(LANDMARKS)))
    notes.append(
        f"keypoints of '{name}' left out: there are {len(keypoints)}, and "
        f"{', '.join(LANDMARKS)} are not all among them"
    )
    return None


def _places(landmark: str, keypoints: Sequence[object]) -> list[int]:
    """The keypoints whose name has every word of the landmark's, such as "Right mouth-corner"."""
    wanted = set(landmark.split("_"))
    words = [
        set(str(name).casefold().replace("-", "_").replace(" ", "_").split("_"))
        for name in keypoints
    ]
    return [place for place, word in enumerate(words) if wanted <= word]


def _face(row: Row, order: list[int] | None, where: str) -> LabelledFace:
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise InputError(f"{where}: bbox is x, y, width, height, not {box!r}")
    extra = row.get("attributes")
    extra = dict(extra) if isinstance(extra, dict) else {}
    # CVAT keeps attributes, but loses COCO's own keys of a box.
    flags = (row.get("iscrowd"), row.get("ignore"), extra.get("ignore"), extra.get("is_crowd"))
    sets = {name: bool(extra[name]) for name in SETS if extra.get(name) is not None}
    score = row.get("score")
    landmarks, visibility = landmarks_of(_keypoints(row, order, where))
    return LabelledFace(
        box_of(*(number(value, where) for value in box)),
        landmarks,
        ignore=any(flags),
        score=None if score is None else number(score, where),
        attributes={**_attributes(row, extra), **visibility},
        **sets,
    )


def _attributes(row: Row, extra: Row) -> dict[str, Any]:
    """The keys of an annotation that are neither the format's nor facepaint's."""
    others = {key: value for key, value in row.items() if key not in _ANNOTATION_KEYS and value}
    return {**others, **{key: extra[key] for key in extra if key not in _OWN_ATTRIBUTES}}


def _keypoints(row: Row, order: list[int] | None, where: str) -> list[float]:
    points = row.get("keypoints")
    # Boxes are useful even if the keypoints are of another kind.
    if not points or order is None:
        return [float(NOT_LABELLED)] * 3 * len(LANDMARKS)
    if not isinstance(points, list) or len(points) < 3 * (max(order) + 1):
        raise InputError(
            f"{where}: keypoints are x, y, flag of each; there are {len(points)} numbers"
        )
    return [number(points[3 * place + part], where) for place in order for part in range(3)]


def _labelled_image(
    row: Row, name: str, faces: tuple[LabelledFace, ...], where: str
) -> LabelledImage:
    sides = [row.get("width") or None, row.get("height") or None]
    width, height = (None if side is None else int(number(side, where)) for side in sides)
    others = {key: value for key, value in row.items() if key not in _IMAGE_KEYS and value}
    return LabelledImage(name, width, height, faces, others)


def write(folder: Path, images: Sequence[LabelledImage]) -> list[str]:
    """Write ``annotations/instances_default.json`` and, if there are landmarks,
    ``person_keypoints_default.json``, which tools for keypoints look for."""
    (folder / ANNOTATIONS).mkdir(parents=True, exist_ok=True)
    with_points = folder / ANNOTATIONS / "person_keypoints_default.json"
    _write_file(folder / ANNOTATIONS / "instances_default.json", images, points=False)
    faces = (face for image in images for face in image.faces)
    if any(flagged_keypoints(face) is not None for face in faces):
        _write_file(with_points, images, points=True)
    else:
        # That of labels that are overwritten would be read instead of the new ones.
        with_points.unlink(missing_ok=True)
    return []


def _write_file(path: Path, images: Sequence[LabelledImage], *, points: bool) -> None:
    category = face_category(LANDMARKS) if points else {"id": CATEGORY, "name": FACE}
    head = {
        "info": {"description": "faces"},
        "licenses": [],
        "categories": [{**category, "supercategory": ""}],
    }
    rows = (
        (_image_row(image), (_annotation(face, points) for face in image.faces)) for image in images
    )
    with atomic_write(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        write_coco(file, head, rows)


def _image_row(image: LabelledImage) -> Row:
    others = {key: value for key, value in image.attributes.items() if key not in _IMAGE_KEYS}
    own = {"file_name": image.image, "width": image.width, "height": image.height}
    return {**own, **others}


def _annotation(face: LabelledFace, points: bool) -> Row:
    x, y, width, height = corner_and_size(face.box)
    extra = without_landmarks(face.attributes)
    extra |= {name: getattr(face, name) for name in SETS if getattr(face, name) is not None}
    row: Row = {
        "bbox": [x, y, width, height],
        "area": px(width * height),
        "segmentation": extra.pop("segmentation", []),
        "iscrowd": int(face.ignore),
        "ignore": int(face.ignore),
    }
    if points:
        keypoints = flagged_keypoints(face) or [NOT_LABELLED] * 3 * len(LANDMARKS)
        row["keypoints"] = [px(value) for value in keypoints]
        row["num_keypoints"] = sum(flag != NOT_LABELLED for flag in keypoints[2::3])
    if face.score is not None:
        row["score"] = face.score
    if face.ignore:
        # CVAT keeps attributes, but loses `iscrowd` of a box.
        extra["ignore"] = True
    return row | ({"attributes": extra} if extra else {})


def _files(path: Path) -> list[Path]:
    files = {file.name: file for file in sorted(path.glob(f"{ANNOTATIONS}/*.json"))}
    # The file with keypoints has all boxes too.
    chosen = [file for name, file in files.items() if not _has_keypoint_file(name, files)]
    return chosen or [file for file in _loose_files(path) if matches(file)]


def _has_keypoint_file(name: str, files: dict[str, Path]) -> bool:
    with_points = name.replace("instances", "person_keypoints")
    return with_points != name and with_points in files


def _loose_files(path: Path) -> Iterator[Path]:
    """JSON files outside of ``annotations/``; Label Studio's alone if it is there."""
    if (path / LABEL_STUDIO).is_file():
        yield path / LABEL_STUDIO
    else:
        yield from sorted(path.glob("*.json"))


def _subset(file: Path) -> str:
    """The subset in a file's name, ``<task>_<subset>.json``; CVAT puts its images into a folder of
    that name."""
    return file.stem.removeprefix("person_keypoints_").removeprefix("instances_")


FORMAT = LabelFormat(
    name="coco",
    matches=matches,
    read=read,
    write=write,
    place=lambda image: f"images/{image}",
)
