"""What a person sees of a job under way: bars on a terminal, plain lines elsewhere, nothing where
JSON is asked for."""

import sys
import time
import webbrowser
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from facepaint.client import Snapshot
from facepaint.jobs.status import JobStatus
from facepaint.records.job import VideoJob

PLAIN_EVERY_S = 5.0


class Display(Protocol):
    """Shows the stages of one job. A context manager; `say` prints a line above whatever is being
    drawn."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def uploaded(self, done_bytes: int, total_bytes: int, note: str = "") -> None:
        """The upload has come this far; ``note`` says what it waits for, if it does."""

    def job(self, snapshot: Snapshot) -> None:
        """The workers have come this far."""

    def people(self, status: JobStatus) -> None:
        """The workers have come this far with finding out who is where."""

    def saved(self, done: int, total: int) -> None:
        """This many segments are in the saved file."""

    def say(self, text: str) -> None:
        """One line for the user."""


def make_display(*, json: bool) -> Display:
    """The display that suits where standard error goes."""
    if json:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()


class Silent:
    """Shows nothing: the caller prints JSON at the end."""

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
        return

    def job(self, snapshot: Snapshot) -> None:
        return

    def people(self, status: JobStatus) -> None:
        return

    def saved(self, done: int, total: int) -> None:
        return

    def say(self, text: str) -> None:
        return


class Rate:
    """Frames a second over the last few snapshots."""

    def __init__(self, span_s: float = 8.0) -> None:
        self._span_s = span_s
        self._seen: list[tuple[float, int]] = []

    def of(self, frames: int) -> float:
        """Take note of a new total and return the rate; 0 until it is known."""
        now = time.monotonic()
        self._seen.append((now, frames))
        while len(self._seen) > 2 and now - self._seen[1][0] > self._span_s:
            self._seen.pop(0)
        first_time, first = self._seen[0]
        return (frames - first) / (now - first_time) if now > first_time else 0.0


class Bars(Silent):
    """Progress bars on a terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:9}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[amount]}", justify="right"),
            TextColumn("{task.fields[note]}", style="dim"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._rate = Rate()

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

    def uploaded(self, done_bytes: int, total_bytes: int, note: str = "") -> None:
        amount = f"{done_bytes / 1e6:.1f}/{total_bytes / 1e6:.1f} MB"
        self._show("uploaded", done_bytes, total_bytes, note, amount)

    def job(self, snapshot: Snapshot) -> None:
        status = snapshot.status
        total = status.total
        self._show("detected", status.detected + status.detect_failed, total)
        rate = self._rate.of(snapshot.frames)
        painted = max((look.painted + look.failed for look in status.looks), default=0)
        self._show("painted", painted, total, f"{rate:.0f} frames/s" if rate else "")

    def people(self, status: JobStatus) -> None:
        self._show("detected", status.detected + status.detect_failed, status.total)
        if status.keys.detection_finished and isinstance(status.job, VideoJob):
            self._show("followed", 0, None, "people, through the whole video", " ")

    def saved(self, done: int, total: int) -> None:
        self._show("saved", done, total)

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)

    def _show(
        self, name: str, done: int, total: int | None, note: str = "", amount: str = ""
    ) -> None:
        amount = amount or f"{done}/{'?' if total is None else total}"
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=None, note="", amount="")
        self._progress.update(
            self._tasks[name], completed=done, total=total, note=note, amount=amount
        )


class Lines(Silent):
    """Plain lines for logs: one when something has changed, at most every few seconds."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._last = ""
        self._at = -PLAIN_EVERY_S

    def uploaded(self, done_bytes: int, total_bytes: int, note: str = "") -> None:
        share = 100 * done_bytes // max(1, total_bytes)
        self._line(
            f"uploaded {share} %{f' ({note})' if note else ''}", last=done_bytes >= total_bytes
        )

    def job(self, snapshot: Snapshot) -> None:
        status = snapshot.status
        of = f"/{status.total}" if status.total is not None else ""
        painted = max((look.painted + look.failed for look in status.looks), default=0)
        rate = self._rate.of(snapshot.frames)
        text = f"detected {status.detected + status.detect_failed}{of}, painted {painted}{of}"
        self._line(text + (f", {rate:.0f} frames/s" if rate else ""), last=painted == status.total)

    def people(self, status: JobStatus) -> None:
        if status.keys.detection_finished and isinstance(status.job, VideoJob):
            self._line("people are followed through the whole video", last=True)
        else:
            of = f"/{status.total}" if status.total is not None else ""
            self._line(f"detected {status.detected + status.detect_failed}{of}")

    def saved(self, done: int, total: int) -> None:
        self._line(f"saved {done}/{total} segments", last=done == total)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _line(self, text: str, *, last: bool = False) -> None:
        now = time.monotonic()
        if text != self._last and (last or now - self._at >= PLAIN_EVERY_S):
            self._last, self._at = text, now
            self.say(text)


def show_page(url: str, browser: bool) -> None:
    """Print a page's URL, and open it in the browser if that is wanted."""
    print(url, flush=True)
    if browser and not webbrowser.open(url):
        print("No browser could be opened: open the page by hand.", file=sys.stderr)
