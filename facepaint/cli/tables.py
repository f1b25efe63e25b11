"""Tables and texts that commands print: jobs, people, filters and detectors."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from facepaint.jobs.status import JobStatus, JobSummary, LookStatus
from facepaint.looks.catalogue import CATALOGUE
from facepaint.records.job import ImageJob, VideoJob
from facepaint.records.tracks import People, Person
from facepaint.text import counted, printable

PLAIN_WIDTH = 10_000
"""Columns where the output is no terminal: wide enough that no row is wrapped or cut."""


def print_jobs(statuses: Iterable[JobStatus | JobSummary]) -> None:
    """Print one row for each job; a summary stands for a job whose record cannot be read."""
    head = ("job", "state", "painted", "length", "filters", "input", "uploaded")
    _print_table(head, [_job_row(status) for status in statuses])


def _job_row(status: JobStatus | JobSummary) -> tuple[str, ...]:
    if isinstance(status, JobSummary):
        return (status.id, "damaged", "", "", "", status.fault, "")
    job = status.job
    if isinstance(job, ImageJob):
        length = counted(len(job.images), "image")
    else:
        length = "" if job.duration_s is None else f"{job.duration_s:.0f} s"
    uploaded = job.created.astimezone().strftime("%Y-%m-%d %H:%M")
    filters = ", ".join(str(look.look or "unknown") for look in status.looks)
    return (
        job.id,
        status.state,
        _painted_share(status),
        length,
        filters,
        job.source.name,
        uploaded,
    )


def _painted_share(status: JobStatus) -> str:
    """The share of the known segments that is painted, over all looks."""
    known = (status.total or status.stored) * len(status.looks)
    painted = sum(look.painted for look in status.looks)
    return f"{100 * painted // known} %" if known else ""


def print_filters() -> None:
    """Print one row for each filter."""
    rows = []
    for kind in CATALOGUE.values():
        # Files are given by path, not by their checksum.
        shown = [option for option in kind.options if option.type != "sha256"]
        options = " ".join(f"{option.name}={option.default}" for option in shown)
        rows.append((kind.name, kind.summary, options))
    _print_table(("filter", "what it does", "options"), rows)


def print_detectors(rows: Iterable[Mapping[str, object]]) -> None:
    """Print one row for each detector of `models.detector_rows`."""
    names = ("name", "here", "licence", "summary")
    cells = [[str(row[name]) for name in names] for row in rows]
    _print_table(("detector", "installed", "licence", "description"), cells)


def print_figures(rows: Sequence[Sequence[str]]) -> None:
    """Print a table of figures, right-aligned but for the first column; the first row is the
    head."""
    head, *figures = rows
    first, *others = head
    columns = [Column(first), *(Column(name, justify="right") for name in others)]
    _print_table(columns, figures)


def _print_table(columns: Sequence[Column | str], rows: Iterable[Sequence[str]]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        # Not as str: Rich would take brackets in a file's name for markup.
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)


def print_people(job: VideoJob, people: People, *, low_confidence: bool = False) -> None:
    """Print one row for each person, and how many more have a low confidence."""
    shown = people.shown(low_confidence=low_confidence)
    head = ("person", "first s", "last s", "frames", "confidence", "best at s", "position")
    if shown:
        print_figures([head, *(_person_row(job, person) for person in shown)])
    else:
        print("No face was found.")
    more = len(people.people) - len(shown)
    if more:
        print(f"{more} more with low confidence: --all includes them", file=sys.stderr)


def _person_row(job: VideoJob, person: Person) -> tuple[str, ...]:
    """A person's number, times in seconds, and the center of the best face in px."""

    def seconds(pts: int) -> str:
        return f"{float((pts - job.start_pts) * job.video.time_base):.2f}"

    x1, y1, x2, y2 = person.best_box
    return (
        person_label(person),
        seconds(person.first),
        seconds(person.last),
        str(person.frames),
        f"{person.score:.2f}",
        seconds(person.best_pts),
        f"{(x1 + x2) / 2:.0f},{(y1 + y2) / 2:.0f}",
    )


def person_label(person: Person) -> str:
    """A person's number, with a question mark if the confidence is low."""
    return f"{person.number} ?" if person.low_confidence else str(person.number)


def job_facts(status: JobStatus | JobSummary) -> dict[str, object]:
    """A job as ``jobs --json`` prints it."""
    if isinstance(status, JobSummary):
        return {"job": status.id, "state": status.state, "fault": status.fault}
    job = status.job
    return {
        **status_facts(status, ""),
        "created": job.created.isoformat(),
        "duration_s": job.duration_s if isinstance(job, VideoJob) else None,
        "images": len(job.images) if isinstance(job, ImageJob) else None,
    }


def status_facts(status: JobStatus, waiting: str) -> dict[str, object]:
    """A status as ``--json`` prints it."""
    return {
        "job": status.job.id,
        "input": status.job.source.name,
        "state": status.state,
        "detector": status.job.detector.label,
        "segments": status.total,
        "stored": status.stored,
        "detected": status.detected,
        "detect_failed": status.detect_failed,
        "tracked": status.keys.tracked,
        "truncated": status.truncated,
        "looks": [_look_facts(look) for look in status.looks],
        "fault": status.fault,
        "waiting": waiting,
    }


def _look_facts(look: LookStatus) -> dict[str, object]:
    return {
        "look": look.id,
        "filters": str(look.look) if look.look else None,
        "state": look.state,
        "painted": look.painted,
        "failed": look.failed,
        "blank": look.blank,
        "reasons": look.reasons,
        "fault": look.fault,
    }


def print_status(status: JobStatus, waiting: str) -> None:
    """Print a status as text."""
    of = f" of {status.total}" if status.total is not None else ""
    failed = f", {status.detect_failed} failed" if status.detect_failed else ""
    print(printable(f"{status.job.id}  {status.job.source.name}  {status.state}"))
    print(f"  {status.stored}{of} segments stored")
    print(f"  {status.detected}{of} detected by {status.job.detector.label}{failed}")
    for look in status.looks:
        filters = look.look or look.fault
        line = f"  {look.painted}{of} painted with look {look.id} ({filters})"
        if look.failed:
            line += f", {look.failed} failed"
        if look.blank:
            line += f", {look.blank} blank"
        print(printable(line))
    if status.truncated:
        print(printable(f"  the source ended early: {status.truncated}"))
    if status.state != "complete":
        print(printable(f"  {waiting}"))


def print_training(entry: Mapping[str, Any]) -> None:
    """Print one entry of a training run's log."""
    losses = entry.get("validation", entry)
    parts = "  ".join(
        f"{part} {losses[part]:.3f}" for part in ("object", "class", "box", "landmarks")
    )
    last = "validation" if "validation" in entry else f"{entry['pictures_per_s']:g} images/s"
    print(f"step {entry['step']}  {parts}  {last}", flush=True)
