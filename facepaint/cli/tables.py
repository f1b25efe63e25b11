"""What commands print: tables and facts of jobs, filters and detectors."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from facepaint.jobs.status import JobStatus, JobSummary
from facepaint.looks.catalogue import CATALOGUE
from facepaint.records.job import VideoJob
from facepaint.records.tracks import People


def print_jobs(summaries: Iterable[JobSummary]) -> None:
    """A row a job."""
    table = Table("job", "state", "input", "uploaded", box=None, pad_edge=False)
    for summary in summaries:
        if summary.job is None:
            table.add_row(summary.id, "unreadable", summary.fault, "")
        else:
            when = summary.job.created.astimezone().strftime("%Y-%m-%d %H:%M")
            table.add_row(summary.id, summary.state or "", summary.job.source.name, when)
    Console().print(table)


def print_filters() -> None:
    """A row a filter."""
    table = Table("filter", "what it does", "options", box=None, pad_edge=False)
    for kind in CATALOGUE.values():
        options = " ".join(f"{o.name}={o.default}" for o in kind.options if o.type != "sha256")
        table.add_row(kind.name, kind.summary, options)
    Console().print(table)


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """A table of figures, the first row its head: drawn on a terminal, else plain text that no
    width breaks."""
    console = Console()
    if console.is_terminal:
        head, *others = rows
        table = Table(
            *(Column(name, justify="right" if row else "left") for row, name in enumerate(head)),
            box=None,
        )
        for cells in others:
            table.add_row(*map(Text, cells))
        console.print(table)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        print("  ".join([name.ljust(widths[0]), *padded]).rstrip())


def print_detectors(rows: Iterable[Mapping[str, object]]) -> None:
    """A row a detector."""
    table = Table("detector", "here", "licence", "what it is", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(row[name]) for name in ("name", "here", "licence", "summary")))
    Console().print(table)


def print_people(job: VideoJob, people: People, *, low_confidence: bool = False) -> None:
    """A row a person; how many more there may be."""
    tick = job.video.time_base
    shown = people.shown(low_confidence=low_confidence)
    rows = [("person", "first s", "last s", "frames", "score", "seen best at s", "there")]
    for person in shown:
        times = (
            f"{float((pts - job.start_pts) * tick):.2f}"
            for pts in (person.first, person.last, person.best_pts)
        )
        first, last, best = times
        x1, y1, x2, y2 = person.best_box
        number = f"{person.number}{' ?' if person.low_confidence else ''}"
        there = f"{(x1 + x2) / 2:.0f},{(y1 + y2) / 2:.0f}"
        rows.append((number, first, last, str(person.frames), f"{person.score:.2f}", best, there))
    if shown:
        print_columns(rows)
    else:
        print("No face was found.")
    hidden = len(people.people) - len(shown)
    if hidden:
        print(f"{hidden} more may be no faces: --all shows them", file=sys.stderr)


def status_facts(now: JobStatus, why: str) -> dict[str, object]:
    """A status for scripts."""
    return {
        "job": now.job.id,
        "input": now.job.source.name,
        "state": now.state,
        "detector": now.job.detector.label,
        "segments": now.total,
        "stored": now.stored,
        "detected": now.detected,
        "detect_failed": now.detect_failed,
        "tracked": now.keys.tracked,
        "truncated": now.truncated,
        "looks": [
            {
                "look": look.id,
                "filters": str(look.look) if look.look else None,
                "state": look.state,
                "painted": look.painted,
                "failed": look.failed,
                "blank": look.blank,
                "reasons": look.reasons,
            }
            for look in now.looks
        ],
        "waiting": why,
    }


def print_status(now: JobStatus, why: str) -> None:
    """A status for people."""
    of = f" of {now.total}" if now.total is not None else ""
    print(f"{now.job.id}  {now.job.source.name}  {now.state}")
    by = now.job.detector.label
    print(
        f"  stored {now.stored}{of}, faces found in {now.detected} by {by}, given up "
        f"{now.detect_failed}"
    )
    for look in now.looks:
        extra = f", {look.failed} given up" if look.failed else ""
        extra += f", {look.blank} blank" if look.blank else ""
        print(f"  look {look.id} ({look.look}): {look.painted}{of} painted{extra}")
    if now.truncated:
        print(f"  the source ended early: {now.truncated}")
    if now.state != "complete":
        print(f"  {why}")


def print_training(entry: Mapping[str, Any]) -> None:
    """A line of a training run's log."""
    losses = entry.get("validation", entry)
    parts = "  ".join(
        f"{part} {losses[part]:.3f}" for part in ("object", "class", "box", "landmarks")
    )
    last = "validation" if "validation" in entry else f"{entry['pictures_per_s']:g} pictures/s"
    print(f"step {entry['step']}  {parts}  {last}", flush=True)
