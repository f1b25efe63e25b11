"""What compose runs once before the services: secrets, connection files, and then the bucket.

``python -m facepaint.stack.compose_init`` makes the secrets on the first start and hands each
service its own, as files that no other service's user can read; it writes the connection file of
the containers and that of the host. Later starts change nothing but what follows from changed
ports. ``python -m facepaint.stack.compose_init bucket`` makes the bucket.

The secrets outlive either copy of them: the volume's counts, and where it is gone the host's
connection file is taken, so that machines which were given a copy of that file stay connected.
"""

import argparse
import ipaddress
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
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

_OURS = re.compile(r"[0-9a-f]{40}")

Owner = tuple[int, int]
"""A user and a group, by their numbers."""

BROKER: Owner = (999, 999)
CLIENTS: Owner = (10001, 10001)
OBJECT_STORE: Owner = (10002, 10002)
"""Whom the services run as: `docker-compose.yml` and the `Dockerfile` say the same, and a test
compares them."""


@dataclass(frozen=True)
class Folders:
    """Where things are mounted. ``project`` is only looked at, for its owner; ``host`` is its
    ``.facepaint``."""

    project: Path = Path("/project")
    host: Path = Path("/host")
    secrets: Path = Path("/secrets")
    broker_data: Path = Path("/data/broker")
    store_data: Path = Path("/data/object-store")


@dataclass(frozen=True)
class Endpoints:
    """Where the host reaches the services: an address of its own and the ports published on it."""

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
    """What was generated once; kept in the connection files."""

    broker_password: str
    s3_access_key: str
    s3_secret_key: str

    @classmethod
    def generate(cls) -> "Secrets":
        """New ones."""
        return cls(*(secrets.token_hex(20) for _ in range(3)))

    @classmethod
    def read(cls, path: Path, called: str) -> "Secrets | None":
        """Those in a connection file, or None if there is no file. ``called`` is what its user
        knows it as.

        Raises:
            UsageError: the file holds something else.
        """
        try:
            facts = json.loads(path.read_bytes())
            found = (
                urlsplit(facts["broker_url"]).password,
                facts["s3_access_key"],
                facts["s3_secret_key"],
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise UsageError(
                f"{called} holds no secrets of facepaint: move it away and start again"
            ) from exc
        if not all(isinstance(secret, str) and _OURS.fullmatch(secret) for secret in found):
            raise UsageError(
                f"{called} holds secrets that were not made here: move it away and start again"
            )
        return cls(*found)


def prepare(
    folders: Folders, endpoints: Endpoints, owners: Mapping[str, Owner] | None = None
) -> None:
    """Write every service's secret file and both connection files; repeating it changes nothing.

    ``owners`` says whose the files of ``broker``, ``object-store`` and ``clients`` become.

    Raises:
        UsageError: a connection file that is there holds no secrets.
        OSError: a folder cannot be written.
    """
    owners = owners or {"broker": BROKER, "object-store": OBJECT_STORE, "clients": CLIENTS}
    host_owner = _owner(folders.project)
    _hand_over(folders.host, host_owner, 0o700)
    _hand_over(folders.broker_data, owners["broker"], 0o700)
    _hand_over(folders.store_data, owners["object-store"], 0o700)
    with FileLock(folders.secrets / ".lock"):
        made = _kept(folders, endpoints) or Secrets.generate()
        # The clients' file comes first: should we be killed after it, the next start finds the
        # secrets there.
        _write(folders.secrets / CONNECTION_NAME, _in_network(made, endpoints), owners["clients"])
        _write(
            folders.secrets / "broker.conf",
            f"requirepass {made.broker_password}\n",
            owners["broker"],
        )
        _write(folders.secrets / "store-access-key", made.s3_access_key, owners["object-store"])
        _write(folders.secrets / "store-secret-key", made.s3_secret_key, owners["object-store"])
        _write(folders.host / CONNECTION_NAME, _on_host(made, endpoints), host_owner)


def _kept(folders: Folders, endpoints: Endpoints) -> Secrets | None:
    """The secrets of an earlier start, or None if this is the first.

    Raises:
        UsageError: the host's connection file names other services; it is not ours to overwrite.
    """
    host_file = folders.host / CONNECTION_NAME
    ours = Secrets.read(
        folders.secrets / CONNECTION_NAME, f"{CONNECTION_NAME} in the volume 'secrets'"
    )
    theirs = Secrets.read(host_file, HOST_FILE)
    if theirs is None or theirs == ours:
        return ours
    if ours is not None or not _is_here(host_file, endpoints):
        raise UsageError(
            f"{HOST_FILE} names other services than this project's: move it away and start again"
        )
    return theirs


def _is_here(connection_file: Path, endpoints: Endpoints) -> bool:
    """Whether a connection file names services on this machine."""
    named = urlsplit(json.loads(connection_file.read_bytes()).get("s3_endpoint", "")).hostname
    return named in {LOOPBACK, endpoints.address}


def _in_network(made: Secrets, endpoints: Endpoints) -> str:
    """The connection file of the containers: services by their names in compose."""
    return _connection(made, endpoints, "broker:6379", "object-store:9000")


def _on_host(made: Secrets, endpoints: Endpoints) -> str:
    """The connection file of the host: services by their published ports."""
    broker, store = (
        f"{endpoints.host}:{endpoints.broker_port}",
        f"{endpoints.host}:{endpoints.store_port}",
    )
    return _connection(made, endpoints, broker, store)


def _connection(made: Secrets, endpoints: Endpoints, broker: str, store: str) -> str:
    facts = {
        "broker_url": f"redis://:{made.broker_password}@{broker}/0",
        "s3_access_key": made.s3_access_key,
        "s3_endpoint": f"http://{store}",
        "s3_public_endpoint": f"http://{endpoints.host}:{endpoints.store_port}",
        "s3_secret_key": made.s3_secret_key,
        # Whoever can ask the viewer sees every job, so it is published on this machine alone.
        "viewer_url": f"http://{LOOPBACK}:{endpoints.viewer_port}",
    }
    return json.dumps(facts, indent=1) + "\n"


def _owner(path: Path) -> Owner:
    facts = path.stat()
    return facts.st_uid, facts.st_gid


def _hand_over(folder: Path, owner: Owner, mode: int) -> None:
    """Give a folder (not what is in it) to its user."""
    if _owner(folder) != owner:
        os.chown(folder, *owner)
    if folder.stat().st_mode & 0o777 != mode:
        folder.chmod(mode)


def _write(path: Path, text: str, owner: Owner) -> None:
    """Write a file of its owner's alone, unless it is there just so."""
    if (
        path.is_file()
        and _owner(path) == owner
        and path.stat().st_mode & 0o777 == 0o600
        and path.read_text() == text
    ):
        return
    write_text(path, text, mode=PRIVATE_MODE, owner=owner)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two; returns the exit code."""
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
            prepare(Folders(), Endpoints(**given))
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
