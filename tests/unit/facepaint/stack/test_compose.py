"""The compose file, the images, and the worker's health check."""

import re
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import yaml

from facepaint.settings import CONNECTION_FIELDS, Settings
from facepaint.stack.components import worker_answers
from facepaint.stack.compose_init import Endpoints, Owners
from facepaint.store import Store
from tests.support.live_viewer import live_viewer
from tests.support.paths import ROOT

COMPOSE = ROOT / "docker-compose.yml"


def test_a_worker_is_healthy_while_it_answers(
    settings: Settings, start_worker: Callable[..., Any]
) -> None:
    here = f"*@{socket.gethostname()}"
    assert not worker_answers(settings, here)
    worker = start_worker()
    assert worker_answers(settings, here, timeout_s=10)
    assert not worker_answers(settings, "*@another")
    worker.kill()
    assert not worker_answers(settings, here)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text()))


@pytest.fixture(scope="module")
def composed(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(compose["services"])


def once(service: dict[str, Any]) -> bool:
    return bool(service["restart"] == "no")


def test_services_have_no_more_rights_than_they_need(composed: dict[str, Any]) -> None:
    for name, service in composed.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] > 0, name
        assert "mem_limit" in service, name
        assert service["logging"]["options"]["max-size"], name
        assert service.get("cap_add") == (
            ["CHOWN", "DAC_OVERRIDE", "FOWNER"] if name == "init" else None
        ), name
        mounted = [
            volume
            for volume in service["volumes"]
            if isinstance(volume, str) and volume.startswith("secrets:")
        ]
        assert mounted == ["secrets:/secrets" if name == "init" else "secrets:/run/facepaint:ro"], (
            name
        )


def test_services_are_restarted_and_have_a_health_check(composed: dict[str, Any]) -> None:
    assert {name for name, service in composed.items() if once(service)} == {"init", "bucket"}
    for name, service in composed.items():
        assert once(service) or service["restart"] == "unless-stopped", name
        assert once(service) or service["healthcheck"]["test"], name


def test_everything_starts_after_init(composed: dict[str, Any]) -> None:
    def before(name: str) -> set[str]:
        direct = set(composed[name].get("depends_on", ()))
        return direct.union(*(before(other) for other in direct))

    assert all("init" in before(name) for name in composed if name != "init")


def test_nothing_is_published_beyond_this_machine_unless_asked(composed: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in composed.items() if "ports" in service}
    assert published == {
        "broker": ["${FACEPAINT_ADDRESS:-127.0.0.1}:${FACEPAINT_BROKER_PORT:-8472}:6379"],
        "object-store": ["${FACEPAINT_ADDRESS:-127.0.0.1}:${FACEPAINT_STORE_PORT:-8473}:9000"],
        "viewer": ["127.0.0.1:${FACEPAINT_VIEWER_PORT:-8471}:8471"],
    }


def test_the_viewer_refuses_other_host_names(
    settings: Settings, store: Store, composed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in composed["viewer"]["environment"].items():
        monkeypatch.setenv(name, value if "$" not in value else "")
    inside = Settings.load(
        **{name: getattr(settings, name) for name in settings.model_fields_set & CONNECTION_FIELDS}
    )
    assert inside.viewer_host == "0.0.0.0"
    with live_viewer(inside.model_copy(update={"viewer_port": 0}), store) as url:
        assert httpx.get(f"{url}healthz").status_code == 200
        assert httpx.get(f"{url}healthz", headers={"Host": "evil.example:8471"}).status_code == 421


def test_workers_reach_nothing_but_broker_and_storage(compose: dict[str, Any]) -> None:
    assert compose["networks"]["backplane"] == {"internal": True}
    for name in ("worker", "worker-gpu", "bucket"):
        assert compose["services"][name]["networks"] == ["backplane"]
    assert compose["services"]["init"]["network_mode"] == "none"


def test_compose_and_init_agree_on_ports_and_users(composed: dict[str, Any]) -> None:
    assert composed["init"]["command"] == [
        f"--address=${{FACEPAINT_ADDRESS:-{Endpoints.address}}}",
        f"--broker-port=${{FACEPAINT_BROKER_PORT:-{Endpoints.broker_port}}}",
        f"--store-port=${{FACEPAINT_STORE_PORT:-{Endpoints.store_port}}}",
        f"--viewer-port=${{FACEPAINT_VIEWER_PORT:-{Endpoints.viewer_port}}}",
    ]
    assert composed["broker"]["user"] == "{}:{}".format(*Owners.broker)
    assert composed["object-store"]["user"] == "{}:{}".format(*Owners.object_store)
    assert "USER {}:{}".format(*Owners.clients) in (ROOT / "Dockerfile").read_text()


def test_workers_get_the_time_to_finish_a_task(composed: dict[str, Any]) -> None:
    for name in ("worker", "worker-gpu"):
        grace = composed[name]["stop_grace_period"]
        assert int(grace.removesuffix("s")) > Settings.model_fields["task_time_limit_s"].default, (
            name
        )


def test_workers_are_the_same_on_other_machines(composed: dict[str, Any]) -> None:
    alone = yaml.safe_load((ROOT / "deploy" / "worker.yml").read_text())["services"]["worker"]
    place = {"build", "depends_on", "networks", "volumes", "user"}
    authorities = alone["environment"].pop("FACEPAINT_CA_FILE")
    assert authorities.endswith(f":+{alone['volumes'][1]['target']}}}"), "only of other machines"
    assert {key: value for key, value in alone.items() if key not in place} == {
        key: value for key, value in composed["worker"].items() if key not in place
    }


def test_images_are_pinned(composed: dict[str, Any]) -> None:
    others = {
        name: service["image"] for name, service in composed.items() if "build" not in service
    }
    assert others == {
        "broker": "${FACEPAINT_BROKER_IMAGE:-valkey/valkey:9.1.1-alpine}",
        "object-store": "${FACEPAINT_OBJECT_STORE_IMAGE:-"
        "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z}",
    }


def test_the_gpu_image_differs_from_the_cpu_image_in_the_runtime_alone() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / "requirements" / name).read_text().splitlines()
        return {line.split(" \\")[0] for line in lines if re.match(r"[a-z0-9]", line)}

    cpu, gpu = pins("worker.lock"), pins("gpu.lock")
    only_gpu = {pin for pin in gpu - cpu if not pin.startswith("nvidia-")}
    (runtime,) = cpu - gpu
    assert only_gpu == {runtime.replace("onnxruntime==", "onnxruntime-gpu==")}
