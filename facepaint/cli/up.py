"""``facepaint up``: run the embedded stack in the foreground and show its state."""

import signal
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from facepaint.settings import Settings
from facepaint.stack.processes import Child
from facepaint.stack.stack import SUPERVISE_S, Stack


class Interrupts:
    """Makes SIGTERM and SIGHUP raise ``KeyboardInterrupt``, as Ctrl-C does.

    A context manager, for the main thread. Signals that are ignored, as under ``nohup``, stay
    ignored.
    """

    def __init__(self) -> None:
        self._interrupted = False
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before.append((number, signal.signal(number, self._interrupt)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if one of the signals has come.

        Loops call it, because Python drops an exception that is raised while it finalizes an
        object.
        """
        if self._interrupted:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt


def run_foreground(
    settings: Settings,
    *,
    workers: int | None = None,
    viewer: bool = True,
    viewer_port: int | None = None,
    console: Console | None = None,
) -> None:
    """Run the embedded stack in ``settings.home`` until a signal; then stop it and return.

    A second signal kills what is left and raises ``KeyboardInterrupt``. For the main thread.

    Raises:
        MissingExtra: an optional part of the installation is missing.
        UsageError: the folder is locked by a running stack, or the viewer's port is taken.
        ServiceError: a component does not start; the message names its log.
    """
    console = console or Console()
    stack = Stack(settings.home, settings, workers, viewer, viewer_port)
    with Interrupts() as interrupts:
        try:
            with console.status("starting ..."):
                stack.__enter__()
                stack.wait_ready()
            _show(stack, console, interrupts)
        except KeyboardInterrupt:
            _stop(stack, console)
        finally:
            stack.stop()


def _stop(stack: Stack, console: Console) -> None:
    try:
        console.print("stopping; running tasks get a few seconds (Ctrl-C again: stop at once)")
        stack.stop()
    except KeyboardInterrupt:
        stack.stop(gently=False)
        raise
    console.print("stopped")


def _show(stack: Stack, console: Console, interrupts: Interrupts) -> None:
    """Supervise the stack and show its state until interrupted."""
    if not console.is_terminal:
        console.print(status(stack))
        _supervise(stack, console, interrupts)
    with Live(console=console, refresh_per_second=2, get_renderable=lambda: status(stack)):
        _supervise(stack, console, interrupts)


def _supervise(stack: Stack, console: Console, interrupts: Interrupts) -> NoReturn:
    while True:
        interrupts.check()
        for line in stack.supervise():
            console.print(line, style="yellow", markup=False, highlight=False)
        time.sleep(SUPERVISE_S)


def status(stack: Stack) -> Group:
    """A table of the components with their states and URLs."""
    table = Table.grid(padding=(0, 2))
    # The broker's URL contains its password.
    urls = {
        "viewer": stack.settings.viewer_url or "",
        "object storage": stack.settings.s3_endpoint or "",
    }
    for child in reversed(stack.children):
        state = Text(_state(child), style="green" if child.alive else "yellow")
        table.add_row(f"  {child.recipe.name}", state, urls.get(child.recipe.name, ""))
    return Group(
        Text(f"facepaint runs in {_short(stack.home)}", style="bold"),
        table,
        Text(f"  logs in {_short(stack.home / 'logs')}; stop with Ctrl-C", style="dim"),
    )


def _state(child: Child) -> str:
    if child.alive:
        return "running, was restarted" if child.deaths else "running"
    wait_s = 0.0 if child.restart_at is None else child.restart_at - time.monotonic()
    return f"down, restarts in {max(0.0, wait_s):.0f} s"


def _short(path: Path) -> str:
    """A path with the home folder as ``~``."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except ValueError:
        return str(path)
