"""A job with a user's own detector, from the file and its card to the painted segment."""

import hashlib
import io
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data
from onnx import TensorProto, helper
from PIL import Image

from benchmarks.clips import make_portrait_clip
from facepaint.client import Client
from facepaint.detectors.registry import card_beside, find_detector, write_card
from facepaint.errors import DeviceError, FacepaintError, InputError, ServiceError, UsageError
from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.detector_card import DEFAULT_DETECTOR, DetectorCard, Thresholds
from facepaint.records.faces import Faces
from facepaint.records.job import DetectorSpec, JobRecord
from facepaint.records.results import Failed, Painted
from facepaint.settings import Settings, cache_folder
from facepaint.stack.processes import Child
from facepaint.store import Store
from models import shipped_model
from models.providers import Runtime
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.detector_cache import load_search, model_of
from tasks.paint import run_paint
from tests.support.networks import tiny_network

LOOK = parse_look(["sunglasses"])
COVERED = "fill:colour=#00ff00"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_portrait_clip(
        tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=1, size=(320, 180), audio=None
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Our own weights, those that a CPU runs, under another name, with a card."""
    path = tmp_path / "mine.onnx"
    ours = shipped_model(DEFAULT_DETECTOR)
    shutil.copyfile(ours.int8 or ours.weights, path)
    write_card(card_beside(path), DetectorCard("mine", "facepaint"))
    return path


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path / "facepaint"))


@pytest.fixture
def context(store: Store, queue: Queue, settings: Settings) -> WorkerContext:
    return WorkerContext(store, queue, settings)


def upload(
    context: WorkerContext, clip: Path, detector: object, filters: str = "sunglasses"
) -> str:
    settings = context.settings.model_copy(update={"detector": str(detector)})
    return Client(settings).upload(clip, [filters]).job_id


def kept() -> list[str]:
    """The names of the files in the cache."""
    return sorted(path.name for path in (cache_folder() / "jobs-detectors").iterdir())


def test_workers_detect_with_the_users_weights(
    context: WorkerContext, clip: Path, weights: Path
) -> None:
    job_id = upload(context, clip, weights)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert context.store.get(keys.detector(sha256)) == weights.read_bytes()
    spec = context.store.get_record(keys.job(job_id), JobRecord).detector
    assert spec.card == DetectorCard("mine", "facepaint", sha256=sha256)
    weights.unlink()
    made = run_detect(context, job_id, 0)
    assert made is not None
    assert made.detector == spec.label == f"mine@{sha256[:12]}"
    assert kept() == [f"{sha256}.onnx"]
    ours = run_detect(context, upload(context, clip, DEFAULT_DETECTOR), 0)
    assert ours is not None
    assert made.frames == ours.frames
    painted = run_paint(context, job_id, 0, LOOK.id)
    assert painted is not None
    assert painted.faces >= painted.frames


def test_images_are_detected_with_the_users_weights(
    context: WorkerContext, weights: Path, tmp_path: Path
) -> None:
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "portrait.png")
    write_card(
        card_beside(weights), DetectorCard("mine", "facepaint", stickers=Thresholds(0.95, 0.5))
    )
    client = Client(context.settings.model_copy(update={"detector": str(weights)}))
    job_id = client.upload_images([tmp_path / "portrait.png"], LOOK).job_id
    made = run_detect(context, job_id, 0)
    assert made is not None
    assert made.detector.startswith("mine@")
    assert made.frames[0].faces[0].score > 0.8
    painted = run_paint(context, job_id, 0, LOOK.id)
    assert painted is not None
    assert painted.faces == 0, "the card asks for more"


@pytest.mark.slow
def test_the_cards_thresholds_decide_what_is_a_face(
    context: WorkerContext, clip: Path, weights: Path
) -> None:
    strict = DetectorCard(
        "mine", "facepaint", stickers=Thresholds(0.99, 0.98), redaction=Thresholds(0.7, 0.6)
    )
    write_card(card_beside(weights), strict)
    job_id = upload(context, clip, weights)
    made = run_detect(context, job_id, 0)
    assert made is not None
    scores = [face.score for frame in made.frames for face in frame.faces]
    assert min(scores) >= 0.6
    painted = run_paint(context, job_id, 0, LOOK.id)
    assert painted is not None
    assert painted.faces == 0


def test_weights_outlive_a_job_if_others_use_them(
    context: WorkerContext, clip: Path, weights: Path
) -> None:
    first, second = upload(context, clip, weights), upload(context, clip, weights)
    Client(context.settings).delete(first)
    assert [row.key for row in context.store.list("detectors/")] == [
        keys.detector(_sha256(weights))
    ]
    assert run_detect(context, second, 0) is not None


def test_the_next_upload_repairs_damaged_weights(
    context: WorkerContext, clip: Path, weights: Path
) -> None:
    upload(context, clip, weights)
    context.store.put(keys.detector(_sha256(weights)), b"damaged")
    assert run_detect(context, upload(context, clip, weights), 0) is not None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _operator_of_a_library() -> bytes:
    value = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(
        [helper.make_node("Spy", ["image"], ["out"], domain="com.example")], "g", [value], [out]
    )
    data: bytes = helper.make_model(graph).SerializeToString()
    return data


STORED = {
    "nothing": (None, "the weights of detector 'bad@{short}' are not in the storage: upload again"),
    "other bytes": (
        b"other",
        "the weights of detector 'bad@{short}' are damaged in the storage: upload again",
    ),
    "an empty object": (b"", "is empty"),
    "no network": (b"no network", "is not an ONNX file, or is damaged"),
    "another network": (
        tiny_network("scrfd"),
        "detector 'bad@{short}' does not fit the decoder that its card names",
    ),
    "a library": (
        _operator_of_a_library(),
        "uses the operator com.example.Spy, which needs an additional library",
    ),
}


@pytest.mark.parametrize("kind", STORED)
def test_a_worker_checks_the_stored_weights(context: WorkerContext, kind: str) -> None:
    data, message = STORED[kind]
    sha256 = hashlib.sha256(b"" if data in (None, b"other") else data).hexdigest()
    context.store.make_bucket()
    if data is not None:
        context.store.put(keys.detector(sha256), data)
    spec = DetectorSpec("bad", card=DetectorCard("bad", "yunet", sha256=sha256))
    with pytest.raises(FacepaintError) as caught:
        load_search(model_of(spec, context.store), 0.1, (64, 64), Runtime("cpu"))
    assert message.format(short=sha256[:12]) in str(caught.value)
    assert not isinstance(caught.value, ServiceError | DeviceError), "another try would not help"


def test_a_job_with_an_invalid_detector_fails_and_is_covered(
    context: WorkerContext, clip: Path
) -> None:
    job_id = upload(context, clip, DEFAULT_DETECTOR, COVERED)
    job = context.store.get_record(keys.job(job_id), JobRecord)
    bad = DetectorSpec("bad", card=DetectorCard("bad", "yunet", sha256="0" * 64))
    context.store.put_record(keys.job(job_id), replace(job, detector=bad))
    assert run_detect(context, job_id, 0) is None
    failed = context.store.get_record(keys.faces_failed(job_id, 0), Failed)
    assert (
        failed.reason
        == "the weights of detector 'bad@000000000000' are not in the storage: upload again"
    )
    painted = run_paint(context, job_id, 0, parse_look([COVERED]).id)
    assert painted is not None
    with av.open(
        io.BytesIO(
            context.store.get(keys.painted_data(job_id, parse_look([COVERED]).id, painted.name))
        )
    ) as file:
        for frame in file.decode(video=0):
            rgb = frame.to_ndarray(format="rgb24")
            assert np.ptp(rgb, axis=(0, 1)).max() < 8, "every frame is covered completely"


def test_a_detector_name_in_a_job_is_no_path_on_the_worker(
    context: WorkerContext, weights: Path
) -> None:
    for name in (str(weights), "yunet"):
        with pytest.raises(UsageError, match="unknown detector"):
            model_of(DetectorSpec(name), context.store)
    with pytest.raises(UsageError, match="names no weights"):
        model_of(DetectorSpec("x", card=DetectorCard("x", "yunet")), context.store)


def _stored(store: Store, path: Path, number: int) -> DetectorSpec:
    """A detector in the storage that is unlike the others."""
    path.write_bytes(tiny_network("yunet", ("n", 32 * number, 32)))
    found = find_detector(str(path))
    assert found is not None
    store.make_bucket()
    store.put(keys.detector(found.card.sha256), found.data)
    return DetectorSpec(found.card.name, card=found.card)


def test_the_cache_of_fetched_detectors_is_bounded(context: WorkerContext, tmp_path: Path) -> None:
    specs = [_stored(context.store, tmp_path / "own.onnx", number) for number in (1, 2, 3)]
    size = (tmp_path / "own.onnx").stat().st_size
    limit = int(2.5 * size)
    paths = [model_of(spec, context.store, limit).weights for spec in specs[:2]]
    for age, path in enumerate(paths):
        os.utime(path, ns=(10**18 - age, path.stat().st_mtime_ns))
    model_of(specs[1], context.store, limit)
    paths.append(model_of(specs[2], context.store, limit).weights)
    assert kept() == sorted(path.name for path in paths[1:]), "the first was used least recently"
    assert model_of(specs[0], context.store, 1).weights.exists()
    assert kept() == [paths[0].name], "the one that is needed stays"


def test_a_fetched_detector_that_was_changed_is_fetched_again(
    context: WorkerContext, tmp_path: Path
) -> None:
    spec = _stored(context.store, tmp_path / "own.onnx", 1)
    path = model_of(spec, context.store).weights
    path.write_bytes(b"changed")
    assert (
        model_of(spec, context.store).weights.read_bytes() == (tmp_path / "own.onnx").read_bytes()
    )
    assert kept() == [path.name]


def test_with_a_read_only_disk_the_cache_is_a_temporary_folder(
    context: WorkerContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no-folder").write_text("")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path / "no-folder"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    path = model_of(_stored(context.store, tmp_path / "own.onnx", 1), context.store).weights
    assert path.parent == tmp_path / "tmp" / f"facepaint-{os.getuid()}"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_upload_with_an_invalid_detector_stores_nothing(
    context: WorkerContext, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.onnx").write_text("a text")
    with pytest.raises(InputError, match="is not an ONNX file"):
        upload(context, clip, tmp_path / "text.onnx")
    with pytest.raises(UsageError, match="unknown detector 'typo'"):
        upload(context, clip, "typo")
    assert not list(context.store.list(""))


@pytest.mark.slow
def test_a_worker_process_detects_with_the_users_weights(
    settings: Settings, clip: Path, weights: Path, start_worker: Callable[..., Child]
) -> None:
    start_worker()
    client = Client(settings.model_copy(update={"detector": str(weights)}))
    job_id = client.upload(clip, LOOK).job_id
    weights.unlink()
    assert client.wait(job_id).state == "complete"
    faces = client.store.get_record(keys.faces(job_id, 0), Faces)
    assert faces.detector.startswith("mine@")
    painted = client.store.get_record(keys.painted(job_id, LOOK.id, 0), Painted)
    assert painted.faces >= painted.frames
