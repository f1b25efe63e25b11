"""Detectors are downloaded complete and unchanged, or not at all, from a local server."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facepaint.detectors.registry import (
    REMOTE_DETECTORS,
    RemoteDetector,
    fetched_path,
    find_detector,
)
from facepaint.errors import FacepaintError, InputError, ServiceError, UsageError
from facepaint.stack.components import free_port
from models import detector_rows, find_model
from models.pull import pull
from tests.support.networks import tiny_network

NETWORK = tiny_network("yunet")


class Files(BaseHTTPRequestHandler):
    """Serves the network at /whole, and more or less of it elsewhere."""

    requested: list[str] = []  # noqa: RUF012 - shared on purpose

    def do_GET(self) -> None:
        self.requested.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        bodies = {
            "/whole": NETWORK,
            "/half": NETWORK[:100],
            "/longer": NETWORK * 50,
            "/other": NETWORK[::-1],
        }
        body = bodies.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header(
            "Content-Length", str(len(NETWORK if self.path == "/half" else body or b""))
        )
        self.end_headers()
        # A client that has read enough closes the connection.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as files:
        thread = threading.Thread(target=files.serve_forever, args=(0.01,))
        thread.start()
        Files.requested.clear()
        yield f"http://127.0.0.1:{files.server_address[1]}"
        files.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path))


def serve(monkeypatch: pytest.MonkeyPatch, url: str) -> RemoteDetector:
    """Make ``yunet`` a detector at this address."""
    card = replace(REMOTE_DETECTORS["yunet"].card, sha256=hashlib.sha256(NETWORK).hexdigest())
    remote = RemoteDetector(url, len(NETWORK), card)
    monkeypatch.setitem(REMOTE_DETECTORS, "yunet", remote)
    return remote


def files_of(remote: RemoteDetector) -> list[str]:
    folder = fetched_path(remote).parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("place", ["whole", "moved"])
def test_a_downloaded_detector_is_found_by_its_name(
    server: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = serve(monkeypatch, f"{server}/{place}")
    assert {row["name"]: row["here"] for row in detector_rows()}["yunet"] == "no"
    path, card = pull("yunet")
    assert path.read_bytes() == NETWORK
    assert files_of(remote) == ["yunet.onnx"]
    assert card == remote.card
    assert find_model("yunet").weights == path
    assert {row["name"]: row["here"] for row in detector_rows()}["yunet"] == "yes"


def test_only_a_damaged_file_is_downloaded_again(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = serve(monkeypatch, f"{server}/whole")
    pull("yunet")
    pull("yunet")
    assert Files.requested == ["/whole"]
    fetched_path(remote).write_bytes(b"damaged")
    with pytest.raises(InputError, match="is damaged"):
        find_detector("yunet")
    pull("yunet")
    assert find_detector("yunet") is not None
    assert Files.requested == ["/whole", "/whole"]


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("gone", ServiceError, "the server answers 404 Not Found; save it from elsewhere as "),
        ("half", ServiceError, "broke off after 100 of "),
        ("other", InputError, "serves other bytes than expected (sha256 "),
        ("longer", InputError, "serves other bytes than expected (sha256 "),
    ],
)
def test_a_failed_download_leaves_no_file(
    server: str,
    place: str,
    error: type[FacepaintError],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remote = serve(monkeypatch, f"{server}/{place}")
    with pytest.raises(error) as caught:
        pull("yunet")
    assert str(caught.value).startswith(remote.url)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files_of(remote) == []


def test_a_failed_download_keeps_the_old_file(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = serve(monkeypatch, f"{server}/half")
    fetched_path(remote).parent.mkdir(parents=True)
    fetched_path(remote).write_bytes(b"an older one")
    with pytest.raises(ServiceError):
        pull("yunet")
    assert fetched_path(remote).read_bytes() == b"an older one"
    assert files_of(remote) == ["yunet.onnx"]


def test_without_a_network_the_message_has_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    remote = serve(monkeypatch, f"http://127.0.0.1:{free_port()}/whole")
    with pytest.raises(ServiceError) as caught:
        pull("yunet")
    message = str(caught.value)
    assert message.startswith(f"{remote.url} cannot be reached (")
    assert message.endswith(
        f"is there a network? Else save it from elsewhere as {fetched_path(remote)}"
    )
    assert files_of(remote) == []


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"^unknown detector 'yolo'; available for download: yunet, .*scrfd-500m$"
    ):
        pull("yolo")


def test_every_remote_detector_is_pinned() -> None:
    for name, remote in REMOTE_DETECTORS.items():
        assert remote.card.name == name
        assert remote.url.startswith("https://")
        assert len(remote.card.sha256) == 64
        assert remote.card.licence
        assert remote.card.source
        assert 100_000 < remote.bytes < 20_000_000


def test_the_command_prints_licence_and_path(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from facepaint.cli.detectors import app

    remote = serve(monkeypatch, f"{server}/whole")
    pulled = CliRunner().invoke(app, ["pull", "yunet"])
    assert pulled.exit_code == 0
    assert pulled.stdout == f"{fetched_path(remote)}\n"
    assert "Licence: MIT" in pulled.stderr
    listed = CliRunner().invoke(app, ["list", "--json"])
    assert '"name": "yunet", "here": "yes", "licence": "MIT"' in listed.stdout
