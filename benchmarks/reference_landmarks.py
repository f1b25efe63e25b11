"""Reference landmarks for the labelled faces of a folder: python -m benchmarks.reference_landmarks
DATA OUT

Boxes are labelled by hand far more often than landmarks, so that a detector's landmarks have
nothing to be measured against. This makes a reference from two fitters that share neither data nor
method and are no detectors: MediaPipe's face mesh, on crops turned until the face in them stands
upright, so that tilted heads are fitted as well as others; and dlib's 68 points, on the crop so
turned.

A face gets landmarks, the mean of the two, where both say the same to within `AGREEMENT` of the
face's unit (see `benchmarks.landmark_fitters.face_unit`); where they don't, none. Faces under
`SMALLEST_PX` get none. OUT/labels.jsonl has the boxes and sets of DATA's own labels, unchanged and
in their order; OUT/images links to DATA's pictures. The faces with landmarks are thus the clearer
ones, and profiles are rare among them: an error measured on them is not one of all faces.

Run with Python 3.11, mediapipe 0.10.14 (only the weights in its wheel are read), ai-edge-litert
2.3.0, dlib-bin 20.0.1.post1, face_recognition_models 0.3.0, OpenCV 5.0 and NumPy 2.4, in an
environment of its own:

    pip install --no-deps mediapipe==0.10.14 face_recognition_models==0.3.0
    pip install ai-edge-litert==2.3.0 dlib-bin==20.0.1.post1 opencv-python-headless numpy pillow
    pydantic
"""

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from benchmarks.landmark_fitters import FaceMesh, Pixels, ShapePredictor, disagreement, roll
from facepaint.detectors.labels import (
    IMAGES,
    LabelledFace,
    LabelledPicture,
    Landmarks,
    picture_path,
    read_labels,
    write_labels,
)
from facepaint.errors import FacepaintError, InputError

SMALLEST_PX = 24
"""Longer side of a face's box in px; below it the two fitters guess from their mean faces."""

AGREEMENT = 0.12
"""Mean distance of the five points of the two fitters, in face units, up to which a face gets
landmarks."""


def main() -> int:
    """Label a folder and print how many faces got landmarks, and how far the fitters stood
    apart."""
    parser = argparse.ArgumentParser(
        description="Reference landmarks for the labelled faces of a folder."
    )
    parser.add_argument("data", type=Path, help="folder with labels.jsonl and images/")
    parser.add_argument(
        "out", type=Path, help="folder to write labels.jsonl to, with a link to the pictures"
    )
    arguments = parser.parse_args()
    try:
        pictures = read_labels(arguments.data)
        reference = Reference()
        labelled = [
            reference.label(picture, picture_path(arguments.data, picture)) for picture in pictures
        ]
        write_labels(arguments.out, labelled)
    except FacepaintError as exc:
        print(exc, file=sys.stderr)
        return exc.exit_code
    if not (arguments.out / IMAGES).exists():
        (arguments.out / IMAGES).symlink_to(
            (arguments.data / IMAGES).resolve(), target_is_directory=True
        )
    print(reference.summary())
    return 0


class Reference:
    """Both fitters, and what was seen of their agreement so far."""

    def __init__(self) -> None:
        self._mesh, self._predictor = FaceMesh(), ShapePredictor()
        self._tried = 0
        self._apart: list[float] = []
        self._tilts: list[float] = []

    def label(self, picture: LabelledPicture, path: Path) -> LabelledPicture:
        """A picture with landmarks for the faces both fitters agree on; those its labels had are
        dropped.

        Raises:
            InputError: the picture cannot be read.
        """
        pixels = cv2.imread(str(path))
        if pixels is None:
            raise InputError(
                f"{path} cannot be read as a picture; take its line from the labels, or restore it"
            )
        faces = [replace(face, landmarks=self._landmarks(pixels, face)) for face in picture.faces]
        return replace(picture, faces=tuple(faces))

    def summary(self) -> str:
        """Counts and agreement, in three lines."""
        found, kept, apart = len(self._apart), len(self._tilts), self._apart or [math.nan]
        beyond = ", ".join(
            f"{sum(abs(one) > limit for one in self._tilts)} beyond {limit}"
            for limit in (15, 30, 60)
        )
        return (
            f"{kept} faces have landmarks, of {self._tried} of {SMALLEST_PX} px and more; the "
            f"mesh found {found}"
            f"\nfitters apart, in face units: median {np.median(apart):.3f}, 90 % "
            f"{np.quantile(apart, 0.9):.3f};"
            f" kept where up to {AGREEMENT}"
            f"\ntilted by more than so many degrees: {beyond}"
        )

    def _landmarks(self, pixels: Pixels, face: LabelledFace) -> Landmarks | None:
        x1, y1, x2, y2 = face.box
        if face.ignore or max(x2 - x1, y2 - y1) < SMALLEST_PX:
            return None
        self._tried += 1
        mesh = self._mesh.fit(pixels, face.box)
        if mesh is None:
            return None
        other = self._predictor.fit(pixels, face.box, roll(mesh))
        self._apart.append(disagreement(mesh, other))
        if self._apart[-1] > AGREEMENT:
            return None
        self._tilts.append(roll(mesh))
        return cast(
            Landmarks, tuple(round(float(value), 2) for value in ((mesh + other) / 2).ravel())
        )


if __name__ == "__main__":
    sys.exit(main())
