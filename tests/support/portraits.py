"""A folder of labelled images with ground truth: variants of the public-domain portrait of Eileen
Collins."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image

from facepaint.detectors.labels import LabelledFace, LabelledImage, image_path, write_labels
from facepaint.records.faces import MIRRORED

BOX = (178.0, 60.0, 272.0, 180.0)
POINTS = (203.5, 101.5, 248.5, 103.0, 225.0, 126.0, 202.5, 142.5, 244.0, 142.0)
"""The face in `skimage.data.astronaut`, labelled by hand, to a px or three."""

LEFT_ROOM = 188
"""Px of plain grey to the left of the portrait in the third image."""


def write_portraits(folder: Path) -> list[LabelledImage]:
    """Three images: the portrait; mirrored and cropped; with a grey margin, its face ignored."""
    portrait: npt.NDArray[np.uint8] = skimage.data.astronaut()
    wide = np.pad(portrait, ((0, 0), (LEFT_ROOM, 0), (0, 0)), constant_values=128)
    right = (BOX[0] + LEFT_ROOM, BOX[1], BOX[2] + LEFT_ROOM, BOX[3])
    images = {
        "b.png": (portrait, LabelledFace(BOX, POINTS)),
        "a.png": (portrait[:400, ::-1], mirrored_face(512)),
        "c.png": (wide, LabelledFace(right, ignore=True)),
    }
    for name, (pixels, _) in images.items():
        path = image_path(folder, LabelledImage(name))
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(pixels).save(path)
    labels = [LabelledImage(name, faces=(face,)) for name, (_, face) in images.items()]
    write_labels(folder, labels)
    return labels


def mirrored_face(width: int) -> LabelledFace:
    """The face in a mirrored image."""
    x1, y1, x2, y2 = BOX
    points = np.array(POINTS).reshape(5, 2)[list(MIRRORED)]
    points[:, 0] = width - points[:, 0]
    landmarks = tuple(points.ravel().tolist())
    return LabelledFace((width - x2, y1, width - x1, y2), landmarks)
