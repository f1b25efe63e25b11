"""Labelled pictures: a folder with ``labels.jsonl``, a line a picture, and the pictures in
``images/``.

A line is ``{"image": "a.jpg", "width": 480, "height": 384, "faces": [{"box": [x1, y1, x2, y2],
...}]}``. What is not known is left out: of a picture its size, of a face everything but the box.
Coordinates are px of the picture as it is shown, turned by its EXIF orientation, with 0, 0 at the
outer corner of the first pixel. Keys that are not listed here are kept as attributes.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NoReturn

from PIL.ExifTags import Base
from pydantic import ConfigDict, TypeAdapter, ValidationError

from facepaint.errors import InputError
from facepaint.files import write_text
from facepaint.media.images import IMAGE_FORMATS, open_image
from facepaint.records.faces import Box

LABELS = "labels.jsonl"
IMAGES = "images"

Landmarks = tuple[float, float, float, float, float, float, float, float, float, float]

_UNFIT = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What no name of a picture has: in one format or on one system it would end a line, or a folder's
name."""

_HALF_PAIR = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which JSON can say as an escape and UTF-8 cannot say at all."""

_QUARTER_TURNS = (5, 6, 7, 8)
"""EXIF orientations by which a picture is shown with width and height exchanged."""


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """A face: ``box`` x1, y1, x2, y2 in px, ``landmarks`` x, y of each of
    `facepaint.records.faces.LANDMARKS` in px or None
    where not known.

    ``ignore`` is a face neither to be learned nor to be counted. ``easy``, ``medium`` and ``hard``
    tell whether the sets of WIDER FACE's protocol count it, None where that is not known. ``score``
    (0-1) is that of an automatic label.
    ``attributes`` are keys of other formats, kept for the way back: any JSON.
    """

    box: Box
    landmarks: Landmarks | None = None
    ignore: bool = False
    easy: bool | None = None
    medium: bool | None = None
    hard: bool | None = None
    score: float | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A picture and all its faces. ``image`` is its path below ``images/``, with slashes; see
    `image_path`.

    ``width`` and ``height`` in px, as it is shown, are None where the labels don't say; see
    `image_size`.
    """

    image: str
    width: int | None = None
    height: int | None = None
    faces: tuple[LabelledFace, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)


_FACE_KEYS = frozenset(one.name for one in fields(LabelledFace))
_PICTURE_KEYS = frozenset(one.name for one in fields(LabelledImage))


def read_labels(folder: Path) -> list[LabelledImage]:
    """The labels of a folder, in the order of their lines; no picture is opened.

    Raises:
        InputError: there are none, or a line is not as it should be; the message names the line and
            its first fault.
    """
    path = folder / LABELS
    try:
        # By line feeds alone: `splitlines` parts a line at characters that JSON may hold, such as
        # U+2028.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder} holds no {LABELS}; make one with: facepaint detectors label, or "
            "detectors convert"
        ) from None
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} cannot be read: {exc}") from exc
    pictures: list[LabelledImage] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        picture = picture_of(line, f"{path}, line {number}")
        if picture.image in seen:
            raise InputError(
                f"{path}, line {number}: {picture.image} is in line "
                f"{seen[picture.image]} too; join "
                "them"
            )
        seen[picture.image] = number
        pictures.append(picture)
    return pictures


def write_labels(folder: Path, pictures: Iterable[LabelledImage]) -> None:
    """Write the labels of a folder, which is made where it is missing; the old ones stand until the
    new are whole.

    Raises:
        InputError: a picture is named twice, or does not pass `check_image`.
    """
    lines: dict[str, str] = {}
    for picture in pictures:
        if picture.image in lines:
            raise InputError(f"{picture.image} has two lines of labels; join them")
        check_image(picture, str(folder / LABELS))
        lines[picture.image] = line_of(picture)
    folder.mkdir(parents=True, exist_ok=True)
    # A link is resolved first: replacing the link itself would separate it from its file.
    target = (folder / LABELS).resolve()
    write_text(target, "".join(f"{line}\n" for line in lines.values()))


