"""The embedded stack: broker, object storage, workers and viewer on this machine, in one data
folder.

They are the same parts a cluster uses. What must outlive a restart is in the folder: queued
messages (``valkey/``), objects (``objects/``) and the generated secrets (``keys.json``). Ports are
free ones and may change.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import BaseFileLock, FileLock, Timeout
from pydantic import SecretStr

from facepaint.errors import ServiceError, UsageError
from facepaint.extras import require_extra
from facepaint.files import PRIVATE_MODE, write_text
from facepaint.queue import Queue
from facepaint.settings import CONNECTION_FIELDS, CONNECTION_NAME, Settings
from facepaint.stack import components
from facepaint.stack.components import LOOPBACK, free_port, listens
from facepaint.stack.processes import POLL_S, Child, Children, identity, wait_until_ready

START_S = 30.0
"""How long a service may take to answer after its start."""

LOCK_NAME = "stack.lock"
HOLDER_NAME = "stack.pid"
STATE_NAME = "stack.json"
KEYS_NAME = "keys.json"

SUPERVISE_S = 0.25

_PORT_TRIES = 3
_QUICK_DEATHS = 3
_YOUNG_S = 60.0


class Stack:
    """The running parts; a context manager. Use it from the thread that entered it.

    ``workers`` is the number of processes that detect and paint, by default one for each core; 0
    starts none.
    ``settings`` are those given until it is entered, then those by which clients reach the parts.
    """

    def __init__(
        self,
        home: Path,
        settings: Settings,
        workers: int | None = None,
        viewer: bool = True,
        viewer_port: int | None = None,
    ) -> None:
        if sys.platform == "win32":
            raise UsageError(
                "the embedded parts run on Linux and macOS; use `docker compose up`, or another "
                "machine's"
            )
        self.home = home.absolute()
        self.settings = settings
        self._workers = workers
        self._viewer = viewer
        self._viewer_port = viewer_port
        self._lock: BaseFileLock | None = None
        self._children = Children()
        self._services: list[Child] = []
        self._remembered = ""

    @property
    def children(self) -> list[Child]:
        """The started parts, services first."""
        return list(self._children)

    def __enter__(self) -> Self:
        """Start everything; the services and the viewer answer when this returns, workers may still
        be starting.

        Raises:
            MissingExtra: a part of the installation is missing.
            UsageError: a living stack holds the folder.
            ServiceError: a part does not start; the message names its log.
        """
        if self._workers != 0:
            require_extra("worker", "painting on this machine")
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.home / "logs").mkdir(mode=0o700, exist_ok=True)
        self._lock = _lock(self.home)
        try:
            _clear_leftovers(self.home)
            self._start()
        except BaseException:
            self.stop(gently=False)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._start_services()
        Queue(
            self.settings
        ).redeliver_unacked()  # nobody is at work on what a killed stack's workers had begun
        if self._workers != 0:
            for recipe in components.workers(self.home, self.settings, self._workers):
                self._children.start(recipe)
        if self._viewer:
            self._start_viewer()
        self._remember()
        connection = json.dumps(_facts(self.settings), indent=1) + "\n"
        write_text(self.home / CONNECTION_NAME, connection, mode=PRIVATE_MODE)

    def _start_services(self) -> None:
        keys = _keys(self.home)
        for attempt in range(_PORT_TRIES):
            broker_port, store_port = free_port(), free_port()
            self.settings = self.settings.model_copy(
                update={
                    "home": self.home,
                    "found_in": str(self.home / CONNECTION_NAME),
                    "broker_url": SecretStr(
                        f"redis://:{keys['broker_password']}@{LOOPBACK}:{broker_port}/0"
                    ),
                    "s3_endpoint": f"http://{LOOPBACK}:{store_port}",
                    "s3_access_key": SecretStr(keys["s3_access_key"]),
                    "s3_secret_key": SecretStr(keys["s3_secret_key"]),
                }
            )
            recipes = (
                components.valkey(self.home, self.settings),
                components.rclone(self.home, self.settings),
            )
            self._services = [self._children.start(recipe) for recipe in recipes]
            self._remember()
            try:
                for child in self._services:
                    wait_until_ready(child, START_S)
            except ServiceError:
                # Somebody may have taken a port between our look and the start.
                if attempt == _PORT_TRIES - 1 or all(child.alive for child in self._services):
                    raise
                for child in self._services:
                    self._children.drop(child)
            else:
                return

    def _start_viewer(self) -> None:
        port = self._choose_viewer_port()
        host = components.reachable(self.settings.viewer_host)
        self.settings = self.settings.model_copy(
            update={
                "viewer_port": port,
                "viewer_url": f"http://{f'[{host}]' if ':' in host else host}:{port}",
            }
        )
        child = self._children.start(components.viewer(self.home, self.settings))
        self._remember()
        wait_until_ready(child, START_S)

    def _choose_viewer_port(self) -> int:
        wanted = self.settings.viewer_port if self._viewer_port is None else self._viewer_port
        if wanted == 0:
            return free_port()
        if not listens(components.reachable(self.settings.viewer_host), wanted):
            return wanted
        if self._viewer_port is None and "viewer_port" not in self.settings.model_fields_set:
            return free_port()
        raise UsageError(
            f"port {wanted} for the viewer is taken; choose another one, or 0 for any that is free"
        )

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the workers answer too.

        Raises:
            ServiceError: one died or does not answer in time; the message names its log.
        """
        for child in self._children:
            wait_until_ready(child, timeout_s)

    def supervise(self, give_up: bool = False) -> list[str]:
        """Start again what has died, with a growing pause; returns one line for each death. Call it
        every so often.

        Raises:
            ServiceError: ``give_up`` is set and a part died for the third time within a minute of
                its start.
        """
        said = self._children.supervise()
        self._remember()
        for child in self._children:
            if give_up and child.deaths >= _QUICK_DEATHS:
                raise ServiceError(f"{child.exit_summary()} (log: {child.recipe.log})")
        return said

    def stop(self, gently: bool = True) -> None:
        """Stop every part, workers and viewer first; what they were doing is queued again. Nothing
        happens twice.

        Not ``gently`` means at once, for a folder whose data is not needed any more.
        """
        if self._lock is None:
            return
        try:
            if gently:
                self._children.stop(
                    [child for child in self._children if child not in self._services]
                )
                self._children.stop(self._services)
        finally:
            # Reached early when a second Ctrl-C comes: then nobody is asked any more.
            self._children.close()
            self._services = []
            for name in (CONNECTION_NAME, STATE_NAME):
                (self.home / name).unlink(missing_ok=True)
            _unlock(self.home, self._lock)
            self._lock = None

    def _remember(self) -> None:
        """Write down which processes are ours, for the start after a kill."""
        ours = {"pid": os.getpid(), "identity": identity(os.getpid())}
        living = [
            {"name": c.recipe.name, "pid": c.pid, "identity": identity(c.pid)}
            for c in self._children
            if c.alive
        ]
        text = json.dumps({**ours, "children": living})
        if text != self._remembered:
            write_text(self.home / STATE_NAME, text, mode=PRIVATE_MODE)
            self._remembered = text


