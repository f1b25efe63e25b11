"""Compose's init service: it generates secrets once, gives each file to its user, and refuses what
it must not overwrite."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facepaint.errors import UsageError
from facepaint.settings import CONNECTION_FIELDS, CONNECTION_NAME, Settings
from facepaint.stack.compose_init import (
    Endpoints,
    Folders,
    Owner,
    Owners,
    Secrets,
    main,
    prepare,
)
from facepaint.store import Store
from tests.support.paths import ROOT

ME = (os.getuid(), os.getgid())
OURS = Owners(ME, ME, ME)
SERVICE_FILES = {"broker.conf", "connection.json", "store-access-key", "store-secret-key"}

StartCompose = Callable[..., None]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """What compose mounts, as the first start finds it."""
    found = Folders(
        project=tmp_path / "project",
        host=tmp_path / "project" / ".facepaint",
        secrets=tmp_path / "secrets",
        broker_data=tmp_path / "broker",
        store_data=tmp_path / "objects",
    )
    for folder in (found.host, found.secrets, found.broker_data, found.store_data):
        folder.mkdir(parents=True)
    return found


@pytest.fixture
def start(folders: Folders) -> StartCompose:
    """What the init service does, as the user who runs the tests."""
    return lambda **endpoints: prepare(folders, Endpoints(**endpoints), OURS)


def facts(folder: Path) -> dict[str, str]:
    return dict(json.loads((folder / CONNECTION_NAME).read_text()))


def secrets_of(folders: Folders) -> Secrets:
    """The secrets, which must be the same in every file."""
    inside = Secrets.read(folders.secrets / CONNECTION_NAME, "inside")
    assert inside is not None
    assert Secrets.read(folders.host / CONNECTION_NAME, "host") == inside
    assert (
        folders.secrets / "broker.conf"
    ).read_text() == f"requirepass {inside.broker_password}\n"
    assert (folders.secrets / "store-access-key").read_text() == inside.s3_access_key
    assert (folders.secrets / "store-secret-key").read_text() == inside.s3_secret_key
    return inside


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def test_the_first_start_makes_secrets_that_only_their_owners_read(
    folders: Folders, start: StartCompose
) -> None:
    start()
    made = secrets_of(folders)
    assert len({made.broker_password, made.s3_access_key, made.s3_secret_key}) == 3
    for secret in (made.broker_password, made.s3_access_key, made.s3_secret_key):
        assert re.fullmatch("[0-9a-f]{40}", secret)
    files = [folders.secrets / name for name in SERVICE_FILES] + [folders.host / CONNECTION_NAME]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 5
    assert {path.name for path in folders.secrets.iterdir()} == SERVICE_FILES | {".lock"}
    assert [path.name for path in folders.host.iterdir()] == [CONNECTION_NAME]
    private = (folders.host, folders.broker_data, folders.store_data)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in private] == [0o700] * 3


def test_host_and_containers_find_the_services_under_their_own_names(
    folders: Folders, start: StartCompose
) -> None:
    start(broker_port=1001, store_port=1002, viewer_port=1003)
    made, host, inside = secrets_of(folders), facts(folders.host), facts(folders.secrets)
    assert set(host) == set(inside)
    assert set(host) <= CONNECTION_FIELDS
    assert host["broker_url"] == f"redis://:{made.broker_password}@127.0.0.1:1001/0"
    assert host["s3_endpoint"] == "http://127.0.0.1:1002"
    assert host["viewer_url"] == inside["viewer_url"] == "http://127.0.0.1:1003"
    assert inside["broker_url"] == f"redis://:{made.broker_password}@broker:6379/0"
    assert inside["s3_endpoint"] == "http://object-store:9000"


def test_the_host_finds_the_connection_file_by_itself(
    folders: Folders, start: StartCompose, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    below = folders.project / "clips"
    below.mkdir()
    monkeypatch.chdir(below)
    settings = Settings.load().require_services()
    assert settings.found_in == str(folders.host / CONNECTION_NAME)
    assert settings.s3_endpoint == "http://127.0.0.1:8473"


def test_a_later_start_touches_nothing(folders: Folders, start: StartCompose) -> None:
    def state() -> dict[Path, tuple[int, int, bytes]]:
        files = [folders.secrets / name for name in SERVICE_FILES] + [
            folders.host / CONNECTION_NAME
        ]
        return {
            path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in files
        }

    start()
    before = state()
    start()
    assert state() == before


def test_changed_ports_change_the_connection_and_no_secret(
    folders: Folders, start: StartCompose
) -> None:
    start()
    before = secrets_of(folders)
    start(broker_port=2001, store_port=2002, viewer_port=2003, address="10.1.2.3")
    assert secrets_of(folders) == before
    host = facts(folders.host)
    assert host["broker_url"].endswith("@10.1.2.3:2001/0")
    assert host["s3_endpoint"] == "http://10.1.2.3:2002"
    assert host["viewer_url"] == "http://127.0.0.1:2003", (
        "the viewer asks for no password: it is published on this machine only"
    )


def test_an_ipv6_address_is_bracketed(folders: Folders, start: StartCompose) -> None:
    start(address="fd00::5")
    assert facts(folders.host)["s3_endpoint"] == "http://[fd00::5]:8473"
    start(address="fd00::5")


def test_secrets_outlive_the_volumes(folders: Folders, start: StartCompose) -> None:
    start()
    before = secrets_of(folders)
    empty(folders.secrets)
    start(store_port=2002)
    assert secrets_of(folders) == before


def test_secrets_outlive_the_host_file(folders: Folders, start: StartCompose) -> None:
    start()
    before = secrets_of(folders)
    empty(folders.host)
    start()
    assert secrets_of(folders) == before


def test_with_both_gone_there_are_new_secrets(folders: Folders, start: StartCompose) -> None:
    start()
    before = secrets_of(folders)
    empty(folders.secrets)
    empty(folders.host)
    start()
    assert secrets_of(folders) != before


def test_a_wrong_mode_is_corrected(folders: Folders, start: StartCompose) -> None:
    start()
    (folders.host / CONNECTION_NAME).chmod(0o644)
    folders.host.chmod(0o755)
    start()
    assert stat.S_IMODE((folders.host / CONNECTION_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(folders.host.stat().st_mode) == 0o700


@pytest.mark.parametrize("volume_is_there", [True, False])
def test_a_connection_file_of_other_services_is_not_overwritten(
    folders: Folders, start: StartCompose, volume_is_there: bool
) -> None:
    if volume_is_there:
        start()
    other = facts(folders.host) if volume_is_there else {}
    other |= {
        "broker_url": f"redis://:{'a' * 40}@10.9.9.9:8472/0",
        "s3_endpoint": "http://10.9.9.9:8473",
        "s3_access_key": "b" * 40,
        "s3_secret_key": "c" * 40,
    }
    (folders.host / CONNECTION_NAME).write_text(json.dumps(other))
    with pytest.raises(
        UsageError, match=r"\.facepaint/connection\.json names other services .* move it away"
    ):
        start()
    assert facts(folders.host) == other


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "contains no secrets of facepaint"),
        ("[]", "contains no secrets of facepaint"),
        ("{}", "contains no secrets of facepaint"),
        (
            json.dumps(
                {"broker_url": "redis://127.0.0.1/0", "s3_access_key": "", "s3_secret_key": ""}
            ),
            "contains secrets that were not generated here",
        ),
        (
            json.dumps(
                {
                    "broker_url": "redis://:x y@h/0",
                    "s3_access_key": "a" * 40,
                    "s3_secret_key": "b" * 40,
                }
            ),
            "contains secrets that were not generated here",
        ),
    ],
)
def test_a_damaged_connection_file_is_named(
    folders: Folders, start: StartCompose, text: str, why: str
) -> None:
    (folders.host / CONNECTION_NAME).write_text(text)
    with pytest.raises(
        UsageError, match=rf"^\.facepaint/connection\.json {why}.*: move it away and start again$"
    ):
        start()
    assert {path.name for path in folders.secrets.iterdir()} == {".lock"}


def test_an_interrupted_start_is_finished_by_the_next(
    folders: Folders, start: StartCompose
) -> None:
    """The clients' file is written first, and is enough to continue."""
    start()
    before = secrets_of(folders)
    first = folders.secrets / CONNECTION_NAME
    later = [folders.secrets / name for name in SERVICE_FILES - {CONNECTION_NAME}]
    later.append(folders.host / CONNECTION_NAME)
    for path in later:
        assert path.stat().st_mtime_ns >= first.stat().st_mtime_ns
        path.unlink()
    start()
    assert secrets_of(folders) == before


