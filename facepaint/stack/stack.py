"""The embedded stack: broker, object storage, workers and viewer on this machine, in one data
folder.

They are the same programs that a cluster uses. The folder contains what must outlive a restart:
queued messages (``valkey/``), objects (``objects/``) and the generated secrets (``keys.json``).
Ports are free ones and change from start to start.
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
from facepaint.files import PRIVATE_MODE, require_writable, write_text
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
"""Pause between two calls of `Stack.supervise`."""

_PORT_ATTEMPTS = 3
_MAX_QUICK_DEATHS = 3

RUNS_NAME = "runs"
"""The folder of the private stacks of commands, below a data folder."""

_UNLOCKED_S = 60.0
"""A younger folder of a run may belong to a process that has not locked it yet."""


class Stack:
    """The running components; a context manager. Use it from the thread that entered it.

    Attributes:
        home: the data folder.
        settings: those given; once entered, those by which clients reach the services.
    """

    def __init__(
        self,
        home: Path,
        settings: Settings,
        workers: int | None = None,
        viewer: bool = True,
        viewer_port: int | None = None,
    ) -> None:
        """Prepare a stack without starting it.

        Args:
            home: the data folder; created if missing.
            settings: everything but the connection.
            workers: processes that detect and paint, by default one for each core; 0 for none.
            viewer: whether to start the viewer.
            viewer_port: port of the viewer, by default the settings'; 0 for a free one.

        Raises:
            UsageError: the system is Windows.
        """
        if sys.platform == "win32":
            raise UsageError(
                "the embedded services run on Linux and macOS only: use `docker compose up`, or "
                "the services of another machine"
            )
        self.home = home.absolute()
        self.settings = settings
        self._workers = workers
        self._viewer = viewer
        self._viewer_port = viewer_port
        self._lock: BaseFileLock | None = None
        self._children = Children()
        self._services: list[Child] = []
        self._saved_state = ""

    @property
    def children(self) -> list[Child]:
        """The started components, services first."""
        return list(self._children)

    def __enter__(self) -> Self:
        """Start everything. The services and the viewer answer when this returns; workers may
        still be starting.

        Raises:
            MissingExtra: an optional part of the installation is missing.
            UsageError: the folder is locked by a running stack, or the viewer's port is taken.
            ServiceError: a component does not start; the message names its log.
        """
        if self._workers != 0:
            require_extra("worker", "painting on this machine")
        _make_folders(self.home)
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
        # No worker is running yet: unacknowledged messages are of a stack that was killed.
        Queue(self.settings).redeliver_unacked()
        if self._workers != 0:
            for recipe in components.workers(self.home, self.settings, self._workers):
                self._children.start(recipe)
        if self._viewer:
            self._start_viewer()
        self._save_state()
        # Last, since it makes commands use this stack.
        connection = json.dumps(_connection_facts(self.settings), indent=1) + "\n"
        write_text(self.home / CONNECTION_NAME, connection, mode=PRIVATE_MODE)

    def _start_services(self) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.settings = self._with_new_ports(_keys(self.home))
            recipes = (
                components.valkey(self.home, self.settings),
                components.rclone(self.home, self.settings),
            )
            self._services = [self._children.start(recipe) for recipe in recipes]
            self._save_state()
            try:
                for child in self._services:
                    wait_until_ready(child, START_S)
            except ServiceError:
                # Another process may have taken a port that was free a moment ago.
                if attempt == _PORT_ATTEMPTS or all(child.alive for child in self._services):
                    raise
                for child in self._services:
                    self._children.drop(child)
            else:
                return

    def _with_new_ports(self, keys: dict[str, str]) -> Settings:
        """The settings with the services on free ports of the loopback address."""
        broker_port, store_port = free_port(), free_port()
        broker_url = f"redis://:{keys['broker_password']}@{LOOPBACK}:{broker_port}/0"
        return self.settings.model_copy(
            update={
                "home": self.home,
                "found_in": str(self.home / CONNECTION_NAME),
                "broker_url": SecretStr(broker_url),
                "s3_endpoint": f"http://{LOOPBACK}:{store_port}",
                "s3_access_key": SecretStr(keys["s3_access_key"]),
                "s3_secret_key": SecretStr(keys["s3_secret_key"]),
            }
        )

    def _start_viewer(self) -> None:
        port = self._choose_viewer_port()
        host = components.reachable(self.settings.viewer_host)
        shown_host = f"[{host}]" if ":" in host else host
        self.settings = self.settings.model_copy(
            update={"viewer_port": port, "viewer_url": f"http://{shown_host}:{port}"}
        )
        child = self._children.start(components.viewer(self.home, self.settings))
        self._save_state()
        wait_until_ready(child, START_S)

    def _choose_viewer_port(self) -> int:
        wanted = self.settings.viewer_port if self._viewer_port is None else self._viewer_port
        if wanted == 0:
            return free_port()
        if not listens(components.reachable(self.settings.viewer_host), wanted):
            return wanted
        # A port that nobody has chosen may give way.
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
        """Restart dead components. Call it every `SUPERVISE_S`.

        Args:
            give_up: whether to raise an error when a component keeps dying.

        Returns:
            One line for each death since the last call.

        Raises:
            ServiceError: ``give_up`` is set and a component has died for the third time in a row,
                each within a minute of its start.
        """
        deaths = self._children.supervise()
        self._save_state()
        for child in self._children:
            if give_up and child.deaths >= _MAX_QUICK_DEATHS:
                raise ServiceError(f"{child.exit_summary()} (log: {child.recipe.log})")
        return deaths

    def stop(self, gently: bool = True) -> None:
        """Stop every component; unfinished tasks return to the queue. Idempotent.

        Args:
            gently: whether workers get the time to finish; else everything is killed at once.
        """
        if self._lock is None:
            return
        try:
            if gently:
                # Services last: workers hand their tasks back to the broker.
                clients = [child for child in self._children if child not in self._services]
                self._children.stop(clients)
                self._children.stop(self._services)
        finally:
            # A second Ctrl-C gets here early: whatever is left is killed.
            self._children.close()
            self._services = []
            for name in (CONNECTION_NAME, STATE_NAME):
                (self.home / name).unlink(missing_ok=True)
            _unlock(self.home, self._lock)
            self._lock = None

    def _save_state(self) -> None:
        """Record our processes, for the start after this one was killed."""
        ours = {"pid": os.getpid(), "identity": identity(os.getpid())}
        running = [
            {"name": c.recipe.name, "pid": c.pid, "identity": identity(c.pid)}
            for c in self._children
            if c.alive
        ]
        text = json.dumps({**ours, "children": running})
        if text != self._saved_state:
            write_text(self.home / STATE_NAME, text, mode=PRIVATE_MODE)
            self._saved_state = text


def running_connection(home: Path, **overrides: Any) -> Settings | None:
    """The settings by which to reach the stack that runs in a folder, or None if none does.

    Args:
        overrides: as in `Settings.load`.
    """
    state = _read(home / STATE_NAME)
    facts = _read(home / CONNECTION_NAME)
    if not facts or not state or not _is_running(state):
        return None
    return Settings.load(**{**overrides, **facts}, home=home, found_in=str(home / CONNECTION_NAME))


def is_left_behind(home: Path) -> bool:
    """Whether the folder's connection file is of a stack that was killed."""
    return (home / CONNECTION_NAME).exists() and running_connection(home) is None


