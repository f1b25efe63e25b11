"""Child processes that end with this process.

Each is the leader of a process group of its own and writes its output to a log file.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from facepaint.errors import ServiceError
from facepaint.stack import watchdog

MAX_LOG_BYTES = 8 * 2**20
POLL_S = 0.05

_STABLE_S = 60.0
"""The backoff of a child that has run for this long starts from the beginning."""

_ESCALATION_S = 5.0
"""Time to end after the second signal."""

_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before a restart, by the number of deaths in a row; the last one repeats."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Recipe:
    """How to start a child, how to check that it is ready, and how to stop it.

    Args:
        name: what it is called in messages.
        command: absolute path of the program, and its arguments.
        log: file that its output is appended to.
        cwd: working directory.
        environment: the whole environment; nothing is inherited.
        answers: whether it is ready; polled after the start.
        stop_s: seconds from SIGTERM to the signal ``escalate``; a few seconds later it is killed.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: Callable[[], bool] = lambda: True
    stop_s: float = 5.0
    escalate: signal.Signals = signal.SIGTERM


class Child:
    """A child process, which may be started several times."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.deaths = 0
        """Deaths in a row, each within a minute of its start."""
        self.restart_at: float | None = None
        """Time of its next start on the clock of ``time.monotonic``; None unless it is down."""
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    @property
    def pid(self) -> int:
        """Process id, which is also its group's; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def age_s(self) -> float:
        """Seconds since it was last started."""
        return time.monotonic() - self._started

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs or before the first start."""
        process = self._process
        if process is None:
            return None
        if process.returncode is not None or not hasattr(os, "waitid"):
            return process.poll()
        # WNOWAIT leaves a zombie: its id cannot become another group's until `kill` has killed
        # what is left of the group.
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self._process is not None and self.returncode is None

    def start(self) -> None:
        """Start it. A log that has become long is renamed first."""
        log = self.recipe.log
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        # -I and -S skip site packages: the wrapper starts in milliseconds.
        wrapper = (sys.executable, "-I", "-S", watchdog.__file__, "run", str(os.getpid()))
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - commands are ours
                [*wrapper, *self.recipe.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.recipe.cwd,
                env=dict(self.recipe.environment),
                # Ctrl-C in the terminal reaches this process only, which stops them in order.
                start_new_session=True,
                # Files and logs contain private videos and their names.
                umask=0o077,
            )
        self._started = time.monotonic()
        self.restart_at = None

    def trim_log(self) -> None:
        """Move a log that has become long while the process writes it."""
        log = self.recipe.log
        with contextlib.suppress(OSError):
            if log.stat().st_size > MAX_LOG_BYTES:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                # The process goes on at the end, which is now the beginning: it appends.
                os.truncate(log, 0)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to its group."""
        if self.alive:
            os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; returns whether it has."""
        deadline = time.monotonic() + timeout_s
        while self.alive and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return not self.alive

    def kill(self) -> None:
        """Kill its process group and wait for it."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def exit_summary(self) -> str:
        """One line: how it ended, and the last line of its log."""
        code = self.returncode or 0
        if code < 0:
            summary = f"the {self.recipe.name} was killed by {signal.Signals(-code).name}"
        else:
            summary = f"the {self.recipe.name} ended with status {code}"
        last = last_line(self.recipe.log)
        return f"{summary}: {last}" if last else summary


