"""The network, its losses, and the export and import of its weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from facepaint.cli.detectors import app
from facepaint.errors import DeviceError, InputError, UsageError
from facepaint.records.detector_card import DEFAULT_DETECTOR
from models import find_model
from models.session import Runtime, Session
from tests.support.portraits import write_portraits
from tests.support.programs import need_torch

need_torch()

import torch  # noqa: E402

from models.lab.training.assign import assign  # noqa: E402
from models.lab.training.augment import Augmentation  # noqa: E402
from models.lab.training.command import Beginning, Place, export_run, train  # noqa: E402
from models.lab.training.export import export  # noqa: E402
from models.lab.training.losses import (  # noqa: E402
    Targets,
    Weights,
    detection_losses,
    landmark_loss,
)
from models.lab.training.network import (  # noqa: E402
    Architecture,
    FaceNetwork,
    cell_grid,
    decode_boxes,
    decode_landmarks,
    decode_scores,
    flatten_heads,
)
from models.lab.training.settings import RunRecord, TrainingSettings  # noqa: E402
from models.lab.training.warm_start import load_exported  # noqa: E402

SMALL = Architecture(stem=(8, 8, 8), channels=16, depths=(1, 1, 1), residuals=(0, 1, 1), head=16)

QUICK = TrainingSettings(
    batches=6,
    batch=2,
    warm_up=2,
    checkpoint_every=3,
    evaluate_every=6,
    precision="float32",
    architecture=SMALL,
    augmentation=Augmentation(size=64),
)


BEGINNING = Beginning()


def grid64() -> torch.Tensor:
    return cell_grid(64, 64)


def raw_of(grid: torch.Tensor, boxes: torch.Tensor, score: float) -> torch.Tensor:
    """The raw outputs that decode to these boxes with that score: cells x 16."""
    raw = torch.zeros(len(grid), 16)
    stride = grid[:, 2:]
    raw[:, 0] = raw[:, 1] = torch.logit(torch.tensor(score))
    raw[:, 2:4] = (boxes[:, :2] + boxes[:, 2:]) / 2 / stride - grid[:, :2]
    raw[:, 4:6] = ((boxes[:, 2:] - boxes[:, :2]) / stride).log()
    return raw


def run(
    folder: Path, batches: int, beginning: Beginning = BEGINNING, **changes: Any
) -> FaceNetwork:
    """Train in ``folder``/run on a few portraits."""
    data = folder / "data"
    if not data.exists():
        write_portraits(data)
    settings = replace(QUICK, batches=batches, **changes)
    return train(
        [str(data)], folder / "run", settings, beginning, Place(threads=1), command="train it"
    )


def test_cells_decode_to_boxes_scores_and_landmarks() -> None:
    grid = grid64()
    boxes = torch.tensor([10.0, 12.0, 30.0, 44.0]).repeat(len(grid), 1)
    raw = raw_of(grid, boxes, 0.8)
    raw[:, 6:] = ((torch.tensor([20.0, 25.0]) / grid[:, 2:]) - grid[:, :2]).repeat(1, 5)
    torch.testing.assert_close(decode_boxes(raw, grid), boxes)
    torch.testing.assert_close(decode_scores(raw), torch.full((len(grid),), 0.8))
    torch.testing.assert_close(
        decode_landmarks(raw, grid), torch.tensor([20.0, 25.0]).expand(len(grid), 5, 2)
    )


def test_a_face_is_assigned_to_the_cells_that_predict_it() -> None:
    grid = grid64()
    face = torch.tensor([[16.0, 16.0, 32.0, 32.0]])
    boxes = torch.zeros(1, len(grid), 4)
    boxes[0, 3 * 8 + 3] = boxes[0, 2 * 8 + 2] = face[0]  # two cells of stride 8
    found = assign(boxes, torch.full((1, len(grid)), 0.5), grid, face, torch.tensor([0]))
    assert sorted(found.cells.tolist()) == [2 * 8 + 2, 3 * 8 + 3]
    torch.testing.assert_close(found.overlaps, torch.ones(2))


def test_every_face_has_cells_and_no_cell_two_faces() -> None:
    grid = grid64()
    faces = torch.tensor(
        [[10.0, 10.0, 30.0, 30.0], [28.0, 12.0, 48.0, 32.0], [40.0, 40.0, 60.0, 60.0]]
    )
    network = FaceNetwork(SMALL).eval()
    with torch.no_grad():
        raw = flatten_heads(network(torch.rand(2, 3, 64, 64) * 255))
    owners = torch.tensor([0, 0, 1])
    found = assign(decode_boxes(raw, grid), decode_scores(raw), grid, faces, owners)
    assert set(found.faces.tolist()) == {0, 1, 2}
    assert (owners[found.faces] == found.images).all()
    pairs = list(zip(found.images.tolist(), found.cells.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))


def targets(box: tuple[float, ...], learn: bool = True) -> Targets:
    points = torch.full((1, 5, 2), torch.nan)
    return Targets(torch.tensor([0]), torch.tensor([box]), points, torch.tensor([learn]))


def test_background_counts_except_on_ignored_faces() -> None:
    grid = grid64()
    raw = torch.zeros(1, len(grid), 16, requires_grad=True)
    detection_losses(raw, grid, targets((16, 16, 40, 40), learn=False), Weights())[
        "object"
    ].backward()
    assert raw.grad is not None
    pushed = raw.grad[0, :, 1] > 0
    centres = (grid[:, :2] + 0.5) * grid[:, 2:]
    inside = ((centres > 16) & (centres < 40)).all(1)
    assert not pushed[inside].any()
    assert pushed[((centres < 8) | (centres > 56)).any(1) & (grid[:, 2] == 8)].all()


def test_a_perfect_prediction_has_almost_no_loss() -> None:
    grid = grid64()
    face = (16.0, 16.0, 40.0, 44.0)
    boxes = torch.tensor(face).repeat(len(grid), 1)
    raw = raw_of(grid, boxes, 0.999)
    centres = (grid[:, :2] + 0.5) * grid[:, 2:]
    raw[((centres < 16) | (centres > 40)).any(1), :2] = -20.0
    losses = detection_losses(raw[None], grid, targets(face), Weights())
    assert float(losses["box"]) < 1e-3
    assert float(losses["class"]) < 0.01


@given(factor=st.floats(1.0, 8.0))
@settings(max_examples=20)
def test_landmarks_are_measured_in_sizes_of_the_face(factor: float) -> None:
    boxes = torch.tensor([[0.0, 0.0, 40.0, 40.0]])
    wanted = torch.tensor([[[10.0, 10], [30, 10], [20, 20], [12, 30], [28, 30]]])
    small = landmark_loss(wanted + 2, wanted, boxes)
    large = landmark_loss((wanted + 2) * factor, wanted * factor, boxes * factor)
    torch.testing.assert_close(small, large)


def test_unknown_landmarks_have_no_gradient() -> None:
    points = torch.rand(2, 5, 2, requires_grad=True)
    wanted = torch.full((2, 5, 2), torch.nan)
    wanted[1, 0] = 0.0
    landmark_loss(points, wanted, torch.tensor([[0.0, 0, 1, 1]] * 2)).backward()
    assert points.grad is not None
    assert points.grad[0].abs().sum() == 0
    assert points.grad[1, 0].abs().sum() > 0
    assert points.grad[1, 1:].abs().sum() == 0


def outputs(weights: Path, images: torch.Tensor) -> dict[str, np.ndarray]:
    count, _, height, width = images.shape
    session = Session(weights, height, width, Runtime("cpu", batch=count))
    session.input[:] = images.numpy()
    return session.run()


@pytest.mark.parametrize("size", [(64, 96), (128, 64)])
def test_the_exported_network_gives_the_same_outputs(tmp_path: Path, size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    network = FaceNetwork(SMALL)
    for norm in (
        module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)
    ):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
        assert norm.running_mean is not None
        torch.nn.init.uniform_(norm.running_mean, -0.5, 0.5)
    network.eval()
    export(network, tmp_path / "a.onnx")
    images = torch.rand(2, 3, *size) * 255
    grid = cell_grid(*size)
    with torch.no_grad():
        raw = flatten_heads(network(images))
    found = outputs(tmp_path / "a.onnx", images)
    np.testing.assert_allclose(found["boxes"], decode_boxes(raw, grid), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(found["scores"], decode_scores(raw), atol=1e-4)
    np.testing.assert_allclose(
        found["landmarks"].reshape(2, -1, 5, 2), decode_landmarks(raw, grid), rtol=1e-3, atol=1e-2
    )


def test_imported_weights_give_the_same_outputs_and_have_batch_norms(tmp_path: Path) -> None:
    """Also after layers and channels are added, and after another export."""
    torch.manual_seed(1)
    first = find_model(DEFAULT_DETECTOR).weights
    images = torch.rand(2, 3, 96, 64) * 255
    network = load_exported(first, [images], Architecture(residuals=(0, 3, 3), head=96))
    assert network.architecture == Architecture(residuals=(0, 3, 3), head=96)
    norm = network.stem[0].norm
    assert float(norm.running_var.min()) > 0
    export(network.eval(), tmp_path / "again.onnx")
    again = load_exported(tmp_path / "again.onnx", [images], SMALL)
    export(again.eval(), tmp_path / "twice.onnx")
    expected = outputs(first, images)
    for weights in (tmp_path / "again.onnx", tmp_path / "twice.onnx"):
        found = outputs(weights, images)
        for name in ("boxes", "scores", "landmarks"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=2e-2)


def test_a_file_that_facepaint_did_not_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(UsageError, match=r"x\.onnx: not a detector that .* train without --from"):
        load_exported(tmp_path / "x.onnx", [], SMALL)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, second, other = (
        run(tmp_path / name, 6, seed=seed).state_dict()
        for name, seed in (("first", 1), ("second", 1), ("other", 2))
    )
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=0, atol=0)
    assert any((value != other[key]).any() for key, value in first.items())
    files = {path.name for path in (tmp_path / "first" / "run").iterdir()}
    assert files == {"settings.json", "log.jsonl", "checkpoint.pt", "curve.png", "detector.onnx"}


def test_an_unfinished_run_is_exported_and_resumed(tmp_path: Path) -> None:
    steady = {"cool_down": 0.0, "calm": 0.0}
    run(tmp_path / "a", 3, **steady)
    export_run(tmp_path / "a" / "run", tmp_path / "early.onnx")
    assert outputs(tmp_path / "early.onnx", torch.zeros(1, 3, 64, 64))["scores"].shape == (1, 84)
    resumed = run(tmp_path / "a", 3, Beginning(resume=True, batches=6), **steady).state_dict()
    for key, value in run(tmp_path / "b", 6, **steady).state_dict().items():
        torch.testing.assert_close(value, resumed[key], rtol=0, atol=0)


def test_a_run_is_not_overwritten_by_another(tmp_path: Path) -> None:
    run(tmp_path, 1)
    checkpoint = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(UsageError, match="has a training run already: continue it with --resume"):
        run(tmp_path, 1)
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == checkpoint


def test_a_resumed_run_records_its_start_and_commands(tmp_path: Path) -> None:
    write_portraits(tmp_path / "data")
    export(FaceNetwork(SMALL).eval(), tmp_path / "first.onnx")
    beginnings = (
        ("train", Beginning(tmp_path / "first.onnx", batches=1)),
        ("train --resume", Beginning(resume=True, batches=2)),
        ("train --resume", Beginning(resume=True, batches=3)),
    )
    for command, beginning in beginnings:
        data, place = [str(tmp_path / "data")], Place(threads=1)
        settings = replace(QUICK, batches=1)
        train(data, tmp_path / "run", settings, beginning, place, command=command)
    record = RunRecord.read(tmp_path / "run" / "settings.json")
    assert record.start == "first.onnx"
    assert record.command == "train && train --resume"


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_named(tmp_path: Path, device: str) -> None:
    with pytest.raises(DeviceError, match=f"device '{device}' is not one that this PyTorch finds"):
        train([str(tmp_path)], tmp_path / "run", QUICK, place=Place(device))


def test_an_exported_detector_is_found_with_its_card(tmp_path: Path) -> None:
    """Whatever the file's name is, and in a folder that is created for it."""
    run(tmp_path, 1)
    new = tmp_path / "new"
    export_run(tmp_path / "run", new / "my faces (2).onnx")
    card = find_model(str(new / "my faces (2).onnx")).card
    assert (card.name, card.command) == ("my-faces-2", "train it")
    export_run(tmp_path / "run", new / "eight.onnx", int8=tmp_path / "data")
    assert find_model(str(new / "eight.onnx")).card.command == "train it"
    with pytest.raises(UsageError, match=r"detector\.json: a detector is a file that ends in"):
        export_run(tmp_path / "run", tmp_path / "detector.json")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"x\.onnx cannot be written"):
        export_run(tmp_path / "run", tmp_path / "file" / "x.onnx")