def running_connection(home: Path, **overrides: Any) -> Settings | None:
    """The settings by which to reach the stack that lives in a folder, or None if none does.

    ``overrides`` are as in `Settings.load`.
    """
    state = _read(home / STATE_NAME)
    facts = _read(home / CONNECTION_NAME)
    if not facts or not state or not _lives(state):
        return None
    return Settings.load(**{**overrides, **facts}, home=home, found_in=str(home / CONNECTION_NAME))


def is_left_behind(home: Path) -> bool:
    """Whether the folder's connection file was written by a stack that is gone."""
    return (home / CONNECTION_NAME).exists() and running_connection(home) is None


@contextlib.contextmanager
def private_stack(settings: Settings, workers: int | None = None) -> Iterator[Stack]:
    """A stack of its own for one command, without a viewer, in a folder below ``settings.home``
    that goes with it.

    When the command fails the logs stay until the next one starts.
    """
    runs = settings.home / "runs"
    for folder in runs.glob("*"):
        _clear_run(folder)
    home = runs / secrets.token_hex(6)
    try:
        with Stack(home, settings, workers, viewer=False) as stack:
            try:
                yield stack
            finally:
                stack.stop(gently=False)
    except Exception:  # whatever went wrong, the logs may tell why
        for name in ("objects", "valkey", KEYS_NAME):
            _remove(home / name)
        raise
    except BaseException:
        _remove(home)
        raise
    else:
        _remove(home)


def _clear_run(folder: Path) -> None:
    """Remove what a killed run left, unless it is alive or too young to be locked yet."""
    try:
        if time.time() - folder.stat().st_mtime < _YOUNG_S:
            return
        lock = _lock(folder)
    except (UsageError, OSError):
        return
    try:
        _clear_leftovers(folder)
        _remove(folder)
    finally:
        _unlock(folder, lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(home: Path) -> BaseFileLock:
    """Lock a data folder. The lock ends with this process, however that ends.

    Raises:
        UsageError: another process holds it, or the folder's file system has no file locks.
    """
    holder = home / HOLDER_NAME
    # A soft lock would outlive a killed process and block the next start for good.
    lock = FileLock(home / LOCK_NAME, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        pid = holder.read_text().strip() if holder.exists() else "unknown"
        raise UsageError(
            f"facepaint already runs in {home} (process {pid}): use it, or stop it with "
            f"`kill {pid}`"
        ) from None
    except (OSError, NotImplementedError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise UsageError(
            f"{home} cannot be locked ({reason}): set FACEPAINT_HOME to a folder on a local disk"
        ) from exc
    write_text(holder, str(os.getpid()))
    return lock


def _unlock(home: Path, lock: BaseFileLock) -> None:
    """Release the lock; first remove the name of its holder, which the next one may rely on."""
    (home / HOLDER_NAME).unlink(missing_ok=True)
    lock.release()


def _clear_leftovers(home: Path) -> None:
    """End the children of a stack that was killed, and remove what they left half done."""
    state = _read(home / STATE_NAME)
    if not state:
        return
    for child in state["children"]:
        if _lives(child):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child["pid"], signal.SIGKILL)
            deadline = time.monotonic() + START_S
            while _lives(child) and time.monotonic() < deadline:
                time.sleep(POLL_S)
    for path in (home / "objects").rglob(".rclone_temp_*"):
        path.unlink(missing_ok=True)
    for name in (CONNECTION_NAME, STATE_NAME):
        (home / name).unlink(missing_ok=True)


def _lives(process: dict[str, Any]) -> bool:
    """Whether it is still the process that was written down, not a later one of the same number."""
    return bool(process["identity"]) and identity(process["pid"]) == process["identity"]


def _keys(home: Path) -> dict[str, str]:
    """The folder's secrets, made once."""
    path = home / KEYS_NAME
    keys = _read(path)
    if not keys:
        keys = {
            name: secrets.token_hex(20)
            for name in ("broker_password", "s3_access_key", "s3_secret_key")
        }
        write_text(path, json.dumps(keys), mode=PRIVATE_MODE)
    return keys


def _facts(settings: Settings) -> dict[str, str]:
    """What a connection file says."""
    found = {name: getattr(settings, name) for name in sorted(CONNECTION_FIELDS)}
    plain = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in found.items()
    }
    return {name: value for name, value in plain.items() if value is not None}


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of ours; empty if there is none or it is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
