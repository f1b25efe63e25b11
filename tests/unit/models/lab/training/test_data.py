"""Labelled folders as batches."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facepaint.detectors.labels import LabelledFace, LabelledImage, image_path
from facepaint.errors import InputError, UsageError
from tests.support.programs import need_torch

need_torch()

from models.lab.training.augment import Augmentation, Sample  # noqa: E402
from models.lab.training.data import Folder, Images, make_batch  # noqa: E402

IMAGE = LabelledImage("a.png", 60, 40, (LabelledFace((10.0, 10.0, 30.0, 30.0)),))


def write(folder: Path, image: LabelledImage, data: bytes) -> None:
    path = image_path(folder, image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def png(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def test_a_folder_may_have_a_weight() -> None:
    assert Folder.parse("a/b") == Folder(Path("a/b"))
    assert Folder.parse("a=b=2.5") == Folder(Path("a=b"), 2.5)
    assert Folder.parse("a=b") == Folder(Path("a=b"))


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf"])
def test_a_weight_that_is_not_positive_is_refused(weight: str) -> None:
    with pytest.raises(UsageError, match=f"a={weight}: the weight of a folder must be above 0"):
        Folder.parse(f"a={weight}")


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint16), np.zeros((40, 60, 4), np.uint8)],
    ids=["grey", "16 bit", "alpha"],
)
def test_every_kind_of_png_becomes_three_channels_of_bytes(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    write(tmp_path, IMAGE, png(pixels))
    sample = Images([Folder(tmp_path)], [[IMAGE]]).sample(0)
    assert sample.image.shape == (40, 60, 3)
    assert sample.image.dtype == np.uint8


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, IMAGE, data)
    with pytest.raises(InputError, match=r"a\.png cannot be decoded"):
        Images([Folder(tmp_path)], [[IMAGE]]).sample(0)


@pytest.mark.parametrize(("mosaic", "read"), [(0.0, 3), (1.0, 12)])
def test_only_mosaics_read_four_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mosaic: float, read: int
) -> None:
    write(tmp_path, IMAGE, png(np.zeros((40, 60, 3), np.uint8)))
    images = Images([Folder(tmp_path)], [[IMAGE]])
    rows: list[int] = []
    sample = images.sample

    def counting(row: int) -> Sample:
        rows.append(row)
        return sample(row)

    monkeypatch.setattr(images, "sample", counting)
    batch = make_batch(images, 3, Augmentation(size=64, mosaic=mosaic), seed=0, step=0)
    assert batch.images.shape == (3, 3, 64, 64)
    assert len(rows) == read


def test_labels_of_another_size_are_refused(tmp_path: Path) -> None:
    """An image that was scaled or rotated after it was labelled would be wrong training data."""
    turned = replace(IMAGE, width=40, height=60)
    write(tmp_path, turned, png(np.zeros((40, 60, 3), np.uint8)))
    with pytest.raises(InputError, match=r"a\.png is 60x40 px, but its labels are for 40x60"):
        Images([Folder(tmp_path)], [[turned]]).sample(0)