@pytest.mark.parametrize(
    "option",
    [
        ["--size", "320"],
        ["--batch", "8"],
        ["--learning-rate", "1"],
        ["--seed", "1"],
        ["--from", "x.onnx"],
    ],
)
def test_a_resumed_run_takes_no_other_settings(option: list[str]) -> None:
    done = CliRunner().invoke(app, ["train", "data", "--out", "run", "--resume", *option])
    assert isinstance(done.exception, UsageError)
    assert (
        str(done.exception)
        == f"--resume continues with the settings of the run: leave out {option[0]}"
    )


def test_resuming_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"settings\.json: no record of a training run"):
        run(tmp_path, 1, Beginning(resume=True))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    run(tmp_path, 1)
    for data in (b"", b"no checkpoint", b"PK\x03\x04" + bytes(99)):
        (tmp_path / "run" / "checkpoint.pt").write_bytes(data)
        with pytest.raises(InputError, match=r"\.pt: not a checkpoint of this architecture \(.+\)"):
            export_run(tmp_path / "run", tmp_path / "x.onnx")


def test_a_run_with_a_diverging_loss_ends(tmp_path: Path) -> None:
    """Its weights would be NaN from the next step on, and overwrite the checkpoint."""
    with pytest.raises(UsageError, match=r"the loss diverged; .* lower --learning-rate"):
        run(tmp_path, 40, learning_rate=1e30, warm_up=0)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    rates = [
        replace(QUICK, batches=100, warm_up=10, cool_down=0.2).rate(step) for step in range(100)
    ]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[10:80] == [1e-3] * 70
    assert rates[-1] == pytest.approx(5e-5)


def test_a_run_ends_with_weaker_augmentation() -> None:
    run = TrainingSettings(batches=100, calm=0.35)
    assert run.augmentation_at(64) == run.augmentation
    assert run.augmentation_at(65).mosaic == 0
    assert 0 < run.augmentation_at(65).tilt < run.augmentation.tilt
