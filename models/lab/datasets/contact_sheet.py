"""`facepaint detectors sheet`: labelled images in one PNG, to see at a glance whether labels are
right."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facepaint.detectors.labels import LabelledFace, LabelledImage, Landmarks, read_labels
from facepaint.errors import InputError
from facepaint.files import write_bytes
from models.detector import Pixels
from models.lab.datasets.common import evenly
from models.lab.evaluation.detections import read_image

Colour = tuple[int, int, int]
"""B, G, R."""

FACE, IGNORED = (80, 220, 60), (150, 150, 150)

RIGHT, LEFT, MIDDLE = (60, 60, 255), (255, 160, 40), (0, 220, 255)
"""Landmarks of the subject's right side are red, of the left blue, the nose yellow: exchanged sides
are easy to see."""

POINT_COLOURS = (RIGHT, LEFT, MIDDLE, RIGHT, LEFT)

BACKGROUND, TEXT = (32, 32, 32), (230, 230, 230)
GAP, CAPTION = 6, 16
FONT, FONT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.4

AROUND = 0.35
"""Shares of a face's size that are shown around a single face on each side."""

SCORE_PX = 24
"""Width from which a drawn box has room for its score."""


@dataclass(frozen=True, slots=True)
class Layout:
    """``columns`` cells a row, each at most ``cell`` px wide and high; ``most`` cells in all."""

    columns: int = 6
    cell: int = 240
    most: int = 48


def save_contact_sheet(data: Path, target: Path, layout: Layout, *, faces: bool = False) -> int:
    """Draw a folder's labelled images, or its faces enlarged, into a PNG; returns the number of
    cells.

    Boxes are green, those of ignored faces grey, with the score of automatic labels; landmarks have
    the `POINT_COLOURS`.

    Raises:
        InputError: there are no labels, nothing to draw, or the file cannot be written.
        UnreadableMedia: an image is missing or cannot be decoded.
    """
    images = read_labels(data)
    cells = list((_face_cells if faces else _image_cells)(data, images, layout))
    if not cells:
        raise InputError(f"{data} has no {'faces' if faces else 'images'} to draw")
    encoded = cv2.imencode(".png", _sheet(cells, layout))[1]
    try:
        write_bytes(target, encoded.tobytes())
    except OSError as exc:
        raise InputError(f"{target} cannot be written: {exc.strerror}") from exc
    return len(cells)


def draw_labels(pixels: Pixels, faces: Iterable[LabelledFace], scale: float) -> Pixels:
    """Scale an image h x w x 3 in B, G, R and draw boxes and landmarks, in lines of one width."""
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    drawn = np.asarray(cv2.resize(pixels, (width, height), interpolation=method), np.uint8)
    for face in faces:
        _draw_face(drawn, face, scale)
    return drawn


def _draw_face(drawn: Pixels, face: LabelledFace, scale: float) -> None:
    x1, y1, x2, y2 = (round(value * scale) for value in face.box)
    colour = IGNORED if face.ignore else FACE
    cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 1, cv2.LINE_AA)
    if face.landmarks:
        _draw_landmarks(drawn, face.landmarks, scale, radius=1 if x2 - x1 < 40 else 2)
    if face.score is not None and x2 - x1 >= SCORE_PX:
        _write(drawn, f"{face.score:.2f}", x1, max(y1 - 3, 9), colour)