class Children:
    """The children of this process, in the order of their start.

    Call all methods from the thread that created it: Linux treats the end of that thread as the
    end of the parent.
    """

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children)

    def start(self, recipe: Recipe) -> Child:
        """Start one more child."""
        child = Child(recipe)
        self._children.append(child)
        self._start(child)
        return child

    def drop(self, child: Child) -> None:
        """Kill a child and stop supervising it."""
        self._kill(child)
        self._children.remove(child)

    def supervise(self) -> list[str]:
        """Restart dead children, each after a pause that grows with every death.

        Returns:
            One line for each death since the last call.
        """
        deaths = []
        for child in self._children:
            child.trim_log()
            if child.alive:
                continue
            if child.restart_at is None:
                deaths.append(self._schedule_restart(child))
            elif time.monotonic() >= child.restart_at:
                self._start(child)
        return deaths

    def _schedule_restart(self, child: Child) -> str:
        """Set the time of a dead child's restart; returns a line about its death."""
        child.deaths = 1 if child.age_s > _STABLE_S else child.deaths + 1
        pause = _BACKOFF_S[min(child.deaths, len(_BACKOFF_S)) - 1]
        line = f"{child.exit_summary()}; restarting it in {pause:g} s (log: {child.recipe.log})"
        # A dead worker's pool may still run.
        self._kill(child)
        child.restart_at = time.monotonic() + pause
        return line

    def stop(self, children: Collection[Child]) -> None:
        """Stop these children, all at the same time: SIGTERM, their second signal, then SIGKILL."""
        for child in children:
            child.signal(signal.SIGTERM)
        terminated = time.monotonic()
        for child in children:
            child.wait(max(0.0, terminated + child.recipe.stop_s - time.monotonic()))
            child.signal(child.recipe.escalate)
        escalated = time.monotonic()
        for child in children:
            child.wait(max(0.0, escalated + _ESCALATION_S - time.monotonic()))
            self._kill(child)

    def close(self) -> None:
        """Kill whatever is left, and end the watchdog."""
        for child in self._children:
            self._kill(child)
        self._children.clear()
        self._close_watchdog()

    def _start(self, child: Child) -> None:
        child.start()
        self._notify_watchdog(f"+{child.pid}")

    def _kill(self, child: Child) -> None:
        """Kill what is left of a child's group."""
        child.kill()
        if child.pid:
            self._notify_watchdog(f"-{child.pid}")

    def _notify_watchdog(self, line: str) -> None:
        """Send the watchdog a line; start one first if none is running."""
        if self._watchdog is not None and self._watchdog.poll() is not None:
            self._close_watchdog()
        if self._watchdog is None:
            self._watchdog = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", watchdog.__file__, "watch"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            # A new one knows none of the groups yet.
            line = "\n".join(f"+{child.pid}" for child in self._children if child.alive)
        assert self._watchdog.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._watchdog.stdin.write(line.encode() + b"\n")
            self._watchdog.stdin.flush()

    def _close_watchdog(self) -> None:
        """End the watchdog by closing its input."""
        if self._watchdog is None:
            return
        assert self._watchdog.stdin is not None
        # A dead one has left lines unread.
        with contextlib.suppress(BrokenPipeError):
            self._watchdog.stdin.close()
        self._watchdog.wait()
        self._watchdog = None


def wait_until_ready(child: Child, timeout_s: float) -> None:
    """Poll until a child answers.

    Raises:
        ServiceError: it ended or did not answer in time; the message names its log.
    """
    deadline = time.monotonic() + timeout_s
    while not child.recipe.answers():
        if not child.alive:
            raise ServiceError(f"{child.exit_summary()} (log: {child.recipe.log})")
        if time.monotonic() > deadline:
            raise ServiceError(
                f"the {child.recipe.name} does not answer after {timeout_s:g} s (log: "
                f"{child.recipe.log})"
            )
        time.sleep(POLL_S)


def last_line(log: Path, limit: int = 240) -> str:
    """The last line of a log that is not empty, cut to ``limit`` characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            tail = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in tail.splitlines()]
    return next((line[:limit] for line in reversed(lines) if line), "")


def identity(pid: int) -> str:
    """Identifies a process beyond its pid, which a later process may get; empty if it has ended.

    The value is its start in seconds since boot, which no change of the clock affects, after the
    id of that boot where the system gives one: a process of an earlier boot may have had the same
    pid and the same start.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        start = f"{process.create_time() - psutil.boot_time():.2f}"
    except psutil.NoSuchProcess:
        return ""
    return f"{_boot_id()}:{start}"


def _boot_id() -> str:
    """The random id of this boot, see random(4); empty on a system without one."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
