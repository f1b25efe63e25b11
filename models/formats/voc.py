"""Pascal VOC's XML (Everingham et al., IJCV 2010), as CVAT and Label Studio write and read it.

Both count px from 0 and give a box's end, not its last pixel, and CVAT keeps decimals; so does this. (VOC's own files
count from 1: a set in them comes out one px to the right and below.) A face to be ignored is ``difficult``, which VOC's
evaluation leaves out. ``attributes`` of an object are Datumaro's extension, which CVAT keeps where its label has an
attribute of that name: there are scores, landmarks and whatever VOC has no word for.

XML is read with expat, as everything in Python does, but any document type declaration is refused: entities, by which
a few hundred bytes grow to gigabytes or other files are read, are declared there and nowhere else.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from facepaint.errors import InputError
from facepaint.labels import LabelledFace, LabelledPicture, Landmarks
from models.formats.common import (
    ASPECTS,
    FACE,
    IGNORE,
    KEYPOINTS,
    PICTURES,
    SETS,
    Finder,
    Imported,
    LabelFormat,
    Source,
    chosen_classes,
    counted,
    number,
    px,
    read_text,
    stems,
    text,
    write_text,
)

ANNOTATIONS, IMAGES, LIST = "Annotations", "JPEGImages", "ImageSets/Main/default.txt"

MAX_BYTES = 16_000_000

LANDMARKS = "landmarks"
_FLAGS = ("truncated", "occluded")
_USUAL_POSE = "Unspecified"


def recognises(path: Path) -> bool:
    """Whether a folder has annotations in XML, or a file is one."""
    if path.is_file():
        return path.suffix.lower() == ".xml"
    return next(iter(_files(path)), None) is not None


def read(source: Source) -> Imported:
    """Read all the XML files of a folder, or one."""
    files = [source.path] if source.path.is_file() else list(_files(source.path))
    trees = {file: parse(file) for file in files}
    chosen = chosen_classes((_text(o, "name") for tree in trees.values() for o in tree.findall("object")), source)
    top = source.path.parent if source.path.is_file() else source.path
    top = top.parent if top.name == ANNOTATIONS else top
    finder = Finder([source.images, top / IMAGES, top / "images", top])
    found, others = Imported(), 0
    for file, tree in trees.items():
        objects = tree.findall("object")
        wanted = [one for one in objects if _text(one, "name") in chosen or _text(one, "name").casefold() == IGNORE]
        others += len(objects) - len(wanted)
        name = _text(tree, "filename").replace("\\", "/") or file.stem
        at = finder.find(name, str(file))
        faces = tuple(_face(one, str(file)) for one in wanted)
        found.pictures.append(LabelledPicture(name, _side(tree, "width"), _side(tree, "height"), faces))
        if at is not None:
            found.files[name] = at
    _add_unlabelled(found, top, finder)
    if others:
        found.notes.append(f"{counted(others, 'object')} of other classes left out")
    return found


def _add_unlabelled(found: Imported, top: Path, finder: Finder) -> None:
    """The pictures that are listed and have no file: CVAT writes none for a picture without faces."""
    known = {str(PurePosixPath(picture.image).with_suffix("")) for picture in found.pictures}
    for file in sorted(top.glob("ImageSets/Main/*.txt")):
        for line in read_text(file).split("\n"):
            stem = line.strip()
            names = [f"{stem}{suffix}" for suffix in PICTURES] if stem and stem not in known else []
            places = {name: at for name in names if (at := finder.find(name, str(file))) is not None}
            for name, at in list(places.items())[:1]:
                known.add(stem)
                found.pictures.append(LabelledPicture(name))
                found.files[name] = at


def parse(file: Path) -> ElementTree.Element:
    """The tree of an XML file that declares no document type.

    Raises:
        InputError: it does, is no XML, or too large.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> None:
        raise InputError(f"{file} declares a document type, by which XML does harm; take the <!DOCTYPE> out")

    parser.StartDoctypeDeclHandler = refuse
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"{file} is larger than the labels of a picture can be")
        parser.Parse(file.read_bytes(), True)
        return builder.close()
    except (OSError, expat.ExpatError, AssertionError) as exc:  # the last is how the builder says that all is empty
        raise InputError(f"{file} is no XML that can be read: {exc}") from exc


def _face(element: ElementTree.Element, where: str) -> LabelledFace:
    bounds = element.find("bndbox")
    if bounds is None:
        raise InputError(f"{where}: an object has no bndbox")
    x1, y1, x2, y2 = (px(number(_text(bounds, side), where)) for side in ("xmin", "ymin", "xmax", "ymax"))
    said: dict[str, Any] = {
        _decoded_name(_text(one, "name", strip=False)): _decoded(_text(one, "value", strip=False))
        for one in element.iterfind("attributes/attribute")
    }
    name, pose = _text(element, "name"), _text(element, "pose")
    said |= {flag: True for flag in _FLAGS if _is_set(_text(element, flag))}
    if pose and pose != _USUAL_POSE:
        said.setdefault("pose", pose)
    if name.casefold() not in (FACE, IGNORE):
        said.setdefault("class", name)
    sets = {one: value for one in SETS if isinstance(value := said.pop(one, None), bool)}
    landmarks, score = said.pop(LANDMARKS, None), said.pop("score", None)
    crowd = [said.pop(key, False) is True for key in ("ignore", "is_crowd")]
    ignored = any(crowd) or _is_set(_text(element, "difficult")) or name.casefold() == IGNORE
    return LabelledFace(
        (x1, y1, x2, y2),
        _landmarks(landmarks, where),
        ignore=ignored,
        score=None if score is None else number(score, where),
        attributes=said,
        **sets,
    )


