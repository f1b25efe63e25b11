"""The embedded stack: its secrets stay private, its data outlives a restart, and no process is left
behind."""

import errno
import fcntl
import importlib.metadata
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from facepaint.errors import MissingExtra, ServiceError, UsageError
from facepaint.queue import Queue
from facepaint.settings import Settings
from facepaint.stack.components import LOOPBACK, free_port, listens
from facepaint.stack.processes import identity
from facepaint.stack.stack import Stack, private_stack, running_connection
from facepaint.store import Store
from tests.support.helpers import children_of, eventually, living_in_group, needs_proc
from tests.support.paths import ROOT

JOB = "20261122T120000-abcdefgh"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder that does not exist yet, with a name that needs quoting."""
    return tmp_path / 'my "data" folder'


def make_stack(home: Path, **options: object) -> Stack:
    chosen: dict[str, Any] = {"workers": 0, "viewer": False, **options}
    return Stack(home, Settings.load(), **chosen)


def groups(home: Path) -> list[int]:
    """The process groups of the stack that runs in a folder."""
    return [child["pid"] for child in json.loads((home / "stack.json").read_text())["children"]]


Up = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def up(home: Path) -> Iterator[Up]:
    """Run the stack in the foreground of another process; returns once its connection file is
    there."""
    started: list[subprocess.Popen[str]] = []

    def start(**options: object) -> subprocess.Popen[str]:
        arguments = {"workers": 1, "viewer": False, **options}
        script = (
            "from facepaint.cli.up import run_foreground\nfrom facepaint.settings import Settings\n"
            f"run_foreground(Settings.load(), **{arguments!r})"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env=os.environ | {"FACEPAINT_HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        eventually(lambda: running_connection(home) is not None or process.poll() is not None, 60)
        assert process.poll() is None, process.stdout and process.stdout.read()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_clients_find_the_running_stack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPAINT_HOME", str(home))
    assert running_connection(home) is None
    with make_stack(home) as stack:
        found = Settings.load().require_services()
        assert found.found_in == str(home / "connection.json")
        Store(found).put("k", b"x")
        assert Store(stack.settings).get("k") == b"x"
        Queue(found).detect(JOB, 0)
        running = running_connection(home, crf=33)
        assert running is not None
        assert running.crf == 33, "an option of this command wins"
        assert (running.broker_url, running.s3_secret_key) == (
            found.broker_url,
            found.s3_secret_key,
        )
    assert running_connection(home) is None
    with pytest.raises(ServiceError, match="no facepaint services found"):
        Settings.load().require_services()


def test_only_the_owner_can_read_what_it_writes(home: Path) -> None:
    with make_stack(home) as stack:
        Store(stack.settings).put("jobs/x/source/000000.bin", b"private")
        for path in [home, *home.rglob("*")]:
            assert home.stat().st_mode & 0o077 == 0, "the folder itself is closed"
            if path.name in {"connection.json", "keys.json", "stack.json", "valkey.conf"}:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        stored = next((home / "objects").rglob("000000.bin"))
        assert stored.stat().st_mode & 0o077 == 0


@needs_proc
def test_no_secret_is_on_a_command_line(home: Path) -> None:
    with make_stack(home, workers=1) as stack:
        keys = json.loads((home / "keys.json").read_text())
        assert len(set(keys.values())) == 3
        lines = {
            child.pid: Path(f"/proc/{child.pid}/cmdline").read_text() for child in stack.children
        }
        assert len(lines) == 3
        for line in lines.values():
            assert not [name for name, secret in keys.items() if secret in line]


@needs_proc
def test_it_listens_on_the_loopback_only(home: Path) -> None:
    with make_stack(home):
        mine = {
            str(track.readlink())
            for leader in groups(home)
            for track in Path(f"/proc/{leader}/fd").iterdir()
        }
        tables = [Path("/proc/net", name).read_text().splitlines() for name in ("tcp", "tcp6")]
        rows = [line.split() for table in tables for line in table]
        listening = [
            row[1]
            for row in rows
            if len(row) > 9 and row[3] == "0A" and f"socket:[{row[9]}]" in mine
        ]
        assert len(listening) == 2
        assert all(address.startswith("0100007F:") for address in listening)


@needs_proc
@pytest.mark.slow
def test_the_end_leaves_no_process_and_no_connection(home: Path) -> None:
    with make_stack(home, workers=2) as stack:
        stack.wait_ready()
        leaders = [child.pid for child in stack.children]
        assert len(living_in_group(leaders[-1])) >= 3, "a worker's master and its pool"
    assert not [pid for leader in leaders for pid in living_in_group(leader)]
    assert {path.name for path in home.glob("*.json")} == {"keys.json"}


def test_a_folder_has_one_stack(home: Path) -> None:
    with make_stack(home) as stack:
        with pytest.raises(UsageError) as caught:
            make_stack(home).__enter__()
        assert str(caught.value) == (
            f"facepaint already runs in {home} (process {os.getpid()}): use it, or stop it with "
            f"`kill {os.getpid()}`"
        )
        Store(stack.settings).put("k", b"the first one still works")
    assert not (home / "stack.pid").exists()
    with make_stack(home):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_a_folder_that_cannot_be_locked_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UsageError) as caught:
        make_stack(home).__enter__()
    message = str(caught.value)
    assert message.startswith(f"{home} cannot be locked (")
    assert message.endswith("): set FACEPAINT_HOME to a folder on a local disk")


def test_queued_messages_objects_and_secrets_outlive_a_restart(home: Path) -> None:
    with make_stack(home) as stack:
        before = stack.settings
        Store(before).put("jobs/x/job.json", b"{}")
        Queue(before).detect(JOB, 0)
        Queue(before).paint(JOB, "0123456789ab", 7)
    with make_stack(home) as stack:
        assert Store(stack.settings).get("jobs/x/job.json") == b"{}"
        assert Queue(stack.settings).length() == 2
        assert stack.settings.s3_secret_key == before.s3_secret_key


@needs_proc
@pytest.mark.parametrize(
    "watched",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["with its watchdog", "after its watchdog"],
)
def test_a_killed_stack_leaves_no_child_and_can_be_started_again(
    home: Path, up: Up, watched: bool
) -> None:
    process = up(workers=2)
    leaders = groups(home)
    eventually(lambda: len(living_in_group(leaders[-1])) >= 3, 30)
    connection = Settings.load(**json.loads((home / "connection.json").read_text()))
    Store(connection).put("k", b"x")
    if not watched:
        for pid in children_of(process.pid) - set(leaders):
            os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    # Without its watchdog nothing kills a worker's pool.
    ended = leaders if watched else leaders[:2]
    eventually(lambda: not [pid for leader in ended for pid in living_in_group(leader)], 10)
    assert (home / "connection.json").exists(), "a killed stack cannot clean up"
    assert running_connection(home) is None
    with make_stack(home) as stack:
        assert Store(stack.settings).get("k") == b"x"
    for leader in leaders:
        for pid in living_in_group(leader):
            os.kill(pid, signal.SIGKILL)


@needs_proc
def test_leftover_children_are_killed_and_other_processes_are_not(home: Path) -> None:
    """A process is ours if both its pid and its start time were recorded."""
    sleepers = [subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(2)]
    leftover, other = sleepers
    try:
        (home / "objects" / "facepaint").mkdir(parents=True)
        unfinished = home / "objects" / "facepaint" / ".rclone_temp_put_x"
        unfinished.touch()
        children = [
            {"name": "broker", "pid": leftover.pid, "identity": identity(leftover.pid)},
            {"name": "worker", "pid": other.pid, "identity": identity(os.getpid())},
        ]
        state = {"pid": leftover.pid, "identity": "", "children": children}
        (home / "stack.json").write_text(json.dumps(state))
        with make_stack(home):
            assert leftover.wait(timeout=10) == -signal.SIGKILL
            assert other.poll() is None
            assert not unfinished.exists()
    finally:
        for process in sleepers:
            process.kill()
            process.wait()


@needs_proc
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(
            pytest.param(number, marks=pytest.mark.slow)
            for number in (signal.SIGTERM, signal.SIGHUP)
        ),
    ],
)
def test_a_signal_stops_everything_in_order(home: Path, up: Up, number: signal.Signals) -> None:
    process = up()
    leaders = groups(home)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert output.splitlines()[-1] == "stopped"
    assert not [pid for leader in leaders for pid in living_in_group(leader)]
    assert not (home / "connection.json").exists()


@needs_proc
@pytest.mark.slow
def test_a_signal_while_it_starts_stops_it_too(home: Path, up: Up) -> None:
    process = up(workers=2)  # its workers are not ready yet
    leaders = groups(home)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert not [pid for leader in leaders for pid in living_in_group(leader)]
    with make_stack(home):
        pass


@needs_proc
@pytest.mark.slow
def test_a_second_signal_ends_what_does_not_stop(home: Path, up: Up) -> None:
    process = up()
    leaders = groups(home)
    assert process.stdout is not None
    output = iter(process.stdout)
    assert any("stop with Ctrl-C" in line for line in output)
    for pid in living_in_group(leaders[-1]):
        os.kill(pid, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    assert any("Ctrl-C again" in line for line in output)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "stopped" not in rest
    assert not [pid for leader in leaders for pid in living_in_group(leader)]
    with make_stack(home):
        pass


def test_a_dead_service_is_reported_and_restarted(home: Path) -> None:
    with make_stack(home) as stack:
        store, queue = Store(stack.settings), Queue(stack.settings)
        store.put("k", b"x")
        queue.detect(JOB, 0)
        assert stack.supervise() == []
        for child in stack.children:
            os.kill(child.pid, signal.SIGKILL)
        deaths: list[str] = []

        def all_answer() -> bool:
            deaths.extend(stack.supervise())
            return all(child.alive and child.recipe.answers() for child in stack.children)

        eventually(all_answer, 20)
        # A call may come between the two deaths: their order is left open.
        assert len(deaths) == 2
        lines = sorted(deaths)
        assert lines[0].startswith("the broker was killed by SIGKILL: ")
        assert lines[1].startswith("the object storage was killed by SIGKILL: ")
        for line, log in zip(lines, ("broker", "object-storage"), strict=True):
            assert line.endswith(f"restarting it in 0.5 s (log: {home / 'logs' / log}.log)")
            assert "\n" not in line
        assert store.get("k") == b"x"
        assert queue.length() == 1
        assert [
            child["pid"] for child in json.loads((home / "stack.json").read_text())["children"]
        ] == [child.pid for child in stack.children]


@pytest.mark.slow
def test_a_service_that_keeps_dying_is_an_error_if_asked(home: Path) -> None:
    with make_stack(home) as stack:
        broker = stack.children[0]

        def gives_up() -> bool:
            if broker.alive:
                os.kill(broker.pid, signal.SIGKILL)
                broker.wait(5)
            try:
                stack.supervise(give_up=True)
            except ServiceError as exc:
                return str(exc).startswith("the broker was killed by SIGKILL: ")
            return False

        eventually(gives_up, 30)
        assert broker.deaths == 3


def test_a_service_that_cannot_start_is_named_with_its_log(home: Path) -> None:
    with make_stack(home) as stack:
        Queue(stack.settings).detect(JOB, 0)
    manifest = next((home / "valkey" / "appendonlydir").glob("*.manifest"))
    manifest.write_text("this is no manifest\n")
    with pytest.raises(ServiceError) as caught:
        make_stack(home).__enter__()
    line = str(caught.value)
    assert line.startswith("the broker ended with status 1: ")
    assert line.endswith(f"(log: {home / 'logs' / 'broker.log'})")
    assert "\n" not in line
    assert not (home / "connection.json").exists()


def test_a_missing_extra_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", none)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingExtra, match=r"pip install '\.\[embedded\]'"):
        make_stack(home).__enter__()


def test_the_viewer_takes_the_given_port_or_reports_that_it_is_taken(home: Path) -> None:
    port = free_port()
    with make_stack(home, viewer=True, viewer_port=port) as stack:
        assert stack.settings.viewer_url == f"http://{LOOPBACK}:{port}"
        assert listens(LOOPBACK, port)
        with pytest.raises(UsageError, match=f"^port {port} for the viewer is taken"):
            make_stack(home.with_name("other"), viewer=True, viewer_port=port).__enter__()


def test_a_private_stack_is_deleted_with_its_data(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)
    with private_stack(settings, workers=0) as stack:
        Store(stack.settings).put("k", b"x")
        assert stack.home.parent == tmp_path / "runs"
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_failed_run_keeps_its_logs_until_the_next(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)
    with pytest.raises(ServiceError), private_stack(settings, workers=0) as failed:
        raise ServiceError("as if")
    assert (failed.home / "logs" / "broker.log").exists()
    assert not (failed.home / "objects").exists()
    assert not (failed.home / "keys.json").exists()
    os.utime(failed.home, (0, 0))
    with private_stack(settings, workers=0) as running:
        assert not failed.home.exists()
        os.utime(running.home, (0, 0))
        with private_stack(settings, workers=0):
            Store(running.settings).put("k", b"a running stack is not cleared")
