"""Known detectors are fetched whole and unchanged, or not at all; from a server of our own on this
machine."""

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
    """Gives the network at /whole, more or less of it elsewhere."""

    asked: list[str] = []  # noqa: RUF012 - shared on purpose

    def do_GET(self) -> None:
        self.asked.append(self.path)
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
        with contextlib.suppress(ConnectionError):  # who has read enough hangs up
            self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as files:
        thread = threading.Thread(target=files.serve_forever, args=(0.01,))
        thread.start()
        Files.asked.clear()
        yield f"http://127.0.0.1:{files.server_address[1]}"
        files.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path))


def serve(monkeypatch: pytest.MonkeyPatch, url: str) -> RemoteDetector:
    """Make ``yunet`` a detector that lies there."""
    card = replace(REMOTE_DETECTORS["yunet"].card, sha256=hashlib.sha256(NETWORK).hexdigest())
    known = RemoteDetector(url, len(NETWORK), card)
    monkeypatch.setitem(REMOTE_DETECTORS, "yunet", known)
    return known


def kept(known: RemoteDetector) -> list[str]:
    folder = fetched_path(known).parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("place", ["whole", "moved"])
def test_what_is_fetched_is_a_detector_by_its_name(
    server: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = serve(monkeypatch, f"{server}/{place}")
    assert {row["name"]: row["here"] for row in detector_rows()}["yunet"] == "no"
    path, card = pull("yunet")
    assert path.read_bytes() == NETWORK
    assert kept(known) == ["yunet.onnx"]
    assert card == known.card
    assert find_model("yunet").weights == path
    assert {row["name"]: row["here"] for row in detector_rows()}["yunet"] == "yes"


def test_what_is_there_is_not_fetched_again_unless_it_is_damaged(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = serve(monkeypatch, f"{server}/whole")
    pull("yunet")
    pull("yunet")
    assert Files.asked == ["/whole"]
    fetched_path(known).write_bytes(b"damaged")
    with pytest.raises(InputError, match="is damaged"):
        find_detector("yunet")
    pull("yunet")
    assert find_detector("yunet") is not None
    assert Files.asked == ["/whole", "/whole"]


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("gone", ServiceError, "the server answers 404 Not Found; save it from elsewhere as "),
        ("half", ServiceError, "broke off after 100 of "),
        ("other", InputError, "serves other bytes than expected (sha256 "),
        ("longer", InputError, "serves other bytes than expected (sha256 "),
    ],
)
def test_anything_else_leaves_nothing_behind(
    server: str,
    place: str,
    error: type[FacepaintError],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = serve(monkeypatch, f"{server}/{place}")
    with pytest.raises(error) as caught:
        pull("yunet")
    assert str(caught.value).startswith(known.url)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert kept(known) == []


def test_a_broken_fetch_leaves_what_was_there(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = serve(monkeypatch, f"{server}/half")
    fetched_path(known).parent.mkdir(parents=True)
    fetched_path(known).write_bytes(b"an older one")
    with pytest.raises(ServiceError):
        pull("yunet")
    assert fetched_path(known).read_bytes() == b"an older one"
    assert kept(known) == ["yunet.onnx"]


def test_without_network_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    known = serve(monkeypatch, f"http://127.0.0.1:{free_port()}/whole")
    with pytest.raises(ServiceError) as caught:
        pull("yunet")
    said = str(caught.value)
    assert said.startswith(f"{known.url} cannot be reached (")
    assert said.endswith(
        f"is there a network? Else save it from elsewhere as {fetched_path(known)}"
    )
    assert kept(known) == []


def test_other_names_are_told() -> None:
    with pytest.raises(
        UsageError, match=r"^no detector 'yolo' can be fetched; there are yunet, .*scrfd-500m$"
    ):
        pull("yolo")


def test_every_known_detector_is_pinned() -> None:
    for name, known in REMOTE_DETECTORS.items():
        assert known.card.name == name
        assert known.url.startswith("https://")
        assert len(known.card.sha256) == 64
        assert known.card.licence
        assert known.card.source
        assert 100_000 < known.bytes < 20_000_000


def test_the_commands_tell_licence_and_place(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from facepaint.cli.detectors import app

    known = serve(monkeypatch, f"{server}/whole")
    pulled = CliRunner().invoke(app, ["pull", "yunet"])
    assert pulled.exit_code == 0
    assert pulled.stdout == f"{fetched_path(known)}\n"
    assert "Licence: MIT" in pulled.stderr
    listed = CliRunner().invoke(app, ["list", "--json"])
    assert '"name": "yunet", "here": "yes", "licence": "MIT"' in listed.stdout
