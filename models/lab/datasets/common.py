"""What the label formats share: how a format is described, what reading gives, numbers and
landmarks."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from facepaint.detectors.coco import NOT_LABELLED, VISIBLE, keypoints_of
from facepaint.detectors.labels import LabelledFace, LabelledImage, Landmarks, check_image_name
from facepaint.errors import InputError
from facepaint.records.faces import LANDMARKS, Box

FACE = "face"

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")

VISIBILITY = "visibility"
"""Attribute: the COCO flags of the five landmarks, if not all are visible."""

KEYPOINTS = "keypoints"
"""Attribute: x, y, flag of the five keypoints, if some are not labelled. facepaint has no use for
them but writes them back."""

SETS = ("easy", "medium", "hard")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Source:
    """What to read: a file or folder of labels, another folder of images, and the face classes.

    Without ``classes`` the class "face" is read, or the only one that there is.
    """

    path: Path
    images: Path | None = None
    classes: tuple[str, ...] = ()


@dataclass(slots=True)
class Imported:
    """Labels as facepaint has them, the file of each image by its name, and notes for the user."""

    images: list[LabelledImage] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """A format of labels that can be read and written.

    Attributes:
        matches: whether a file or folder is in this format, by its files.
        read: raises `InputError` for labels that cannot be used.
        write: writes the labels into a folder; returns notes on what the format cannot store.
        place: where an image belongs below that folder, by its name.
    """

    name: str
    matches: Callable[[Path], bool]
    read: Callable[[Source], Imported]
    write: Callable[[Path, Sequence[LabelledImage]], list[str]]
    place: Callable[[str], str]


def evenly(items: Sequence[_T], count: int) -> list[_T]:
    """At most ``count`` items, spread evenly from the first to the last."""
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def px(value: float) -> float:
    """A coordinate in px as files store it, to a ten thousandth, so that x + width is exact."""
    return round(value, 4) + 0.0  # no negative zero


def box_of(x: float, y: float, width: float, height: float) -> Box:
    """A box from its corner and size."""
    return px(x), px(y), px(x + width), px(y + height)


def corner_and_size(box: Box) -> tuple[float, float, float, float]:
    """The corner and size of a box."""
    x1, y1, x2, y2 = box
    return px(x1), px(y1), px(x2 - x1), px(y2 - y1)


def number(word: object, where: str) -> float:
    """A finite number from a file; raises `InputError` if it is none."""
    try:
        value = float(word)  # type: ignore[arg-type]  # anything else raises
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {word!r} is not a number")
    return value


def flagged_keypoints(face: LabelledFace) -> list[float] | None:
    """x, y, flag of the five landmarks as COCO stores them; None if none is labelled."""
    if face.landmarks is None:
        return _numbers(face.attributes.get(KEYPOINTS), 3 * len(LANDMARKS))
    all_visible: list[float] = [VISIBLE] * len(LANDMARKS)
    flags = _numbers(face.attributes.get(VISIBILITY), len(LANDMARKS)) or all_visible
    return keypoints_of(face.landmarks, flags)


def landmarks_of(keypoints: Sequence[float]) -> tuple[Landmarks | None, dict[str, Any]]:
    """Landmarks and attributes from x, y, flag of the five; landmarks only if all are labelled."""
    points = [
        (px(x), px(y), int(flag))
        for x, y, flag in zip(keypoints[0::3], keypoints[1::3], keypoints[2::3], strict=True)
    ]
    flags = [flag for *_, flag in points]
    if not any(flags):
        return None, {}
    if not all(flags):
        # Coordinates of unlabelled points are arbitrary; COCO asks for 0.
        rows = [point if point[2] else (0.0, 0.0, NOT_LABELLED) for point in points]
        return None, {KEYPOINTS: list(chain.from_iterable(rows))}
    values = chain.from_iterable(point[:2] for point in points)
    landmarks: Landmarks = tuple(values)  # type: ignore[assignment]  # ten numbers
    is_visible = flags == [VISIBLE] * len(flags)
    return landmarks, {} if is_visible else {VISIBILITY: flags}


def without_landmarks(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes that are not about landmarks."""
    return {key: value for key, value in attributes.items() if key not in (VISIBILITY, KEYPOINTS)}


def _numbers(values: object, length: int) -> list[float] | None:
    """An attribute that is a list of so many numbers; it may come from any file."""
    if not isinstance(values, list) or len(values) != length:
        return None
    return list(values) if all(isinstance(value, int | float) for value in values) else None


def chosen_classes(names: Iterable[str], source: Source) -> set[str]:
    """Which of these classes are faces.

    Raises:
        InputError: a class of ``source`` is missing, or no choice is certain.
    """
    names = list(dict.fromkeys(names))
    missing = [name for name in source.classes if name not in names]
    if missing:
        raise InputError(
            f"{source.path} has no class {', '.join(missing)}; it has {', '.join(names) or 'none'}"
        )
    if source.classes:
        return set(source.classes)
    faces = {name for name in names if name.casefold() == FACE}
    if not faces and len(names) > 1:
        raise InputError(
            f"{source.path} has the classes {', '.join(names)}; name those that are faces with "
            "--class"
        )
    return faces or set(names)


class Finder:
    """Finds image files below some folders by the names that labels give them."""

    def __init__(self, roots: Iterable[Path | None]) -> None:
        self._roots = [root for root in roots if root is not None and root.is_dir()]
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, name: str, where: str) -> Path | None:
        """The file at this path below one of the folders, else the only one of that file name.

        Raises:
            InputError: the name leads out of the folder.
        """
        check_image_name(name, where)
        for root in self._roots:
            if (root / name).is_file():
                return root / name
        if self._by_name is None:
            # Only now: walking all folders takes long, and most labels give the right paths.
            self._by_name = {}
            for path in images_below(self._roots):
                self._by_name.setdefault(path.name, []).append(path)
        matches = self._by_name.get(PurePosixPath(name).name, [])
        return matches[0] if len(matches) == 1 else None


def images_below(roots: Iterable[Path]) -> Iterator[Path]:
    """Every image file below the folders, by its suffix, once and in order."""
    visited: set[Path] = set()
    for root in roots:
        for path in sorted(root.rglob("*")):
            real = path.resolve()
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and real not in visited:
                visited.add(real)
                yield path


def read_text(path: Path) -> str:
    """Read a file of labels; raises `InputError`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} cannot be read: {exc}") from exc
