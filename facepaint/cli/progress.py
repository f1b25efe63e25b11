"""Progress of a running job: bars on a terminal, plain lines in logs, nothing with ``--json``."""

import sys
import time
import webbrowser
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from facepaint.cli.terminal import say
from facepaint.client import Snapshot
from facepaint.jobs.status import JobStatus
from facepaint.records.job import VideoJob
from facepaint.text import printable

PLAIN_EVERY_S = 5.0
"""Shortest time between two plain lines."""


class Display:
    """Shows the stages of one job. A context manager; this base shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def uploaded(self, done_bytes: int, total_bytes: int, note: str = "") -> None:
        """Show the progress of an upload; ``note`` is what it is waiting for."""

    def job(self, snapshot: Snapshot) -> None:
        """Show the progress of detection and painting."""

    def people(self, status: JobStatus) -> None:
        """Show the progress of detection and person tracking."""

    def saved(self, done: int, total: int) -> None:
        """Show how many segments are in the saved file."""

    def say(self, text: str) -> None:
        """Print one line for the user, above what is drawn."""


def make_display(*, json: bool) -> Display:
    """The display for standard error; with ``json`` one that shows nothing."""
    if json:
        return Display()
    return Bars() if sys.stderr.isatty() else Lines()


class FrameRate:
    """Painted frames per second, as a moving average."""

    def __init__(self, span_s: float = 8.0) -> None:
        self._span_s = span_s
        self._totals: list[tuple[float, int]] = []

    def update(self, frames: int) -> str:
        """Add a new total of frames; returns the rate as text, empty while it is unknown."""
        now = time.monotonic()
        self._totals.append((now, frames))
        # Segments come at intervals longer than a snapshot: two totals are always kept.
        while len(self._totals) > 2 and now - self._totals[1][0] > self._span_s:
            self._totals.pop(0)
        first_time, first = self._totals[0]
        if now <= first_time or frames == first:
            return ""
        return f"{(frames - first) / (now - first_time):.0f} frames/s"


def _painted(status: JobStatus) -> int:
    """Segments that need no more painting, in the look that has most of them."""
    return max((look.painted + look.failed for look in status.looks), default=0)


def _detected(status: JobStatus) -> int:
    return status.detected + status.detect_failed


def _is_tracking(status: JobStatus) -> bool:
    return status.keys.detection_finished and isinstance(status.job, VideoJob)


class Bars(Display):
    """Progress bars on a terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:9}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[amount]}", justify="right"),
            TextColumn("{task.fields[note]}", style="dim"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            # The bars of a finished item make room for those of the next one.
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._rate = FrameRate()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __rich__(self) -> RenderableType:
        return self._progress.get_renderable()

    def uploaded(self, done_bytes: int, total_bytes: int, note: str = "") -> None:
        amount = f"{done_bytes / 1e6:.1f}/{total_bytes / 1e6:.1f} MB"
        self._show("uploaded", done_bytes, total_bytes, note, amount)

    def job(self, snapshot: Snapshot) -> None:
        status = snapshot.status
        self._show("detected", _detected(status), status.total)
        self._show("painted", _painted(status), status.total, self._rate.update(snapshot.frames))

    def people(self, status: JobStatus) -> None:
        self._show("detected", _detected(status), status.total)
        if _is_tracking(status):
            self._show("tracking", 0, None, "people in the whole video", " ")

    def saved(self, done: int, total: int) -> None:
        self._show("saved", done, total)

    def say(self, text: str) -> None:
        self._progress.console.print(printable(text), highlight=False, markup=False)

    def _show(
        self, name: str, done: int, total: int | None, note: str = "", amount: str = ""
    ) -> None:
        amount = amount or f"{done}/{'?' if total is None else total}"
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=None, note="", amount="")
        self._progress.update(
            self._tasks[name], completed=done, total=total, note=note, amount=amount
        )


class Lines(Display):
    """Plain lines for logs. Rich prints nothing before the end where there is no terminal."""

    def __init__(self) -> None:
        self._rate = FrameRate()
        self._last = ""
        self._printed_at = -PLAIN_EVERY_S

    def uploaded(self, done_bytes: int, total_bytes: int, note: str = "") -> None:
        line = f"uploaded {100 * done_bytes // max(1, total_bytes)} %"
        self._print(f"{line} ({note})" if note else line, last=done_bytes >= total_bytes)

    def job(self, snapshot: Snapshot) -> None:
        status = snapshot.status
        painted = _painted(status)
        line = f"detected {_detected(status)}{_of_total(status)}, painted {painted}"
        line += _of_total(status)
        rate = self._rate.update(snapshot.frames)
        self._print(f"{line}, {rate}" if rate else line, last=painted == status.total)

    def people(self, status: JobStatus) -> None:
        if _is_tracking(status):
            self._print("tracking people in the whole video", last=True)
        else:
            self._print(f"detected {_detected(status)}{_of_total(status)}")

    def saved(self, done: int, total: int) -> None:
        self._print(f"saved {done}/{total} segments", last=done == total)

    def say(self, text: str) -> None:
        say(text)

    def _print(self, line: str, *, last: bool = False) -> None:
        """Print a line that differs from the one before; all but the last of a stage only every
        few seconds."""
        now = time.monotonic()
        is_due = last or now - self._printed_at >= PLAIN_EVERY_S
        if is_due and line != self._last:
            self._last, self._printed_at = line, now
            self.say(line)


def _of_total(status: JobStatus) -> str:
    return "" if status.total is None else f"/{status.total}"


def show_page(url: str, browser: bool) -> None:
    """Print a page's URL, and open it in the browser if ``browser`` is set."""
    print(url, flush=True)
    if browser and not webbrowser.open(url):
        print("No browser could be opened: open the page by hand.", file=sys.stderr)
