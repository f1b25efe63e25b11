"""How often a turned face is visible: python -m benchmarks.turned FOLDER [--without-faces FOLDER]

Prints the table of docs/privacy.md. FOLDER has labelled images (`facepaint.detectors.labels`). They
are turned by 0, 90, 180 and 270 degrees and filled with one colour. A face whose sides are both at
least 12 % of the longer side of its image is visible if less than 60 % of its middle is covered.
With a folder of images without faces, it also counts the faces that are found there.
"""

import argparse
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facepaint.detectors.labels import image_path, read_labels
from facepaint.looks.parser import parse_look
from facepaint.records.faces import Box
from facepaint.records.job import DetectorSpec, ImageJob, OutputProfile, SourceFile
from models.providers import Runtime
from tasks.images import detect_image, paint_image
from tasks.tracking.tracker import faces_of_image

LARGE = 0.12
"""A side of a face that counts, as a share of the longer side of its image."""

MIDDLE = 0.6
"""The middle of a box, as a share of its sides."""

COVERED = 0.6
"""The share of the middle that must be covered."""

COLOUR = (0, 255, 0)
LOOK = parse_look(["fill:colour=#00ff00"])
JOB = ImageJob(
    id="turned",
    source=SourceFile("images", 0, ""),
    created=datetime.fromtimestamp(0, UTC),
    detector=DetectorSpec(),
    output=OutputProfile("pillow"),
    images=("image.png",),
)

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image and its large faces."""

    pixels: Pixels
    faces: tuple[Box, ...]


def labelled_images(folder: Path) -> Iterator[Labelled]:
    """The images of a folder that have large faces."""
    for label in read_labels(folder):
        with Image.open(image_path(folder, label)) as file:
            pixels = np.asarray(file.convert("RGB"))
        least = LARGE * max(pixels.shape[:2])
        boxes = (face.box for face in label.faces)
        large = tuple(b for b in boxes if min(b[2] - b[0], b[3] - b[1]) >= least)
        if large:
            yield Labelled(pixels, large)


def visible_faces(image: Labelled, turn: int) -> int:
    """How many faces are visible in the redacted image, turned counterclockwise by quarters."""
    data = _png(np.rot90(image.pixels, turn))
    result = paint_image(LOOK, 0, data, detect_image(JOB, 0, data, Runtime("cpu", 2)), {})
    painted = np.rot90(np.asarray(Image.open(io.BytesIO(result.data)).convert("RGB")), -turn)
    return sum(not _is_covered(painted, face) for face in image.faces)


def _is_covered(painted: Pixels, face: Box) -> bool:
    x1, y1, x2, y2 = face
    away_x, away_y = (x2 - x1) * (1 - MIDDLE) / 2, (y2 - y1) * (1 - MIDDLE) / 2
    rows = slice(round(y1 + away_y), round(y2 - away_y))
    columns = slice(round(x1 + away_x), round(x2 - away_x))
    # Conversion to Y'CbCr and back rounds.
    distance = np.abs(painted[rows, columns].astype(int) - COLOUR).max(axis=2)
    return bool((distance < 8).mean() >= COVERED)


def false_positives(folder: Path) -> tuple[float, float]:
    """Redacted faces and stickers in each image of a folder without faces, on average."""
    counts = []
    for label in read_labels(folder):
        faces = detect_image(JOB, 0, image_path(folder, label).read_bytes(), Runtime("cpu", 2))
        counts.append([len(faces_of_image(faces, redacts, None)) for redacts in (True, False)])
    redacted, stickers = np.mean(counts, axis=0).tolist()
    return redacted, stickers


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without-faces", type=Path)
    arguments = parser.parse_args()
    images = list(labelled_images(arguments.folder))
    total = sum(len(image.faces) for image in images)
    print("| degrees | visible faces |\n|---|---|")
    for turn in range(4):
        visible = sum(visible_faces(image, turn) for image in images)
        print(f"| {90 * turn} | {visible} of {total} |")
    if arguments.without_faces:
        redacted, stickers = false_positives(arguments.without_faces)
        print(f"\nfalse positives per image: {redacted:.3f} redacted, {stickers:.3f} stickers")


if __name__ == "__main__":
    main()
