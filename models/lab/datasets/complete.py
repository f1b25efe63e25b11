"""Restores what another tool dropped from labels, because no tool keeps everything."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from facepaint.detectors.labels import LabelledFace, LabelledImage
from models.boxes import Floats, areas, intersections, iou
from models.lab.datasets.common import SETS

SAME_FACE_IOU = 0.5

UNMOVED_PX = 1.0

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""The prefix that Label Studio gives the names of uploaded images."""


def completed(
    images: Sequence[LabelledImage], originals: Iterable[LabelledImage]
) -> list[LabelledImage]:
    """Corrected labels with what only the originals have: landmarks, sets, attributes, names.

    Corrected values are never changed, with one exception: a box that is the extent of the
    landmarks, as tools with skeletons export it, becomes the original box. A face is matched with
    the original that it overlaps most, from IoU 0.5; deleted faces stay deleted. The score of a box
    that was moved is dropped.
    """
    by_image = {image.image: image for image in originals}
    by_name: dict[str, list[LabelledImage]] = {}
    for original in by_image.values():
        by_name.setdefault(PurePosixPath(original.image).name, []).append(original)
    result = []
    for image in images:
        name = PurePosixPath(image.image).name
        # Tools drop folders, and Label Studio adds a prefix.
        namesakes = by_name.get(name) or by_name.get(_UPLOADED.sub("", name), [])
        match = by_image.get(image.image) or (namesakes[0] if len(namesakes) == 1 else None)
        result.append(image if match is None else _completed_image(image, match))
    return result


def is_extent_of_landmarks(face: LabelledFace) -> bool:
    """Whether the box only encloses the landmarks, as CVAT exports a skeleton."""
    if face.landmarks is None:
        return False
    xs, ys = face.landmarks[0::2], face.landmarks[1::2]
    return not _is_moved((min(xs), min(ys), max(xs), max(ys)), face.box)


def _is_moved(box: Sequence[float], other: Sequence[float]) -> bool:
    return any(abs(a - b) > UNMOVED_PX for a, b in zip(box, other, strict=True))


def _completed_image(image: LabelledImage, original: LabelledImage) -> LabelledImage:
    faces = list(image.faces)
    for row, column in _matches(image.faces, original.faces):
        faces[row] = _completed_face(faces[row], original.faces[column])
    return replace(
        image,
        image=original.image,
        width=image.width or original.width,
        height=image.height or original.height,
        faces=tuple(faces),
        attributes={**original.attributes, **image.attributes},
    )


def _matches(
    faces: Sequence[LabelledFace], originals: Sequence[LabelledFace]
) -> Iterator[tuple[int, int]]:
    """Pairs of corrected and original faces, the best overlap first, each face once."""
    overlaps = _overlaps(faces, originals)
    while overlaps.size and overlaps.max() >= SAME_FACE_IOU:
        row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        yield int(row), int(column)
        # Each face is matched at most once.
        overlaps[row] = overlaps[:, column] = 0


def _overlaps(faces: Sequence[LabelledFace], originals: Sequence[LabelledFace]) -> Floats:
    """How well corrected faces match original ones, 0 to 1: n x m."""
    boxes, others = (
        np.array([face.box for face in some], np.float64).reshape(-1, 4)
        for some in (faces, originals)
    )
    overlaps = np.array(iou(boxes, others))
    skeletons = np.array([is_extent_of_landmarks(face) for face in faces], bool)
    # A face is larger than the extent of its landmarks: the share of that inside counts.
    inside = intersections(boxes, others) / np.maximum(areas(boxes), 1e-9)[:, None]
    overlaps[skeletons] = inside[skeletons]
    return overlaps


def _completed_face(face: LabelledFace, original: LabelledFace) -> LabelledFace:
    box = original.box if is_extent_of_landmarks(face) else face.box
    score = face.score
    # The score was given to the original box; it does not apply to a corrected one.
    if score is None and not _is_moved(box, original.box):
        score = original.score
    sets = {name: getattr(original, name) for name in SETS if getattr(face, name) is None}
    return replace(
        face,
        box=box,
        landmarks=face.landmarks or original.landmarks,
        ignore=face.ignore or original.ignore,
        score=score,
        attributes={**original.attributes, **face.attributes},
        **sets,
    )
