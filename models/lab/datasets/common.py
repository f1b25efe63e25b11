"""What the formats of labels share: how they are described, what reading them gives, numbers and
landmarks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from facepaint import files
from facepaint.detectors.labels import (
    LANDMARKS,
    LabelledFace,
    LabelledImage,
    Landmarks,
    check_image_name,
)
from facepaint.errors import InputError
from facepaint.records.faces import Box
from facepaint.text import counted

FACE = "face"

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")

NOT_LABELLED, VISIBLE = 0, 2
"""COCO's flags of a keypoint; 1 is labelled but hidden."""

VISIBILITY = "visibility"
"""Attribute: COCO's flags of the five landmarks, where not all are visible."""

KEYPOINTS = "keypoints"
"""Attribute: x, y, flag of the five where some are not labelled: no landmarks to us, but kept for
the way back."""

SETS = ("easy", "medium", "hard")


@dataclass(frozen=True, slots=True)
class Source:
    """What is read: a file or folder of labels, where else pictures may lie, and which classes are
    faces.

    Without ``classes`` those called "face" are, or the only class there is.
    """

    path: Path
    images: Path | None = None
    classes: tuple[str, ...] = ()


@dataclass(slots=True)
class Imported:
    """Labels in our terms, the file of each picture by its name where it was found, and what the
    user should know."""

    pictures: list[LabelledImage] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """A format of labels that can be read and written.

    ``keeps`` are the `ASPECTS` that come back after writing and reading; of the attributes, where
    they are not kept altogether, those in ``keeps_attributes``. ``place`` is where below the
    written folder a picture belongs, by its name. ``write`` gives notes on what it had to change.
    """

    name: str
    summary: str
    keeps: frozenset[str]
    keeps_attributes: frozenset[str]
    recognises: Callable[[Path], bool]
    read: Callable[[Source], Imported]
    write: Callable[[Path, Sequence[LabelledImage]], list[str]]
    place: Callable[[str], str]


def _has_hidden_points(face: LabelledFace) -> bool:
    return VISIBILITY in face.attributes or (
        face.landmarks is None and KEYPOINTS in face.attributes
    )


ASPECTS: dict[str, Callable[[LabelledFace], bool]] = {
    "landmarks": lambda face: face.landmarks is not None,
    "hidden landmarks": _has_hidden_points,
    "ignore": lambda face: face.ignore,
    "easy, medium, hard": lambda face: any(getattr(face, name) is not None for name in SETS),
    "score": lambda face: face.score is not None,
    "attributes": lambda face: bool(without_points(face.attributes)),
}
"""What a face may have beside its box, by name: whether this one has it."""


def losses(kind: LabelFormat, pictures: Iterable[LabelledImage]) -> list[str]:
    """What a format cannot say of these labels, with how many faces or pictures it concerns."""
    lost: Counter[str] = Counter()
    of_pictures = 0
    for picture in pictures:
        of_pictures += bool(picture.attributes) and "attributes of pictures" not in kind.keeps
        for face in picture.faces:
            rest = {
                key: value
                for key, value in face.attributes.items()
                if key not in kind.keeps_attributes
            }
            bare = replace(face, attributes=rest)
            lost.update(
                name for name, has in ASPECTS.items() if name not in kind.keeps and has(bare)
            )
    told = [f"{name} of {counted(lost[name], 'face')}" for name in ASPECTS if lost[name]]
    return told + ([f"attributes of {counted(of_pictures, 'picture')}"] if of_pictures else [])


def px(value: float) -> float:
    """A coordinate in px as formats keep it: to a ten thousandth, which sums of written numbers
    come back to."""
    return round(value, 4) + 0.0  # no negative zero


def box_of(x: float, y: float, width: float, height: float) -> Box:
    """From the corner and size that most formats write."""
    return px(x), px(y), px(x + width), px(y + height)


def corner_and_size(box: Box) -> tuple[float, float, float, float]:
    """The same way back."""
    x1, y1, x2, y2 = box
    return px(x1), px(y1), px(x2 - x1), px(y2 - y1)


