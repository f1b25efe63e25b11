"""Writes COCO's JSON for objects with keypoints: see https://cocodataset.org/#format-data."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

NOT_LABELLED, HIDDEN, VISIBLE = 0, 1, 2
"""The flags of a keypoint."""

CATEGORY = 1
"""The id of the only category, "face"."""

Row = dict[str, Any]


def face_category(keypoints: Sequence[str]) -> Row:
    """The category of faces whose keypoints have these names."""
    return {"id": CATEGORY, "name": "face", "keypoints": list(keypoints), "skeleton": []}


def keypoints_of(landmarks: Sequence[float], flags: Sequence[float]) -> list[float]:
    """x, y, flag of each landmark, from x, y of each and their flags."""
    points = zip(landmarks[::2], landmarks[1::2], flags, strict=True)
    return [value for point in points for value in point]


def write_coco(file: TextIO, head: Row, images: Iterable[tuple[Row, Iterable[Row]]]) -> None:
    """Write images with their annotations as they come, so that memory does not grow.

    Args:
        head: the keys before the images, such as ``info`` and ``categories``.
        images: for each image its row and those of its annotations, without ids: both are numbered
            from 1.
    """
    count = 0
    # Annotations follow the last image, so they are kept in a file until then.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as annotations:
        file.write(f'{json.dumps(head)[:-1]}, "images": [')
        for number, (image, rows) in enumerate(images, 1):
            file.write(f"{_separator(number)}{json.dumps({'id': number, **image})}")
            for row in rows:
                count += 1
                ids = {"id": count, "image_id": number, "category_id": CATEGORY}
                annotations.write(f"{_separator(count)}{json.dumps({**ids, **row})}")
        annotations.seek(0)
        file.write('\n], "annotations": [')
        shutil.copyfileobj(annotations, file)
    file.write("\n]}\n")


def _separator(number: int) -> str:
    """What goes before the row of that number."""
    return "\n" if number == 1 else ",\n"
