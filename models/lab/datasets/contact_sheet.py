"""A contact sheet of labelled pictures: one PNG to see at a glance whether labels are right."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from facepaint.detectors.labels import LabelledFace, LabelledImage, read_labels
from facepaint.errors import InputError
from facepaint.files import write_bytes
from models.detector import Pixels
from models.lab.evaluation.detections import read_picture

FACE, IGNORED = (80, 220, 60), (150, 150, 150)
RIGHT, LEFT, MIDDLE = (60, 60, 255), (255, 160, 40), (0, 220, 255)
"""B, G, R: landmarks of the subject's right side red, of the left blue, the nose yellow: mixed-up
sides are seen."""

POINT_COLOURS = (RIGHT, LEFT, MIDDLE, RIGHT, LEFT)

BACKGROUND, WRITING = (32, 32, 32), (230, 230, 230)
GAP, CAPTION = 6, 16
FONT, FONT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.4

AROUND = 0.35
"""How much of a face's size is shown around it on each side, where faces are shown by
themselves."""


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Layout:
    """``columns`` cells a row, each ``cell`` px wide and high at most; ``most`` cells in all,
    spread over the data."""

    columns: int = 6
    cell: int = 240
    most: int = 48


def save_contact_sheet(data: Path, target: Path, layout: Layout, *, faces: bool = False) -> int:
    """Draw a folder's labelled pictures, or its faces enlarged, into a PNG; gives the number of
    cells drawn.

    Boxes are green, of faces to be ignored grey, with the score of automatic labels; see
    `POINT_COLOURS`.

    Raises:
        InputError: there are no labels, or nothing to draw; or the file cannot be written.
        UnreadableMedia: a picture is missing or cannot be decoded.
    """
    pictures = read_labels(data)
    cells = list((_faces if faces else _pictures)(data, pictures, layout))
    if not cells:
        raise InputError(f"{data} has no {'faces' if faces else 'pictures'} to draw")
    encoded = cv2.imencode(".png", _sheet(cells, layout))[1]
    try:
        write_bytes(target, encoded.tobytes())
    except OSError as exc:
        raise InputError(f"{target} cannot be written: {exc.strerror}") from exc
    return len(cells)


def draw_labels(pixels: Pixels, faces: Iterable[LabelledFace], scale: float) -> Pixels:
    """A picture h x w x 3 in B, G, R in another size with its boxes and landmarks drawn in lines of
    one width."""
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    drawn = np.asarray(cv2.resize(pixels, (width, height), interpolation=kind), np.uint8)
    for face in faces:
        x1, y1, x2, y2 = (round(value * scale) for value in face.box)
        colour = IGNORED if face.ignore else FACE
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 1, cv2.LINE_AA)
        radius = 1 if x2 - x1 < 40 else 2
        for place, point_colour in enumerate(POINT_COLOURS if face.landmarks else ()):
            assert face.landmarks is not None
            x, y = (round(value * scale) for value in face.landmarks[2 * place : 2 * place + 2])
            cv2.circle(drawn, (x, y), radius + 1, (0, 0, 0), -1, cv2.LINE_AA)
            cv2.circle(drawn, (x, y), radius, point_colour, -1, cv2.LINE_AA)
        if face.score is not None and x2 - x1 >= 24:
            _write(drawn, f"{face.score:.2f}", x1, max(y1 - 3, 9), colour)
    return drawn


def _pictures(
    data: Path, pictures: Sequence[LabelledImage], layout: Layout
) -> Iterator[tuple[Pixels, str]]:
    for picture in _spread(pictures, layout.most):
        pixels = read_picture(data, picture)
        drawn = draw_labels(pixels, picture.faces, layout.cell / max(pixels.shape[:2]))
        yield drawn, f"{picture.image} ({len(picture.faces)})"


def _faces(
    data: Path, pictures: Sequence[LabelledImage], layout: Layout
) -> Iterator[tuple[Pixels, str]]:
    all_faces = [(picture, face) for picture in pictures for face in picture.faces]
    opened: tuple[str, Pixels] | None = None
    for picture, face in _spread(all_faces, layout.most):
        if opened is None or opened[0] != picture.image:
            opened = picture.image, read_picture(data, picture)
        pixels = opened[1]
        x1, y1, x2, y2 = face.box
        half = max(x2 - x1, y2 - y1, 1.0) * (0.5 + AROUND)
        left, top = (max(0, round((low + high) / 2 - half)) for low, high in ((x1, x2), (y1, y2)))
        right, bottom = (max(start + 1, round(start + 2 * half)) for start in (left, top))
        cut = pixels[top:bottom, left:right]
        if not cut.size:
            continue
        moved = _moved(face, left, top)
        said = (
            f"{picture.image} "
            f"{x2 - x1:.0f}x{y2 - y1:.0f}{'' if face.score is None else f' {face.score:.2f}'}"
        )
        yield draw_labels(cut, [moved], layout.cell / max(cut.shape[:2])), said


def _moved(face: LabelledFace, left: int, top: int) -> LabelledFace:
    """The face in a picture cut out at ``left``, ``top``, without its score, which the caption
    tells."""
    x1, y1, x2, y2 = face.box
    points = face.landmarks and tuple(
        value - (top if place % 2 else left) for place, value in enumerate(face.landmarks)
    )
    return LabelledFace((x1 - left, y1 - top, x2 - left, y2 - top), points, ignore=face.ignore)  # type: ignore[arg-type]


def _sheet(cells: Sequence[tuple[Pixels, str]], layout: Layout) -> Pixels:
    columns = min(layout.columns, len(cells))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(pixels.shape[0] for pixels, _ in row) + CAPTION + GAP for row in rows]
    sheet = np.full(
        (sum(heights) + GAP, columns * (layout.cell + GAP) + GAP, 3), BACKGROUND, np.uint8
    )
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for place, (pixels, caption) in enumerate(row):
            left = GAP + place * (layout.cell + GAP)
            sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
            _write(sheet, _fitted(caption, layout.cell), left, top + height - GAP - 4, WRITING)
        top += height
    return sheet


def _spread(items: Sequence[_T], most: int) -> list[_T]:
    """So many of them at most, evenly from all."""
    count = min(most, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def _write(pixels: Pixels, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    """A text on black, its lower left corner at x, y."""
    (width, height), below = cv2.getTextSize(text, FONT, FONT_SIZE, 1)
    cv2.rectangle(pixels, (x, y - height), (x + width, y + below), BACKGROUND, -1)
    cv2.putText(pixels, text, (x, y), FONT, FONT_SIZE, colour, 1, cv2.LINE_AA)


def _fitted(text: str, width: int) -> str:
    """In letters that OpenCV has; the end of a text that is too long says more than its
    beginning."""
    text = text.encode("ascii", "replace").decode()
    shown = text
    while cv2.getTextSize(shown, FONT, FONT_SIZE, 1)[0][0] > width and len(text) > 1:
        text = text[1:]
        shown = f"...{text}"
    return shown
