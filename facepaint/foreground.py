"""``facepaint up``: the embedded stack in the foreground, with a status of what runs, until it is asked to stop."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from facepaint.processes import Child
from facepaint.settings import Settings
from facepaint.stack import TEND_S, Stack


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise ``KeyboardInterrupt`` as Ctrl-C does, so that every way to stop is an orderly one.

    What is ignored (``nohup``) stays ignored. For the main thread.
    """
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, signal.default_int_handler)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def run_foreground(
    settings: Settings,
    *,
    workers: int | None = None,
    viewer: bool = True,
    viewer_port: int | None = None,
    console: Console | None = None,
) -> None:
    """Run the embedded stack in ``settings.home`` until a signal asks to stop; then stop every part and return.

    A second signal while it stops kills what is left and raises ``KeyboardInterrupt``. For the main thread.

    Raises:
        MissingExtra: a part of the installation is missing.
        UsageError: a living stack holds the folder, or the viewer's port is taken.
        ServiceError: a part does not start; the message names its log.
    """
    console = console or Console()
    stack = Stack(settings.home, settings, workers, viewer, viewer_port)
    with interrupted_by_signals():
        try:
            with console.status("starting ..."):
                stack.__enter__()
                stack.wait_ready()
            _show(stack, console)
        except KeyboardInterrupt:
            _stop(stack, console)
        finally:
            stack.stop()


def _stop(stack: Stack, console: Console) -> None:
    try:
        console.print("stopping; segments in work get some seconds to end (Ctrl-C again: at once)")
        stack.stop()
    except KeyboardInterrupt:
        stack.stop(gently=False)
        raise
    console.print("stopped")


def _show(stack: Stack, console: Console) -> None:
    """Tend the stack and show its state, until interrupted."""
    if not console.is_terminal:
        console.print(status(stack))
        while True:
            _tend(stack, console)
    with Live(console=console, refresh_per_second=2, get_renderable=lambda: status(stack)):
        while True:
            _tend(stack, console)


def _tend(stack: Stack, console: Console) -> None:
    for line in stack.tend():
        console.print(line, style="yellow", markup=False, highlight=False)
    time.sleep(TEND_S)


def status(stack: Stack) -> Group:
    """A table of the parts: state, and where to find them."""
    table = Table.grid(padding=(0, 2))
    where = {"viewer": stack.settings.viewer_url or "", "object storage": stack.settings.s3_endpoint or ""}
    for child in reversed(stack.children):
        state = Text(_state(child), style="green" if child.alive else "yellow")
        table.add_row(f"  {child.recipe.name}", state, where.get(child.recipe.name, ""))
    return Group(
        Text(f"facepaint runs in {_short(stack.home)}", style="bold"),
        table,
        Text(f"  logs in {_short(stack.home / 'logs')}; stop with Ctrl-C", style="dim"),
    )


def _state(child: Child) -> str:
    if child.alive:
        return "running, was started again" if child.deaths else "running"
    wait_s = 0.0 if child.restart_at is None else child.restart_at - time.monotonic()
    return f"down, starts again in {max(0.0, wait_s):.0f} s"


def _short(path: Path) -> str:
    """A path with the home folder as ``~``."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except ValueError:
        return str(path)