def test_starts_at_the_same_time_agree(folders: Folders) -> None:
    code = (
        "import sys; from pathlib import Path; from facepaint.stack.compose_init import *; "
        "prepare(Folders(*map(Path, sys.argv[1:6])), Endpoints(), "
        "Owners(*3 * [(int(sys.argv[6]), int(sys.argv[7]))]))"
    )
    paths = (
        folders.project,
        folders.host,
        folders.secrets,
        folders.broker_data,
        folders.store_data,
    )
    command = [sys.executable, "-c", code, *map(str, (*paths, *ME))]
    started = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0] * 4
    secrets_of(folders)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_every_file_is_given_to_its_user(folders: Folders) -> None:
    os.chown(folders.project, 4321, 8765)
    prepare(folders, Endpoints())

    def owner(path: Path) -> Owner:
        return path.stat().st_uid, path.stat().st_gid

    assert owner(folders.host) == owner(folders.host / CONNECTION_NAME) == (4321, 8765)
    assert owner(folders.secrets / "broker.conf") == owner(folders.broker_data) == Owners.broker
    assert owner(folders.secrets / "connection.json") == Owners.clients
    assert owner(folders.store_data) == Owners.object_store
    assert (
        owner(folders.secrets / "store-access-key")
        == owner(folders.secrets / "store-secret-key")
        == Owners.object_store
    )
    assert len({Owners.broker, Owners.clients, Owners.object_store}) == 3, (
        "services of different users cannot read each other's files"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"address": "0.0.0.0"},
            "FACEPAINT_ADDRESS=0.0.0.0: give the one address under which others reach you",
        ),
        (
            {"address": "example.org"},
            "FACEPAINT_ADDRESS=example.org: give an IP address of this machine",
        ),
        ({"viewer_port": 0}, "FACEPAINT_VIEWER_PORT=0: give a port from 1 to 65535"),
        ({"broker_port": 70000}, "FACEPAINT_BROKER_PORT=70000: give a port from 1 to 65535"),
        ({"store_port": 8472}, "give three different ports"),
    ],
)
def test_unreachable_endpoints_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Endpoints(**given)


def test_a_folder_that_is_not_mounted_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    assert main([], Folders(gone, gone, gone, gone, gone)) == 2
    assert (
        capsys.readouterr().err
        == f"facepaint: {gone} cannot be prepared: No such file or directory\n"
    )


def test_the_bucket_is_made_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert main(["bucket"]) == 0
    Store(settings).put("kept", b"x")
    assert main(["bucket"]) == 0
    assert Store(settings).get("kept") == b"x"


def test_a_refused_bucket_is_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FACEPAINT_S3_SECRET_KEY", "wrong")
    assert main(["bucket"]) == 4
    assert capsys.readouterr().err.startswith(
        f"facepaint: the object storage at {settings.s3_endpoint} refused ("
    )