def _landmarks(value: object, where: str) -> Landmarks | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 10:
        raise InputError(f"{where}: the attribute landmarks is a list of ten numbers, not {value!r}")
    return tuple(px(number(one, where)) for one in value)  # type: ignore[return-value]  # ten of them


def write(folder: Path, pictures: Sequence[LabelledPicture]) -> list[str]:
    """Write ``Annotations/``, a file a picture, and the list of them."""
    names = stems(pictures, ".xml")
    for picture in pictures:
        tree = _tree(picture)
        ElementTree.indent(tree)
        write_text(folder / ANNOTATIONS / names[picture.image], f"{ElementTree.tostring(tree, 'unicode')}\n")
    write_text(folder / "labelmap.txt", f"# label:color_rgb:parts:actions\n{FACE}:::\n")
    write_text(folder / LIST, "".join(f"{name.removesuffix('.xml')}\n" for name in names.values()))
    return []


def _tree(picture: LabelledPicture) -> ElementTree.Element:
    top = ElementTree.Element("annotation")
    _add(top, {"folder": IMAGES, "filename": picture.image})
    _add(ElementTree.SubElement(top, "source"), {"database": "Unknown", "annotation": "Unknown", "image": "Unknown"})
    sides = {"width": picture.width, "height": picture.height, "depth": 3}
    _add(ElementTree.SubElement(top, "size"), {side: str(value) for side, value in sides.items() if value is not None})
    _add(top, {"segmented": "0"})
    for face in picture.faces:
        one = ElementTree.SubElement(top, "object")
        attributes = dict(face.attributes)
        pose = attributes.pop("pose") if _is_plain(attributes.get("pose")) else _USUAL_POSE
        _add(one, {"name": FACE, "pose": pose})
        flags = {flag: str(int(attributes.get(flag) is True)) for flag in _FLAGS}
        _add(one, {**flags, "difficult": str(int(face.ignore))})
        corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), face.box, strict=True))
        _add(ElementTree.SubElement(one, "bndbox"), {side: text(value) for side, value in corners.items()})
        _add_attributes(
            one, face, {key: value for key, value in attributes.items() if key not in _FLAGS or value is not True}
        )
    return top


def _add_attributes(element: ElementTree.Element, face: LabelledFace, attributes: dict[str, Any]) -> None:
    said: dict[str, Any] = {name: getattr(face, name) for name in (*SETS, "score") if getattr(face, name) is not None}
    if face.landmarks is not None:
        said[LANDMARKS] = [px(value) for value in face.landmarks]
        attributes = {key: value for key, value in attributes.items() if key != KEYPOINTS}
    said |= {key: value for key, value in attributes.items() if key not in said}
    if not said:
        return
    rows = ElementTree.SubElement(element, "attributes")
    for key, value in said.items():
        _add(ElementTree.SubElement(rows, "attribute"), {"name": _encoded_name(key), "value": _encoded(value)})


def _encoded(value: object) -> str:
    """A value as text: JSON, but for strings that cannot be taken for it and that XML carries unchanged."""
    return str(value) if _is_plain(value) else json.dumps(value, allow_nan=False)


def _is_plain(value: object) -> bool:
    readable = isinstance(value, str) and value.isprintable() and value == value.strip()
    return readable and value not in ("", _USUAL_POSE) and _decoded(str(value)) == value


def _decoded(value: str) -> Any:
    if value in ("True", "False"):  # as CVAT has them
        return value == "True"
    try:
        return json.loads(value, parse_constant=str)
    except (ValueError, RecursionError):
        return value


def _encoded_name(name: str) -> str:
    plain = name == name.strip() and name.isprintable() and not name.startswith('"')
    return name if plain else json.dumps(name)


def _decoded_name(name: str) -> str:
    known = _decoded(name) if name.startswith('"') else name
    return known if isinstance(known, str) else name


def _add(element: ElementTree.Element, children: dict[str, str]) -> None:
    for name, content in children.items():
        ElementTree.SubElement(element, name).text = content


def _text(element: ElementTree.Element, name: str, *, strip: bool = True) -> str:
    content = element.findtext(name) or ""
    return content.strip() if strip else content


def _is_set(value: str) -> bool:
    return value.casefold() in ("1", "true")


def _side(tree: ElementTree.Element, name: str) -> int | None:
    value = _text(tree, f"size/{name}")
    return int(value) if value.isdecimal() and int(value) else None


def _files(path: Path) -> Iterable[Path]:
    return sorted((path / ANNOTATIONS).rglob("*.xml")) or sorted(path.glob("*.xml"))


FORMAT = LabelFormat(
    name="voc",
    summary="Pascal VOC XML: Annotations/ and JPEGImages/",
    keeps=frozenset(ASPECTS),
    keeps_attributes=frozenset(),
    recognises=recognises,
    read=read,
    write=write,
    place=lambda image: f"{IMAGES}/{image}",
)
