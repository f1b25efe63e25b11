"""Labelled images: a folder with ``labels.jsonl``, a line per image, and the images in ``images/``.

A line is ``{"image": "a.jpg", "width": 480, "height": 384, "faces": [{"box": [x1, y1, x2, y2],
...}]}``. Everything but the names and the boxes is optional. Coordinates are px of the image after
its EXIF rotation, with 0, 0 at the outer corner of the first pixel. Unknown keys are kept as
attributes.
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

_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that end a line or a folder's name in some format or on some system."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Valid in JSON as an escape, but not in UTF-8."""

_QUARTER_TURNS = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """A face of an image.

    Args:
        box: x1, y1, x2, y2 in px.
        landmarks: x, y of each of `facepaint.records.faces.LANDMARKS` in px; None if unknown.
        ignore: whether training and evaluation ignore the face.
        easy, medium, hard: whether the subsets of WIDER FACE's protocol include it; None if
            unknown.
        score: the confidence of an automatic label.
        attributes: JSON of other formats' keys, kept for the conversion back.
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
    """An image and all its faces.

    Args:
        image: its path below ``images/``, with slashes; see `image_path`.
        width, height: size in px after EXIF rotation; None if the labels omit it, see
            `image_size`.
        attributes: as of a face.
    """

    image: str
    width: int | None = None
    height: int | None = None
    faces: tuple[LabelledFace, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)


_FACE_KEYS = frozenset(one.name for one in fields(LabelledFace))
_IMAGE_KEYS = frozenset(one.name for one in fields(LabelledImage))


def read_labels(folder: Path) -> list[LabelledImage]:
    """Read the labels of a folder in the order of their lines, without opening the images.

    Raises:
        InputError: there are none, or a line is invalid; the message names the line and its first
            fault.
    """
    path = folder / LABELS
    try:
        # Not `splitlines`, which also splits at characters that JSON may contain, such as U+2028.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder} has no {LABELS}; `facepaint detectors label` or "
            "`facepaint detectors convert` makes one"
        ) from None
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} cannot be read: {exc}") from exc
    images: list[LabelledImage] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        image = parse_line(line, f"{path}, line {number}")
        if image.image in seen:
            raise InputError(
                f"{path}, line {number}: {image.image} is also in line {seen[image.image]}; "
                "join them"
            )
        seen[image.image] = number
        images.append(image)
    return images


def write_labels(folder: Path, images: Iterable[LabelledImage]) -> None:
    """Write the labels of a folder atomically; the folder is created if it is missing.

    Raises:
        InputError: an image is named twice, or does not pass `check_image`.
    """
    lines: dict[str, str] = {}
    for image in images:
        if image.image in lines:
            raise InputError(f"{image.image} has two lines of labels; join them")
        check_image(image, str(folder / LABELS))
        lines[image.image] = format_line(image)
    folder.mkdir(parents=True, exist_ok=True)
    # A symbolic link is resolved first: the atomic write would replace the link, not its target.
    target = (folder / LABELS).resolve()
    write_text(target, "".join(f"{line}\n" for line in lines.values()))


def parse_line(line: str, where: str) -> LabelledImage:
    """Parse an image's line of JSON. ``where`` names the line in messages.

    Raises:
        InputError: the line is invalid.
    """
    try:
        row = json.loads(line, parse_constant=_refuse, parse_float=_finite)
        image = _adapter().validate_python(_collect_all_attributes(row))
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_input=False)[0]
        raise InputError(
            f"{where}: {'.'.join(map(str, fault['loc'])) or 'the line'}: {fault['msg']}"
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{where} is not JSON: {exc}") from exc
    check_image(image, where)
    return image


def format_line(image: LabelledImage) -> str:
    """Format an image as a line of JSON, without fields at their default.

    Raises:
        ValueError: a number is not finite.
    """
    row = {**_stated(image), "faces": [_stated(face) for face in image.faces]}
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    # File names may contain lone surrogates; `json` leaves them, and UTF-8 cannot encode them.
    return _LONE_SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def image_path(folder: Path, image: LabelledImage) -> Path:
    """The path of an image of a folder."""
    return folder / IMAGES / image.image


def image_size(folder: Path, image: LabelledImage) -> tuple[int, int]:
    """Width and height in px of an image after EXIF rotation, from its labels or else its header.

    Raises:
        UnreadableMedia: the header is needed and cannot be read.
    """
    if image.width is not None and image.height is not None:
        return image.width, image.height
    return header_size(image_path(folder, image))


def header_size(path: Path) -> tuple[int, int]:
    """Width and height in px of an image file after EXIF rotation; raises as `image_size`."""
    with open_image(path, str(path), formats=IMAGE_FORMATS) as opened:
        width, height = opened.size
        turned = opened.getexif().get(Base.Orientation) in _QUARTER_TURNS
    return (height, width) if turned else (width, height)


def check_image(image: LabelledImage, where: str) -> None:
    """Raise `InputError` unless an image's name, size and boxes are valid. ``where`` names the
    labels in messages."""
    check_image_name(image.image, where)
    for face in image.faces:
        x1, y1, x2, y2 = face.box
        if x2 < x1 or y2 < y1:
            box = ", ".join(f"{value:g}" for value in face.box)
            raise InputError(
                f"{where}: {image.image} has the box {box}; a box is x1, y1, x2, y2 with x1 <= x2 "
                "and y1 <= y2"
            )
    if not all(side is None or side > 0 for side in (image.width, image.height)):
        raise InputError(
            f"{where}: {image.image} is {image.width} x {image.height} px; omit an unknown size"
        )


def check_image_name(image: str, where: str) -> None:
    """Raise `InputError` unless an image's name is a plain path below its folder on every
    system."""
    # Labels can come from elsewhere, and conversions write images under these names.
    path = PurePosixPath(image)
    plain = (
        not _FORBIDDEN.search(image)
        and image == image.strip() == str(path)
        and not PureWindowsPath(image).drive
    )
    if not plain or path.is_absolute() or ".." in path.parts or not path.parts:
        raise InputError(f"{where}: '{image}' is not a plain path below the folder of images")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a finite number")


def _finite(number: str) -> float:
    # JSON allows numbers beyond the range of a float, which could not be written again.
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


@cache
def _adapter() -> TypeAdapter[LabelledImage]:
    return TypeAdapter(LabelledImage)


def _collect_all_attributes(row: Any) -> Any:
    """The row of an image with the unknown keys of image and faces moved to their attributes.

    Values of a wrong type stay as they are, for the validation to report.
    """
    if not isinstance(row, dict):
        return row
    row = _collect_attributes(row, _IMAGE_KEYS)
    faces = row.get("faces", [])
    if isinstance(faces, list):
        row["faces"] = [
            _collect_attributes(face, _FACE_KEYS) if isinstance(face, dict) else face
            for face in faces
        ]
    return row


def _collect_attributes(row: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The row with its unknown keys moved to its attributes."""
    unknown = {key: value for key, value in row.items() if key not in known}
    if not unknown:
        return dict(row)
    known_fields = {key: value for key, value in row.items() if key in known}
    attributes = row.get("attributes", {})
    # A value of a wrong type is left to the validation.
    if isinstance(attributes, dict):
        attributes = {**unknown, **attributes}
    return {**known_fields, "attributes": attributes}


def _stated(record: LabelledFace | LabelledImage) -> dict[str, Any]:
    """The fields of a record that are not at their default, without its faces."""
    row = {one.name: getattr(record, one.name) for one in fields(record) if one.name != "faces"}
    if not row.get("ignore"):
        row.pop("ignore", None)
    return {name: value for name, value in row.items() if value is not None and value != {}}
