"""A network runs where it is asked to or not at all, and gives the same on every device and in
every number."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import skimage.data

from facepaint.detectors.onnx_graph import with_sizes
from facepaint.devices import PROVIDERS
from facepaint.errors import DeviceError, UsageError
from facepaint.records.detector_card import DEFAULT_DETECTOR
from models import find_model
from models.float16 import with_float16
from models.providers import BATCHES, Runtime, devices_for, providers_for
from models.session import Session, check_device
from tests.support.gpus import need_device

WEIGHTS = find_model(DEFAULT_DETECTOR).weights

CPU = PROVIDERS["cpu"]
GPU_BUILD = [PROVIDERS["tensorrt"], PROVIDERS["cuda"], CPU]

only_the_cpu = pytest.mark.skipif(
    PROVIDERS["cuda"] in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime offers CUDA",
)


def portrait() -> np.ndarray:
    """The public-domain portrait as 3 x 256 x 256, B, G, R."""
    return skimage.data.astronaut()[::2, ::2, ::-1].transpose(2, 0, 1).astype(np.float32)


def filled(runtime: Runtime, max_batch: int | None = None) -> Session:
    session = Session(WEIGHTS, 256, 256, runtime, max_batch)
    session.input[:] = portrait()
    return session


class TestDevices:
    @pytest.mark.parametrize(
        ("listed", "tried"),
        [([CPU], ["cpu"]), (GPU_BUILD, ["cuda", "cpu"]), ([PROVIDERS["openvino"], CPU], ["cpu"])],
    )
    def test_auto_is_cuda_if_it_is_listed_else_the_cpu(
        self, listed: list[str], tried: list[str]
    ) -> None:
        assert devices_for(Runtime("auto"), listed) == tried

    @pytest.mark.parametrize("device", ["cuda", "tensorrt", "cpu"])
    def test_a_named_device_has_no_fallback(self, device: Any) -> None:
        assert devices_for(Runtime(device), GPU_BUILD) == [device]

    def test_a_missing_device_is_an_error_that_lists_the_others(self) -> None:
        with pytest.raises(
            DeviceError, match=r"'cuda' .* offers only the CPU: install the extra 'gpu' instead"
        ):
            devices_for(Runtime("cuda"), [CPU])
        with pytest.raises(
            DeviceError,
            match=r"'openvino' .* offers only cpu and cuda and tensorrt.*extra 'openvino'",
        ):
            devices_for(Runtime("openvino"), GPU_BUILD)

    def test_float16_is_for_gpus(self) -> None:
        assert devices_for(Runtime(float16=True), GPU_BUILD) == ["cuda"]
        for device in ("auto", "cpu"):
            with pytest.raises(UsageError, match="float16 needs the device cuda or tensorrt"):
                devices_for(Runtime(device, float16=True), [CPU])


class TestProviders:
    def test_each_device_comes_first_and_the_cpu_last(self, tmp_path: Path) -> None:
        for device, provider in PROVIDERS.items():
            names = [name for name, _ in providers_for(device, Runtime(), tmp_path, "x")]
            assert (names[0], names[-1]) == (provider, CPU)
        assert [
            name for name, _ in providers_for("tensorrt", Runtime(), tmp_path, "x")
        ] == GPU_BUILD

    def test_tensorrt_caches_engines_and_timings_by_the_networks_name(self, tmp_path: Path) -> None:
        _, options = providers_for("tensorrt", Runtime(float16=True), tmp_path, "abc")[0]
        assert options["trt_fp16_enable"] is True
        assert options["trt_engine_cache_prefix"] == "abc"
        assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
        assert options["trt_engine_cache_enable"] is options["trt_timing_cache_enable"] is True
        _, options = providers_for("tensorrt", Runtime(), tmp_path, "abc")[0]
        assert options["trt_fp16_enable"] is False

    def test_openvino_has_the_threads_of_the_settings(self, tmp_path: Path) -> None:
        _, options = providers_for("openvino", Runtime(threads=3), tmp_path, "x")[0]
        assert options["num_of_threads"] == "3"


class TestOnTheCpu:
    def test_any_number_of_images_gives_the_same_outputs(self) -> None:
        session = filled(Runtime("cpu"))
        assert session.batch == BATCHES["cpu"]
        one, three, all_of_them = session.run(1), session.run(3), session.run()
        for name, rows in one.items():
            assert len(rows) == 1
            assert len(three[name]) == 3
            assert len(all_of_them[name]) == session.batch
            for row in [*three[name], *all_of_them[name]]:
                np.testing.assert_allclose(row, rows[0], rtol=1e-3, atol=1e-3)

    def test_a_network_with_a_batch_of_one_gets_one_image(self) -> None:
        session = filled(Runtime("cpu", batch=8), max_batch=1)
        assert session.input.shape == (1, 3, 256, 256)
        assert len(session.run(1)["scores"]) == 1

    def test_a_damaged_network_is_named(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(with_sizes(WEIGHTS.read_bytes(), 1, 256, 256).replace(b"Conv", b"Cxnv"))
        with pytest.raises(UsageError, match=r"weights at .*broken\.onnx do not load"):
            Session(broken, 256, 256, Runtime("cpu"))

    @only_the_cpu
    def test_a_device_that_is_not_listed_is_an_error(self) -> None:
        with pytest.raises(DeviceError, match="offers only the CPU"):
            check_device("cuda")
        with pytest.raises(DeviceError, match="--device cpu"):
            Session(WEIGHTS, 64, 64, Runtime("tensorrt"))

    @only_the_cpu
    def test_a_device_that_is_listed_but_does_not_load_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: GPU_BUILD)
        with pytest.raises(
            DeviceError, match="device 'cuda' was requested, but ONNX Runtime could not load it"
        ):
            Session(WEIGHTS, 64, 64, Runtime("cuda"))
        assert Session(WEIGHTS, 64, 64, Runtime("auto")).device == "cpu"

    @only_the_cpu
    def test_float16_on_a_gpu_that_does_not_load_is_a_device_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: GPU_BUILD)
        with pytest.raises(
            DeviceError, match="device 'cuda' was requested, but ONNX Runtime could not load it"
        ):
            Session(WEIGHTS, 64, 64, Runtime("auto", float16=True))

    @only_the_cpu
    @pytest.mark.parametrize("device", ["cuda", "auto"])
    def test_a_damaged_network_is_no_device_error(
        self, device: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A device error would requeue its job forever."""
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: GPU_BUILD)
        broken = WEIGHTS.read_bytes().replace(b"Conv", b"Cxnv")
        with pytest.raises(UsageError, match=r"^the weights do not load: .*Cxnv") as caught:
            Session(broken, 64, 64, Runtime(device))
        assert not isinstance(caught.value, DeviceError)


