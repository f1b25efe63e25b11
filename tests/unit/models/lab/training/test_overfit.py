"""Training works from end to end: a small network overfits forty images, and its exported file
detects their faces."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from facepaint.detectors.labels import LabelledFace, LabelledImage, image_path, write_labels
from models import find_model
from models.lab.evaluation.detections import Options
from models.lab.evaluation.evaluate import evaluate
from tests.support.portraits import BOX, POINTS
from tests.support.programs import need_torch

need_torch()

from models.lab.training.augment import Augmentation  # noqa: E402
from models.lab.training.command import Place, train  # noqa: E402
from models.lab.training.network import Architecture  # noqa: E402
from models.lab.training.settings import TrainingSettings  # noqa: E402

SIDE = 96


def write_forty(folder: Path) -> list[LabelledImage]:
    """Forty images of 96 x 96 px: the portrait's face rotated and scaled to 18-60 px."""
    portrait = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    random = np.random.default_rng(7)
    images = []
    for number in range(40):
        pixels, face = varied(portrait, random)
        image = LabelledImage(f"{number:02}.png", SIDE, SIDE, (face,))
        path = image_path(folder, image)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)
        images.append(image)
    write_labels(folder, images)
    return images


def varied(
    portrait: npt.NDArray[np.uint8], random: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], LabelledFace]:
    scale = random.uniform(18, 60) / (BOX[3] - BOX[1])
    angle = np.deg2rad(random.uniform(-30, 30))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    centre = np.array([(BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2])
    place = random.uniform(32, SIDE - 32, 2)
    matrix = np.column_stack([turn, place - turn @ centre])
    pixels = cv2.warpAffine(
        portrait, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT
    )
    points = np.array(POINTS).reshape(5, 2) @ turn.T + matrix[:, 2]
    half = np.array([BOX[2] - BOX[0], BOX[3] - BOX[1]]) / 2 * scale
    sine, cosine = np.sin(angle), np.cos(angle)
    reach = np.array(
        [np.hypot(half[0] * cosine, half[1] * sine), np.hypot(half[0] * sine, half[1] * cosine)]
    )
    box = (*(place - reach), *(place + reach))
    face = LabelledFace(
        tuple(float(value) for value in box),  # type: ignore[arg-type]  # four numbers
        tuple(float(value) for value in points.ravel()),  # type: ignore[arg-type]  # ten numbers
    )
    return np.asarray(pixels, np.uint8), face


@pytest.mark.slow
def test_forty_images_are_overfitted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    images = write_forty(data)
    settings = TrainingSettings(
        batches=320,
        batch=12,
        learning_rate=5e-3,
        warm_up=20,
        ema=0.95,
        validation=0.0,
        precision="float32",
        architecture=Architecture(
            stem=(8, 16, 16), channels=24, depths=(2, 2, 1), residuals=(0, 0, 0), head=24
        ),
        augmentation=Augmentation(
            size=SIDE, crop=(0.95, 1.05), tilt=0, strong_tilt=0, mosaic=0, noise=0, compression=0
        ),
    )
    train([str(data)], tmp_path / "run", settings, place=Place(threads=1))
    detector = find_model(str(tmp_path / "run" / "detector.onnx"))
    evaluation = evaluate(detector, data, images, Options())
    assert evaluation.curves["all"].average_precision > 0.98
    assert np.median(evaluation.landmark_errors) < 0.1
    assert np.isfinite(evaluation.landmark_errors).mean() > 0.95
