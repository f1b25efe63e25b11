"""What commands print: tables and facts of jobs and filters."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from facepaint.looks import CATALOGUE
from facepaint.status import JobStatus, JobSummary


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


def status_facts(now: JobStatus, why: str) -> dict[str, object]:
    """A status for scripts."""
    return {
        "job": now.job.id,
        "input": now.job.source.name,
        "state": now.state,
        "segments": now.total,
        "stored": now.stored,
        "detected": now.detected,
        "undetected": now.undetected,
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
    print(f"  stored {now.stored}{of}, faces found in {now.detected}, given up {now.undetected}")
    for look in now.looks:
        extra = f", {look.failed} given up" if look.failed else ""
        extra += f", {look.blank} blank" if look.blank else ""
        print(f"  look {look.id} ({look.look}): {look.painted}{of} painted{extra}")
    if now.truncated:
        print(f"  the source ended early: {now.truncated}")
    if now.state != "complete":
        print(f"  {why}")
