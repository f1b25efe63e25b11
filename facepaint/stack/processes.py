"""Child processes that end when we end, each in a process group of its own, with its output in a
log file."""

import contextlib
import os
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

_STEADY_S = 60.0
"""A child that ran for this long and died begins its backoff anew."""

_LAST_CALL_S = 5.0
"""Time to end after being asked with more insistence."""

_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Recipe:
    """How to start a child, and how to tell that it is ready.

    To stop, it gets SIGTERM; ``stop_s`` seconds later ``escalate``; and a little later it is
    killed.
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
    """A started child, and how often it had to be started."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.deaths = 0
        """Deaths in a row, each within a minute of the start before it."""
        self.restart_at: float | None = None
        """When it is started again (``time.monotonic``), if it is down."""
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    @property
    def pid(self) -> int:
        """Process id, which is its group's too; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def age_s(self) -> float:
        """Seconds since it was last started."""
        return time.monotonic() - self._started

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it lives.

        Looking does not reap it: until `kill` has ended its group, no other group can have its
        number.
        """
        process = self._process
        if process is None or process.returncode is not None or not hasattr(os, "waitid"):
            return process.poll() if process else None
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self.returncode is None

    def start(self) -> None:
        """Start it, with its output appended to its log."""
        log = self.recipe.log
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        wrapper = (sys.executable, "-I", "-S", watchdog.__file__, "run", str(os.getpid()))
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - commands are ours
                [*wrapper, *self.recipe.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.recipe.cwd,
                env=dict(self.recipe.environment),
                start_new_session=True,
                umask=0o077,
            )
        self._started = time.monotonic()
        self.restart_at = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        if self.alive:
            os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; whether it has ended."""
        deadline = time.monotonic() + timeout_s
        while self.alive and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return not self.alive

    def kill(self) -> None:
        """Kill it and what it started, now, and wait for it."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def exit_summary(self) -> str:
        """One line: how it ended, and the last line of its log."""
        code = self.returncode or 0
        how = (
            f"was killed by {signal.Signals(-code).name}"
            if code < 0
            else f"ended with status {code}"
        )
        last = last_line(self.recipe.log)
        return f"the {self.recipe.name} {how}" + (f": {last}" if last else "")


class Children:
    """The children of this process, in order of starting.

    All methods are for the thread that made it: the kernel takes the end of that thread for the end
    of the parent.
    """

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._guard: subprocess.Popen[bytes] | None = None

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children)

    def start(self, recipe: Recipe) -> Child:
        """Start one more child."""
        child = Child(recipe)
        self._children.append(child)
        self._begin(child)
        return child

    def drop(self, child: Child) -> None:
        """Kill a child and forget it."""
        self._end(child)
        self._children.remove(child)

    def supervise(self) -> list[str]:
        """Start again what has died, after a pause that grows with every death; returns what there
        is to say."""
        said = []
        for child in self._children:
            if child.alive:
                continue
            if child.restart_at is None:
                steady = child.age_s > _STEADY_S
                child.deaths = 1 if steady else child.deaths + 1
                pause = _BACKOFF_S[min(child.deaths, len(_BACKOFF_S)) - 1]
                said.append(
                    f"{child.exit_summary()}; starting it again in {pause:g} s (log: "
                    f"{child.recipe.log})"
                )
                self._end(child)
                child.restart_at = time.monotonic() + pause
            elif time.monotonic() >= child.restart_at:
                self._begin(child)
        return said

    def stop(self, children: Collection[Child]) -> None:
        """Ask these children to end, all at once; insist when their time is over, and kill who
        stays."""
        for child in children:
            child.signal(signal.SIGTERM)
        asked = time.monotonic()
        for child in children:
            child.wait(max(0.0, asked + child.recipe.stop_s - time.monotonic()))
            child.signal(child.recipe.escalate)
        insisted = time.monotonic()
        for child in children:
            child.wait(max(0.0, insisted + _LAST_CALL_S - time.monotonic()))
            self._end(child)

    def close(self) -> None:
        """Kill whatever is left, and the guard."""
        for child in self._children:
            self._end(child)
        self._children.clear()
        self._let_go_of_guard()

    def _begin(self, child: Child) -> None:
        child.start()
        self._tell(f"+{child.pid}")

    def _end(self, child: Child) -> None:
        """Kill what is left of a child's group: a dead worker's pool may still be there."""
        child.kill()
        if child.pid:
            self._tell(f"-{child.pid}")

    def _tell(self, line: str) -> None:
        """Keep the guard informed, starting it (again) where needed."""
        if self._guard is not None and self._guard.poll() is not None:
            self._let_go_of_guard()
        if self._guard is None:
            self._guard = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", watchdog.__file__, "watch"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            line = "\n".join(f"+{child.pid}" for child in self._children if child.alive)
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.write(line.encode() + b"\n")
            self._guard.stdin.flush()

    def _let_go_of_guard(self) -> None:
        """End the guard by closing what it reads, also if it is dead and has left lines unread."""
        if self._guard is None:
            return
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.close()
        self._guard.wait()
        self._guard = None


def wait_until_ready(child: Child, timeout_s: float) -> None:
    """Poll until a child answers.

    Raises:
        ServiceError: the child died, or the time is over; the message names its log.
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
    """The last line of a log that says anything, cut to ``limit`` characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return ""
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
