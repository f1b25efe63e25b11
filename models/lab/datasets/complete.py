"""Labels that come back from another tool, completed by what they were before it: no tool keeps
everything."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from facepaint.detectors.labels import LabelledFace, LabelledImage
from facepaint.records.faces import Box
from models.lab.datasets.common import SETS

SAME_FACE_IOU = 0.5

UNMOVED_PX = 1.0

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of uploaded pictures."""


def completed(
    pictures: Sequence[LabelledImage], before: Iterable[LabelledImage]
) -> list[LabelledImage]:
    """Corrected labels with what only the earlier ones say: landmarks, sets, attributes, names as
    they were.

    What the corrected labels say is never changed, with one exception: a box that is no more than
    the extent of the landmarks, as tools with skeletons export it, becomes the face's earlier box.
    A face is the earlier one that it overlaps most, from IoU 0.5; deleted faces stay deleted. The
    score of a box that was moved is dropped.
    """
    known = {picture.image: picture for picture in before}
    by_name: dict[str, list[str]] = {}
    for image in known:
        by_name.setdefault(PurePosixPath(image).name, []).append(image)
    done = []
    for picture in pictures:
        name = PurePosixPath(picture.image).name
        namesakes = by_name.get(name) or by_name.get(_UPLOADED.sub("", name), [])
        earlier = known.get(picture.image) or (known[namesakes[0]] if len(namesakes) == 1 else None)
        done.append(picture if earlier is None else _picture(picture, earlier))
    return done


def is_extent_of_landmarks(face: LabelledFace) -> bool:
    """Whether a box is just what encloses the landmarks, as CVAT exports a skeleton."""
    if face.landmarks is None:
        return False
    xs, ys = face.landmarks[0::2], face.landmarks[1::2]
    extent = (min(xs), min(ys), max(xs), max(ys))
    return all(abs(one - other) <= UNMOVED_PX for one, other in zip(extent, face.box, strict=True))


def overlap(one: Box, other: Box) -> float:
    """Intersection over union; 0 of boxes without area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared) if shared else 0.0


def _picture(picture: LabelledImage, before: LabelledImage) -> LabelledImage:
    pairs = sorted(
        (
            (_likeness(face, earlier), place, at)
            for place, face in enumerate(picture.faces)
            for at, earlier in enumerate(before.faces)
        ),
        reverse=True,
    )
    faces, free = list(picture.faces), set(range(len(before.faces)))
    done: set[int] = set()
    for likeness, place, at in pairs:
        if likeness >= SAME_FACE_IOU and place not in done and at in free:
            faces[place] = _face(faces[place], before.faces[at])
            done.add(place)
            free.remove(at)
    return replace(
        picture,
        image=before.image,
        width=picture.width or before.width,
        height=picture.height or before.height,
        faces=tuple(faces),
        attributes={**before.attributes, **picture.attributes},
    )


def _likeness(face: LabelledFace, earlier: LabelledFace) -> float:
    if is_extent_of_landmarks(face):
        x1, y1, x2, y2 = face.box
        inner = (
            max(x1, earlier.box[0]),
            max(y1, earlier.box[1]),
            min(x2, earlier.box[2]),
            min(y2, earlier.box[3]),
        )
        # How much of the landmarks' extent lies in the earlier face: the face is larger than that.
        return overlap(inner, face.box) if inner[0] < inner[2] and inner[1] < inner[3] else 0.0
    return overlap(face.box, earlier.box)


def _face(face: LabelledFace, earlier: LabelledFace) -> LabelledFace:
    box = earlier.box if is_extent_of_landmarks(face) else face.box
    moved = any(abs(one - other) > UNMOVED_PX for one, other in zip(box, earlier.box, strict=True))
    score = face.score if face.score is not None or moved else earlier.score
    sets = {name: getattr(earlier, name) for name in SETS if getattr(face, name) is None}
    return replace(
        face,
        box=box,
        landmarks=face.landmarks or earlier.landmarks,
        ignore=face.ignore or earlier.ignore,
        score=score,
        attributes={**earlier.attributes, **face.attributes},
        **sets,
    )
