"""Settings: where they are read, what takes precedence, and the errors of wrong values."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facepaint.errors import ServiceError, UsageError
from facepaint.settings import CONNECTION_NAME, Settings, default_home
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, two below ``tmp_path``, and an empty home for the data."""
    here = tmp_path / "project" / "clips"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path / "data"))
    return here


def connection_file(folder: Path, name: str) -> Path:
    """A connection file in which everything is called ``name``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONNECTION_NAME
    facts = {
        "broker_url": f"redis://{name}:6379/0",
        "s3_endpoint": f"http://{name}:9000",
        "s3_access_key": name,
        "s3_secret_key": f"{name}'s secret",
        "s3_bucket": name,
    }
    path.write_text(json.dumps(facts))
    return path


def test_by_default_there_are_no_services(tmp_path: Path) -> None:
    settings = Settings.load()
    assert settings.home == tmp_path / "data"
    assert settings.broker_url is None
    assert settings.found_in == ""
    with pytest.raises(ServiceError, match=r"`facepaint up` or `docker compose up`"):
        settings.require_services()


def test_the_default_home_is_the_users_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FACEPAINT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    if sys.platform == "linux":
        assert default_home() == tmp_path / "share" / "facepaint"
    assert Settings.load().home == default_home()


def test_arguments_beat_variables_and_variables_beat_the_env_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text(
        "FACEPAINT_CRF=30\nFACEPAINT_PRESET=medium\nFACEPAINT_SEGMENT_S=4\nUNRELATED=1\n"
    )
    monkeypatch.setenv("FACEPAINT_CRF", "25")
    monkeypatch.setenv("FACEPAINT_PRESET", "fast")
    settings = Settings.load(crf=18, preset=None)
    assert (settings.crf, settings.preset, settings.segment_s) == (18, "fast", 4.0)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPAINT_CRF", "")
    assert Settings.load().crf == 20


def test_services_are_taken_from_the_first_place_that_names_them(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> tuple[str, str]:
        settings = Settings.load().require_services()
        assert settings.s3_secret_key.get_secret_value() == f"{settings.s3_bucket}'s secret"
        return settings.s3_bucket, settings.found_in

    own = connection_file(tmp_path / "data", "own")
    assert found() == ("own", str(own))
    project = connection_file(tmp_path / "project" / ".facepaint", "project")
    assert found() == ("project", str(project))
    nearer = connection_file(folder / ".facepaint", "nearer")
    assert found() == ("nearer", str(nearer))
    named = connection_file(tmp_path / "elsewhere", "named")
    monkeypatch.setenv("FACEPAINT_CONNECTION_FILE", str(named))
    assert found() == ("named", str(named))


def test_variables_that_name_broker_and_store_beat_every_connection_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_file(tmp_path / "data", "own")
    monkeypatch.setenv("FACEPAINT_BROKER_URL", "redis://cluster/0")
    monkeypatch.setenv("FACEPAINT_S3_ENDPOINT", "http://cluster")
    settings = Settings.load()
    assert settings.s3_endpoint == "http://cluster"
    assert settings.found_in == "FACEPAINT_* variables"
    # The key of one storage is never sent to another.
    assert settings.s3_secret_key.get_secret_value() == ""
    assert settings.s3_bucket == "facepaint"


def test_a_connection_file_sets_nothing_but_the_connection(tmp_path: Path) -> None:
    path = connection_file(tmp_path / "data", "own")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crf": 51, "home": "/"}))
    settings = Settings.load()
    assert settings.crf == 20
    assert settings.home == tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CRF", "99", "FACEPAINT_CRF=99: Input should be less than or equal to 51"),
        ("CRF", "high", "FACEPAINT_CRF=high: Input should be a valid integer"),
        ("SEGMENT_S", "0", "FACEPAINT_SEGMENT_S=0: Input should be greater than 0"),
        (
            "DEVICE",
            "gpu",
            "FACEPAINT_DEVICE=gpu: Input should be 'auto', 'cpu', 'cuda', 'tensorrt' or 'openvino'",
        ),
        (
            "VIEWER_PORT",
            "70000",
            "FACEPAINT_VIEWER_PORT=70000: Input should be less than or equal to 65535",
        ),
    ],
)
def test_a_wrong_value_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"FACEPAINT_{name}", value)
    with pytest.raises(UsageError) as caught:
        Settings.load()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_damaged_connection_file_is_named(tmp_path: Path) -> None:
    path = connection_file(tmp_path / "data", "own")
    path.write_text('{"broker_url": ')
    with pytest.raises(UsageError) as caught:
        Settings.load()
    assert str(caught.value).startswith(f"{path} cannot be read (")
    assert "\n" not in str(caught.value)


def test_a_missing_connection_file_is_an_error_if_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPAINT_CONNECTION_FILE", "/nowhere/connection.json")
    with pytest.raises(
        UsageError, match=r"^FACEPAINT_CONNECTION_FILE names /nowhere/connection\.json"
    ):
        Settings.load()


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPAINT_BROKER_URL", "redis://:pass-word@host/0")
    monkeypatch.setenv("FACEPAINT_S3_SECRET_KEY", "pass-key")
    settings = Settings.load()
    for shown in (str(settings), repr(settings), settings.model_dump_json()):
        assert "pass-" not in shown


def test_a_child_gets_the_same_settings(tmp_path: Path) -> None:
    connection_file(tmp_path / "data", "own")
    settings = Settings.load(crf=33, viewer_port=0)
    script = (
        "from facepaint.settings import Settings; s = Settings.load(); print(s.crf, "
        "s.viewer_port, s.s3_secret_key)"
    )
    script += "; print(s.s3_secret_key.get_secret_value(), s.broker_url.get_secret_value(), s.home)"
    root = ROOT
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FACEPAINT_")}
    shown = subprocess.run(
        [sys.executable, "-c", script],
        env=plain | settings.environment() | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split("\n")[:2] == [
        "33 0 **********",
        f"own's secret redis://own:6379/0 {tmp_path / 'data'}",
    ]


def test_work_is_queued_again_after_two_visibility_timeouts() -> None:
    assert Settings.load().requeue_after_s == 240
    assert Settings.load(visibility_timeout_s=7).requeue_after_s == 14


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("redis://host", "redis://host/0"),
        ("valkey://:pass@host:7000/3", "redis://:pass@host:7000/3"),
        ("valkeys://user:pass@host/1", "rediss://user:pass@host/1"),
        ("redis://:a[b#c/d?e@f;g@host:7000/0", "redis://:a%5Bb%23c%2Fd%3Fe%40f%3Bg@host:7000/0"),
        ("redis://:a%23b@[::1]:7000/0", "redis://:a%23b@[::1]:7000/0"),
    ],
)
def test_a_broker_url_may_have_any_password(given: str, used: str) -> None:
    url = Settings.load(broker_url=given).broker_url
    assert url is not None
    assert url.get_secret_value() == used


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sentinel://:pass-word@host/0", "Sentinel is not supported"),
        ("amqp://:pass-word@host", r"must begin with redis://, rediss://, valkey:// or valkeys://"),
        ("pass-word", "must begin with redis://"),
        ("redis://:pass-word@/0", "must be redis://USER:PASSWORD@HOST"),
        ("redis://:pass-word@host:99999/0", "must be redis://USER:PASSWORD@HOST"),
        ("redis://:pass-word@host/jobs", "must be redis://USER:PASSWORD@HOST"),
        ("redis://:pass-word@host/0?ssl_cert_reqs=none", "must be redis://USER:PASSWORD@HOST"),
        ("redis://user:pass-word", "must be redis://USER:PASSWORD@HOST"),
    ],
)
def test_another_broker_url_is_refused_without_its_password(given: str, expected: str) -> None:
    with pytest.raises(UsageError, match=rf"^FACEPAINT_BROKER_URL: {expected}") as caught:
        Settings.load(broker_url=given)
    assert "pass-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        "ftp://host",
        "host:9000",
        "http://[host",
        "http://",
        "http://user:pass-word@host",
        "http://a host",
        "http://host:99999",
        "http://host?x",
    ],
)
def test_another_storage_url_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=r"^FACEPAINT_S3_ENDPOINT: must ") as caught:
        Settings.load(s3_endpoint=given)
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"s3_secret_key": ["pass-word"]}', "s3_secret_key must be text in quotation marks"),
        ('{"broker_url": 5}', "broker_url must be text in quotation marks"),
        ('["pass-word"]', "is not a connection file"),
        ('{"s3_secret_key": pass-word}', r"cannot be read \(not JSON\)"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_damaged_connection_file_is_refused_without_its_secrets(
    text: str, expected: str, tmp_path: Path
) -> None:
    path = connection_file(tmp_path / "data", "own")
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"connection\.json:? {expected}") as caught:
        Settings.load()
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_an_env_file_may_have_a_byte_order_mark(encoding: str, folder: Path) -> None:
    (folder / ".env").write_text("FACEPAINT_CRF=31\n", encoding)
    assert Settings.load().crf == 31


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252"])
def test_an_env_file_that_is_not_utf8_is_named(encoding: str, folder: Path) -> None:
    (folder / ".env").write_text("FACEPAINT_HOME=C:\\Bücher\nFACEPAINT_CRF=31\n", encoding)
    with pytest.raises(UsageError, match=r"/\.env cannot be read \(it is not text in UTF-8\)"):
        Settings.load()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_an_env_file_without_permission_is_named(folder: Path) -> None:
    (folder / ".env").write_text("FACEPAINT_CRF=31\n")
    (folder / ".env").chmod(0)
    with pytest.raises(UsageError, match=r"/\.env cannot be read \(Permission denied\)"):
        Settings.load()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "cannot be read"), (b"no certificate", "has no certificate in PEM format")],
)
def test_a_file_without_certificates_is_refused(
    content: bytes | None, expected: str, folder: Path
) -> None:
    path = folder / "authorities.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"^FACEPAINT_CA_FILE=.*authorities\.pem: {expected}"):
        Settings.load(ca_file=path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("s3_region", "a b"),
        ("s3_region", ""),
        ("s3_bucket", "x/../y"),
        ("s3_bucket", "A B"),
        ("s3_access_key", "a\nb"),
        ("s3_access_key", "ключ"),
    ],
)
def test_what_no_storage_accepts_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=rf"^FACEPAINT_{name.upper()}(=.*)?: "):
        Settings.load(**{name: value})
