"""An int8 detector is a quarter of the size and detects the same faces as the float32 one."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data

from facepaint.detectors.labels import write_labels
from facepaint.detectors.registry import MAX_BYTES
from facepaint.errors import InputError
from facepaint.records.detector_card import DEFAULT_DETECTOR
from models import find_model
from models.lab.datasets.common import evenly
from models.lab.training.quantise import quantise
from models.providers import Runtime
from models.session import Session
from tests.support.labelled import labelled_folder

WEIGHTS = find_model(DEFAULT_DETECTOR).weights


def best_of(weights: Path) -> tuple[int, float, np.ndarray, np.ndarray]:
    """The portrait's best cell, its score, box and landmarks."""
    session = Session(weights, 512, 512, Runtime("cpu", batch=1))
    session.input[0] = skimage.data.astronaut()[..., ::-1].transpose(2, 0, 1)
    outputs = session.run()
    cell = int(outputs["scores"][0].argmax())
    return (
        cell,
        float(outputs["scores"][0, cell]),
        outputs["boxes"][0, cell],
        outputs["landmarks"][0, cell],
    )


def test_the_portraits_face_is_detected_at_the_same_place(tmp_path: Path) -> None:
    labelled_folder(tmp_path / "data")
    out = tmp_path / "small.onnx"
    quantise(WEIGHTS, tmp_path / "data", out)
    assert out.stat().st_size < WEIGHTS.stat().st_size / 2.5
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["small.onnx"]

    graph = onnx.load(str(out)).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    quantised = [
        node for node in convolutions if node.input[1].endswith("_DequantizeLinear_Output")
    ]
    assert convolutions[0] not in quantised, "three channels are quicker in float32"
    assert 0 < len(convolutions) - len(quantised) < 6, (
        "all others are quantised, but for the outputs"
    )

    _, score, box, landmarks = best_of(WEIGHTS)
    _, found_score, found_box, found_landmarks = best_of(out)
    size = float(np.sqrt(np.prod(box[2:] - box[:2])))
    assert found_score == pytest.approx(score, abs=0.1)
    np.testing.assert_allclose(found_box, box, atol=0.06 * size)
    np.testing.assert_allclose(found_landmarks, landmarks, atol=0.06 * size)


@pytest.mark.parametrize("number", [1, 63, 64, 65, 127, 241])
def test_calibration_images_are_spread_over_the_folder(number: int) -> None:
    rows = evenly(range(number), 64)
    assert len(set(rows)) == len(rows) == min(number, 64)
    assert rows[0] == 0
    assert number - rows[-1] <= np.ceil(number / 64)


def test_a_failure_leaves_no_files(tmp_path: Path) -> None:
    write_labels(tmp_path / "empty", [])
    with pytest.raises(InputError, match="no images to calibrate with"):
        quantise(WEIGHTS, tmp_path / "empty", tmp_path / "out.onnx")
    labelled_folder(tmp_path / "data")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match=r"text\.onnx is not an ONNX file"):
        quantise(tmp_path / "text.onnx", tmp_path / "data", tmp_path / "out.onnx")
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match=r"large\.onnx has more than 200 MiB"):
        quantise(tmp_path / "large.onnx", tmp_path / "data", tmp_path / "out.onnx")
    assert not list(tmp_path.glob("*out.onnx*"))