def picture_of(line: str, where: str) -> LabelledImage:
    """A picture from its line of JSON; ``where`` is what messages call it.

    Raises:
        InputError: it is not as it should be.
    """
    try:
        row = json.loads(line, parse_constant=_refuse, parse_float=_finite)
        if isinstance(row, dict):
            row = _gathered(row, _PICTURE_KEYS)
            faces = row.get("faces", [])
            if isinstance(faces, list):
                row["faces"] = [
                    _gathered(face, _FACE_KEYS) if isinstance(face, dict) else face
                    for face in faces
                ]
        picture = _adapter().validate_python(row)
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_input=False)[0]
        raise InputError(
            f"{where}: {'.'.join(map(str, fault['loc'])) or 'the line'}: {fault['msg']}"
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{where} is no JSON: {exc}") from exc
    check_image(picture, where)
    return picture


def line_of(picture: LabelledImage) -> str:
    """A picture as a line of JSON, without what stands at its default.

    Raises:
        ValueError: a number is not finite.
    """
    row = {**_known(picture), "faces": [_known(face) for face in picture.faces]}
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return _HALF_PAIR.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def image_path(folder: Path, picture: LabelledImage) -> Path:
    """Where a picture of a folder lies."""
    return folder / IMAGES / picture.image


def image_size(folder: Path, picture: LabelledImage) -> tuple[int, int]:
    """Width and height in px of a picture as it is shown: by its labels, else by its header.

    Raises:
        UnreadableMedia: it is asked for, and is no picture that can be read, or missing.
    """
    if picture.width is not None and picture.height is not None:
        return picture.width, picture.height
    return header_size(image_path(folder, picture))


def header_size(path: Path) -> tuple[int, int]:
    """Width and height in px of a picture file as it is shown, from its header; see `image_size`
    for errors."""
    with open_image(path, str(path), formats=IMAGE_FORMATS) as opened:
        width, height = opened.size
        turned = opened.getexif().get(Base.Orientation) in _QUARTER_TURNS
    return (height, width) if turned else (width, height)


def check_image(picture: LabelledImage, where: str) -> None:
    """Raise `InputError` unless a picture's name, size and boxes can be; ``where`` is what messages
    call it."""
    check_image_name(picture.image, where)
    for face in picture.faces:
        x1, y1, x2, y2 = face.box
        if x2 < x1 or y2 < y1:
            box = ", ".join(f"{value:g}" for value in face.box)
            raise InputError(
                f"{where}: {picture.image} has a box {box}; it is x1, y1, x2, y2, and no side is "
                "negative"
            )
    if not all(side is None or side > 0 for side in (picture.width, picture.height)):
        raise InputError(
            f"{where}: {picture.image} is {picture.width} x {picture.height} px; leave out what "
            "is not known"
        )


def check_image_name(image: str, where: str) -> None:
    """Raise `InputError` unless a picture's name stays below its folder, and one name, on every
    system."""
    path = PurePosixPath(image)
    plain = (
        not _UNFIT.search(image)
        and image == image.strip() == str(path)
        and not PureWindowsPath(image).drive
    )
    if not plain or path.is_absolute() or ".." in path.parts or not path.parts:
        raise InputError(
            f"{where}: '{image}' is no plain path below the folder of pictures; name it from there"
        )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number there")


def _finite(number: str) -> float:
    """JSON allows numbers that no float can hold, and what is read is to be writable again."""
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


@cache
def _adapter() -> TypeAdapter[LabelledImage]:
    return TypeAdapter(LabelledImage)


def _gathered(row: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The row with the keys that are not ours among its attributes."""
    others = {key: value for key, value in row.items() if key not in known}
    if not others:
        return dict(row)
    kept = row.get("attributes", {})
    ours = {key: value for key, value in row.items() if key in known}
    return {**ours, "attributes": {**others, **kept} if isinstance(kept, dict) else kept}


def _known(record: LabelledFace | LabelledImage) -> dict[str, Any]:
    """What a record says but its faces, without what is not known and what stands at its
    default."""
    said = {one.name: getattr(record, one.name) for one in fields(record) if one.name != "faces"}
    if not said.get("ignore"):
        said.pop("ignore", None)
    return {name: value for name, value in said.items() if value is not None and value != {}}