def test_float16_gives_the_same_faces_as_float32() -> None:
    """On a CPU, which computes in float32 between rounding to float16."""
    network = WEIGHTS.read_bytes()
    half = with_float16(with_sizes(network, 1, 256, 256))
    assert half.count(b"_float16") > 20
    exact, rounded = (Session(file, 256, 256, Runtime("cpu")) for file in (network, half))
    for session in (exact, rounded):
        session.input[0] = portrait()
    expected, found = exact.run(1), rounded.run(1)
    best = int(expected["scores"][0].argmax())
    assert int(found["scores"][0].argmax()) == best
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=0.01)
    np.testing.assert_allclose(found["boxes"][0, best], expected["boxes"][0, best], atol=0.5)
    np.testing.assert_allclose(
        found["landmarks"][0, best], expected["landmarks"][0, best], atol=0.25
    )


@pytest.mark.gpu
@pytest.mark.parametrize("float16", [False, True])
class TestOnAGpu:
    @pytest.mark.parametrize("device", ["cuda", "tensorrt"])
    def test_a_gpu_gives_the_same_faces_as_the_cpu(
        self, device: Any, float16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        need_device(device)
        monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path))
        on_gpu, on_cpu = filled(Runtime(device, float16=float16)), filled(Runtime("cpu"))
        assert (on_gpu.device, on_gpu.batch) == (device, BATCHES[device])
        found, expected = on_gpu.run(3), on_cpu.run(1)
        best = int(expected["scores"][0].argmax())
        for row in range(3):
            np.testing.assert_allclose(found["scores"][row], expected["scores"][0], atol=0.02)
            np.testing.assert_allclose(
                found["boxes"][row, best], expected["boxes"][0, best], atol=1
            )

    def test_tensorrt_builds_an_engine_once_for_each_network(
        self, float16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        need_device("tensorrt")
        monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path))

        def engines(height: int) -> dict[Path, int]:
            Session(WEIGHTS, height, 256, Runtime("tensorrt", float16=float16)).run()
            return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.engine")}

        first = engines(256)
        assert first
        assert engines(256) == first
        assert len(engines(128)) == 2 * len(first)