def _draw_landmarks(drawn: Pixels, landmarks: Landmarks, scale: float, radius: int) -> None:
    for x, y, colour in zip(landmarks[::2], landmarks[1::2], POINT_COLOURS, strict=True):
        centre = (round(x * scale), round(y * scale))
        # The black rim keeps a point visible on any skin.
        cv2.circle(drawn, centre, radius + 1, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(drawn, centre, radius, colour, -1, cv2.LINE_AA)


def _image_cells(
    data: Path, images: Sequence[LabelledImage], layout: Layout
) -> Iterator[tuple[Pixels, str]]:
    for image in evenly(images, layout.most):
        pixels = read_image(data, image)
        drawn = draw_labels(pixels, image.faces, layout.cell / max(pixels.shape[:2]))
        yield drawn, f"{image.image} ({len(image.faces)})"


def _face_cells(
    data: Path, images: Sequence[LabelledImage], layout: Layout
) -> Iterator[tuple[Pixels, str]]:
    all_faces = [(image, face) for image in images for face in image.faces]
    opened: tuple[str, Pixels] | None = None
    for image, face in evenly(all_faces, layout.most):
        # The faces of one image follow each other, so it is decoded once.
        if opened is None or opened[0] != image.image:
            opened = image.image, read_image(data, image)
        left, top, right, bottom = _surroundings(face)
        cut = opened[1][top:bottom, left:right]
        if not cut.size:
            continue
        x1, y1, x2, y2 = face.box
        score = "" if face.score is None else f" {face.score:.2f}"
        caption = f"{image.image} {x2 - x1:.0f}x{y2 - y1:.0f}{score}"
        scale = layout.cell / max(cut.shape[:2])
        yield draw_labels(cut, [_moved(face, left, top)], scale), caption


def _surroundings(face: LabelledFace) -> tuple[int, int, int, int]:
    """A square around a face, in whole px, not beyond the top and left border."""
    x1, y1, x2, y2 = face.box
    half = max(x2 - x1, y2 - y1, 1.0) * (0.5 + AROUND)
    left, top = max(0, round((x1 + x2) / 2 - half)), max(0, round((y1 + y2) / 2 - half))
    return left, top, max(left + 1, round(left + 2 * half)), max(top + 1, round(top + 2 * half))


def _moved(face: LabelledFace, left: int, top: int) -> LabelledFace:
    """The face in a cut that starts at ``left``, ``top``; the caption has its score."""
    x1, y1, x2, y2 = face.box
    box = (x1 - left, y1 - top, x2 - left, y2 - top)
    if face.landmarks is None:
        return LabelledFace(box, ignore=face.ignore)
    pairs = zip(face.landmarks[::2], face.landmarks[1::2], strict=True)
    landmarks = tuple(value for x, y in pairs for value in (x - left, y - top))
    return LabelledFace(box, landmarks, ignore=face.ignore)  # type: ignore[arg-type]  # ten numbers


def _sheet(cells: Sequence[tuple[Pixels, str]], layout: Layout) -> Pixels:
    columns = min(layout.columns, len(cells))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(pixels.shape[0] for pixels, _ in row) + CAPTION + GAP for row in rows]
    shape = (sum(heights) + GAP, columns * (layout.cell + GAP) + GAP, 3)
    sheet = np.full(shape, BACKGROUND, np.uint8)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for place, (pixels, caption) in enumerate(row):
            left = GAP + place * (layout.cell + GAP)
            sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
            _write(sheet, _fitted(caption, layout.cell), left, top + height - GAP - 4, TEXT)
        top += height
    return sheet


def _write(pixels: Pixels, text: str, x: int, y: int, colour: Colour) -> None:
    """Write a text on black with its lower left corner at x, y."""
    (width, height), below = cv2.getTextSize(text, FONT, FONT_SIZE, 1)
    cv2.rectangle(pixels, (x, y - height), (x + width, y + below), BACKGROUND, -1)
    cv2.putText(pixels, text, (x, y), FONT, FONT_SIZE, colour, 1, cv2.LINE_AA)


def _fitted(text: str, width: int) -> str:
    """A text in letters that OpenCV has; too long ones lose their beginning, because names differ
    at the end."""
    text = text.encode("ascii", "replace").decode()
    shown = text
    while cv2.getTextSize(shown, FONT, FONT_SIZE, 1)[0][0] > width and len(text) > 1:
        text = text[1:]
        shown = f"...{text}"
    return shown
