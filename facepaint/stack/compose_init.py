"""Prepares a compose project before its services start: secrets, connection files, the bucket.

``python -m facepaint.stack.compose_init`` generates the secrets on the first start. It writes each
service's secret to a file that no other service's user can read, and two connection files: one for
the containers, one for the host. Later starts only follow changed ports.
``python -m facepaint.stack.compose_init bucket`` creates the bucket.

Compose's own file secrets cannot do this: they are bind mounts, which keep the owner and mode of
the file on the host, so services of different users could not each have their own.

There are two copies of the secrets, in the volume and on the host. The volume's wins. If the volume
is lost the host's is used, so other machines that have a copy of that file stay connected.
"""

import argparse
import ipaddress
import json
import os
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from facepaint.errors import FacepaintError, UsageError
from facepaint.files import PRIVATE_MODE, write_text
from facepaint.settings import CONNECTION_NAME, Settings
from facepaint.stack.components import LOOPBACK
from facepaint.store import Store

HOST_FILE = f".facepaint/{CONNECTION_NAME}"

PRIVATE_FOLDER_MODE = 0o700

_GENERATED = re.compile(r"[0-9a-f]{40}")

Owner = tuple[int, int]
"""A user id and a group id."""


@dataclass(frozen=True)
class Owners:
    """The users that the services run as, as in `docker-compose.yml` and the `Dockerfile`."""

    broker: Owner = (999, 999)
    clients: Owner = (10001, 10001)
    object_store: Owner = (10002, 10002)


@dataclass(frozen=True)
class Folders:
    """Mount points. ``host`` is the project's ``.facepaint``; it gets the owner of ``project``."""

    project: Path = Path("/project")
    host: Path = Path("/host")
    secrets: Path = Path("/secrets")
    broker_data: Path = Path("/data/broker")
    store_data: Path = Path("/data/object-store")


@dataclass(frozen=True)
class Endpoints:
    """Where the host reaches the services: one of its addresses and the ports published on it.

    Raises:
        UsageError: the address is not a single IP address, or the ports are not three valid ones.
    """

    address: str = LOOPBACK
    broker_port: int = 8472
    store_port: int = 8473
    viewer_port: int = 8471

    def __post_init__(self) -> None:
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError as exc:
            raise UsageError(
                f"FACEPAINT_ADDRESS={self.address}: give an IP address of this machine"
            ) from exc
        if address.is_unspecified:
            raise UsageError(
                f"FACEPAINT_ADDRESS={self.address}: give the one address under which others reach "
                "you"
            )
        for name, port in self._ports().items():
            if not 1 <= port <= 65535:
                raise UsageError(f"{name}={port}: give a port from 1 to 65535")
        if len(set(self._ports().values())) < 3:
            raise UsageError(f"{', '.join(self._ports())}: give three different ports")

    def _ports(self) -> dict[str, int]:
        return {
            "FACEPAINT_BROKER_PORT": self.broker_port,
            "FACEPAINT_STORE_PORT": self.store_port,
            "FACEPAINT_VIEWER_PORT": self.viewer_port,
        }

    @property
    def host(self) -> str:
        """The address as it stands in a URL."""
        return f"[{self.address}]" if ":" in self.address else self.address