def text(value: float) -> str:
    """A number without needless digits."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def number(word: object, where: str) -> float:
    """A finite number from a word of a file, or raise `InputError`."""
    try:
        value = float(word)  # type: ignore[arg-type]  # whatever it is, it becomes a number or is refused
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {word!r} is no number")
    return value


def keypoints_of(face: LabelledFace) -> list[float] | None:
    """x, y, flag of the five landmarks as COCO has them, or None where nothing is known."""
    if face.landmarks is None:
        return _row(face.attributes.get(KEYPOINTS), 3 * len(LANDMARKS))
    flags = _row(face.attributes.get(VISIBILITY), len(LANDMARKS)) or [VISIBLE] * len(LANDMARKS)
    return [
        value
        for place, flag in enumerate(flags)
        for value in (*face.landmarks[2 * place : 2 * place + 2], flag)
    ]


def landmarks_of(keypoints: Sequence[float]) -> tuple[Landmarks | None, dict[str, Any]]:
    """Landmarks and attributes from fifteen numbers: x, y, flag of each. Five are known or none."""
    rows = [tuple(keypoints[start : start + 3]) for start in range(0, len(keypoints), 3)]
    flags = [int(flag) for _, _, flag in rows]
    if all(flag == NOT_LABELLED for flag in flags):
        return None, {}
    if NOT_LABELLED in flags:
        known_rows = [
            (px(x), px(y), int(flag)) if flag else (0, 0, NOT_LABELLED) for x, y, flag in rows
        ]
        return None, {KEYPOINTS: [value for row in known_rows for value in row]}
    known: Landmarks = tuple(px(value) for x, y, _ in rows for value in (x, y))  # type: ignore[assignment]  # ten
    return known, {} if all(flag == VISIBLE for flag in flags) else {VISIBILITY: flags}


def without_points(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes but those that say something of landmarks."""
    return {key: value for key, value in attributes.items() if key not in (VISIBILITY, KEYPOINTS)}


def _row(values: object, length: int) -> list[float] | None:
    """An attribute that is a row of so many numbers; anyone may have written it."""
    fits = (
        isinstance(values, list)
        and len(values) == length
        and all(isinstance(one, int | float) for one in values)
    )
    return list(values) if fits else None  # type: ignore[call-overload]  # it is a list


def chosen_classes(names: Iterable[str], source: Source) -> set[str]:
    """Which of these classes are faces.

    Raises:
        InputError: it cannot be told.
    """
    names = list(dict.fromkeys(names))
    if source.classes:
        missing = [name for name in source.classes if name not in names]
        if missing:
            raise InputError(
                f"{source.path} has no class {', '.join(missing)}; it has "
                f"{', '.join(names) or 'none'}"
            )
        return set(source.classes)
    faces = {name for name in names if name.casefold() == FACE}
    if not faces and len(names) > 1:
        raise InputError(
            f"{source.path} has the classes {', '.join(names)}; say which are faces with --class"
        )
    return faces or set(names)


class Finder:
    """Finds the files of pictures by the names that labels give them, below some folders."""

    def __init__(self, roots: Iterable[Path | None]) -> None:
        self._roots = [root for root in roots if root is not None and root.is_dir()]
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, name: str, where: str) -> Path | None:
        """The file below one of the folders, else the only one of that file name in any depth of
        them.

        Raises:
            InputError: the name leads out of the folder.
        """
        check_image_name(name, where)
        for root in self._roots:
            if (root / name).is_file():
                return root / name
        if self._by_name is None:
            self._by_name = {}
            for path in pictures_below(self._roots):
                self._by_name.setdefault(path.name, []).append(path)
        found = self._by_name.get(PurePosixPath(name).name, [])
        return found[0] if len(found) == 1 else None


def pictures_below(roots: Iterable[Path]) -> Iterator[Path]:
    """Every file below the folders that is a picture by its name, once, in order."""
    seen: set[Path] = set()
    for root in roots:
        for path in sorted(root.rglob("*")):
            real = path.resolve()
            if path.suffix.lower() in PICTURES and path.is_file() and real not in seen:
                seen.add(real)
                yield path


def read_text(path: Path) -> str:
    """A file of labels, or `InputError`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} cannot be read: {exc}") from exc


def write_text(path: Path, content: str) -> None:
    """Write a file, its folder made before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, content)