@contextlib.contextmanager
def private_stack(settings: Settings, workers: int | None = None) -> Iterator[Stack]:
    """A stack for one command, without a viewer, in a temporary folder below ``settings.home``.

    If the command fails, the folder stays with nothing but the logs, until the next one starts.
    """
    clear_runs(settings.home)
    home = settings.home / RUNS_NAME / secrets.token_hex(6)
    try:
        with Stack(home, settings, workers, viewer=False) as stack:
            try:
                yield stack
            finally:
                stack.stop(gently=False)
    except Exception:
        # The logs may explain the error.
        for name in ("objects", "valkey", KEYS_NAME):
            _remove(home / name)
        raise
    except BaseException:
        _remove(home)
        raise
    else:
        _remove(home)


def clear_runs(home: Path) -> int:
    """Remove the folders of runs that were killed or failed.

    Returns:
        How many of them held the videos of a killed run.
    """
    return sum(map(_clear_run, (home / RUNS_NAME).glob("*")))


def _clear_run(folder: Path) -> bool:
    """Remove the folder of a run that has ended; returns whether it held videos."""
    try:
        if time.time() - folder.stat().st_mtime < _UNLOCKED_S:
            return False
        lock = _lock(folder)
    except (UsageError, OSError):
        return False
    held_videos = (folder / "objects").exists()
    try:
        _clear_leftovers(folder)
        _remove(folder)
    finally:
        _unlock(folder, lock)
    return held_videos


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _make_folders(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
        require_writable(home / "stack.json")
    except OSError as exc:
        reason = (exc.strerror or "unknown error").lower()
        raise UsageError(
            f"the data folder {home} cannot be written ({reason}); set FACEPAINT_HOME to another"
        ) from exc


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
    """Kill the children that a killed stack left, and delete what they left unfinished."""
    state = _read(home / STATE_NAME)
    if not state:
        return
    # A watchdog may have been killed too.
    for child in state["children"]:
        if _is_running(child):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child["pid"], signal.SIGKILL)
            deadline = time.monotonic() + START_S
            while _is_running(child) and time.monotonic() < deadline:
                time.sleep(POLL_S)
    # rclone renames an object's file when the upload is complete.
    for path in (home / "objects").rglob(".rclone_temp_*"):
        path.unlink(missing_ok=True)
    for name in (CONNECTION_NAME, STATE_NAME):
        (home / name).unlink(missing_ok=True)


def _is_running(process: dict[str, Any]) -> bool:
    """Whether a recorded process still runs, and its pid is not a later one's."""
    return bool(process["identity"]) and identity(process["pid"]) == process["identity"]


def _keys(home: Path) -> dict[str, str]:
    """The folder's secrets, generated once."""
    path = home / KEYS_NAME
    keys = _read(path)
    if not keys:
        keys = {
            name: secrets.token_hex(20)
            for name in ("broker_password", "s3_access_key", "s3_secret_key")
        }
        write_text(path, json.dumps(keys), mode=PRIVATE_MODE)
    return keys


def _connection_facts(settings: Settings) -> dict[str, str]:
    """The contents of a connection file."""
    facts = {}
    for name in sorted(CONNECTION_FIELDS):
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            facts[name] = value
    return facts


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of ours; empty if it is missing or damaged."""
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