@dataclass(frozen=True)
class Secrets:
    """The generated secrets, which the connection files contain."""

    broker_password: str
    s3_access_key: str
    s3_secret_key: str

    @classmethod
    def generate(cls) -> "Secrets":
        """New random secrets."""
        return cls(secrets.token_hex(20), secrets.token_hex(20), secrets.token_hex(20))

    @classmethod
    def read(cls, path: Path, called: str) -> "Secrets | None":
        """The secrets in a connection file, or None if there is no file.

        Args:
            called: the file's name in messages; its path inside the container means nothing to the
                user.

        Raises:
            UsageError: the file contains something else.
        """
        try:
            facts = json.loads(path.read_bytes())
            values = (
                urlsplit(facts["broker_url"]).password,
                facts["s3_access_key"],
                facts["s3_secret_key"],
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise UsageError(
                f"{called} contains no secrets of facepaint: move it away and start again"
            ) from exc
        # They are copied into a configuration file and into URLs, where other characters have a
        # meaning.
        if not all(isinstance(secret, str) and _GENERATED.fullmatch(secret) for secret in values):
            raise UsageError(
                f"{called} contains secrets that were not generated here: move it away and start "
                "again"
            )
        return cls(*values)


def prepare(folders: Folders, endpoints: Endpoints, owners: Owners | None = None) -> None:
    """Write every service's secret file and both connection files. Repeating it changes nothing.

    Raises:
        UsageError: an existing connection file contains no secrets, or names other services.
        OSError: a folder cannot be written.
    """
    owners = owners or Owners()
    host_owner = _owner(folders.project)
    _give_folder(folders.host, host_owner)
    _give_folder(folders.broker_data, owners.broker)
    _give_folder(folders.store_data, owners.object_store)
    # Two `docker compose up` at a time must not generate different secrets.
    with FileLock(folders.secrets / ".lock"):
        made = _existing_secrets(folders, endpoints) or Secrets.generate()
        # The clients' file contains all secrets and comes first: if this process is killed after
        # it, the next start continues with them.
        inside = _connection(made, endpoints, "broker:6379", "object-store:9000")
        _write(folders.secrets / CONNECTION_NAME, inside, owners.clients)
        broker_conf = f"requirepass {made.broker_password}\n"
        _write(folders.secrets / "broker.conf", broker_conf, owners.broker)
        _write(folders.secrets / "store-access-key", made.s3_access_key, owners.object_store)
        _write(folders.secrets / "store-secret-key", made.s3_secret_key, owners.object_store)
        broker = f"{endpoints.host}:{endpoints.broker_port}"
        store = f"{endpoints.host}:{endpoints.store_port}"
        outside = _connection(made, endpoints, broker, store)
        _write(folders.host / CONNECTION_NAME, outside, host_owner)


def _existing_secrets(folders: Folders, endpoints: Endpoints) -> Secrets | None:
    """The secrets of an earlier start, or None if this is the first.

    Raises:
        UsageError: the host's connection file names other services and must not be overwritten.
    """
    host_file = folders.host / CONNECTION_NAME
    in_volume = Secrets.read(
        folders.secrets / CONNECTION_NAME, f"{CONNECTION_NAME} in the volume 'secrets'"
    )
    on_host = Secrets.read(host_file, HOST_FILE)
    if on_host is None or on_host == in_volume:
        return in_volume
    if in_volume is not None or not _names_this_machine(host_file, endpoints):
        raise UsageError(
            f"{HOST_FILE} names other services than this project's: move it away and start again"
        )
    return on_host


def _names_this_machine(connection_file: Path, endpoints: Endpoints) -> bool:
    """Whether a connection file names services on this machine."""
    endpoint = json.loads(connection_file.read_bytes()).get("s3_endpoint", "")
    return urlsplit(endpoint).hostname in {LOOPBACK, endpoints.address}


def _connection(made: Secrets, endpoints: Endpoints, broker: str, store: str) -> str:
    """The JSON of a connection file. ``broker`` and ``store`` are hosts with ports."""
    facts = {
        "broker_url": f"redis://:{made.broker_password}@{broker}/0",
        "s3_access_key": made.s3_access_key,
        "s3_endpoint": f"http://{store}",
        "s3_secret_key": made.s3_secret_key,
        # The viewer asks for no password and shows every job: it is published on the loopback only.
        "viewer_url": f"http://{LOOPBACK}:{endpoints.viewer_port}",
    }
    return json.dumps(facts, indent=1) + "\n"


def _owner(path: Path) -> Owner:
    facts = path.stat()
    return facts.st_uid, facts.st_gid


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _give_folder(folder: Path, owner: Owner) -> None:
    """Give a folder, not its contents, to a user and close it to all others."""
    # Some file systems refuse to change an owner, even to the same one.
    if _owner(folder) != owner:
        os.chown(folder, *owner)
    if _mode(folder) != PRIVATE_FOLDER_MODE:
        folder.chmod(PRIVATE_FOLDER_MODE)


def _write(path: Path, text: str, owner: Owner) -> None:
    """Write a file that only its owner can read, unless it is already like that."""
    is_current = (
        path.is_file()
        and _owner(path) == owner
        and _mode(path) == PRIVATE_MODE
        and path.read_text() == text
    )
    if not is_current:
        write_text(path, text, mode=PRIVATE_MODE, owner=owner)


def main(arguments: Sequence[str] | None = None, folders: Folders | None = None) -> int:
    """Prepare the secrets or the bucket and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m facepaint.stack.compose_init", description="Prepare a compose project."
    )
    parser.add_argument("what", nargs="?", choices=("secrets", "bucket"), default="secrets")
    parser.add_argument(
        "--address", default=Endpoints.address, help="address the ports are published on"
    )
    parser.add_argument("--broker-port", type=int, default=Endpoints.broker_port)
    parser.add_argument("--store-port", type=int, default=Endpoints.store_port)
    parser.add_argument("--viewer-port", type=int, default=Endpoints.viewer_port)
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    try:
        if given.pop("what") == "bucket":
            Store(Settings.load()).make_bucket()
        else:
            prepare(folders or Folders(), Endpoints(**given))
    except FacepaintError as exc:
        print(f"facepaint: {exc}", file=sys.stderr)
        return exc.exit_code
    except OSError as exc:
        print(
            f"facepaint: {exc.filename or 'a folder'} cannot be prepared: {exc.strerror}",
            file=sys.stderr,
        )
        return UsageError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
