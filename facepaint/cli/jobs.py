"""The commands about jobs: play, save, list, status, people, resume and delete."""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from facepaint.cli.batch import Saving, save_item, saved_path
from facepaint.cli.malloc import give_back_large_blocks
from facepaint.cli.options import AllowGaps, AsJson, JobId, LookId, Overwrite
from facepaint.cli.progress import Display, make_display, show_page
from facepaint.cli.reservation import reserved
from facepaint.cli.tables import job_facts, print_jobs, print_people, print_status, status_facts
from facepaint.client import Client
from facepaint.errors import JobError, RecordInvalid, UnknownJob, UsageError
from facepaint.jobs.explain import why_waiting
from facepaint.jobs.people import require_video
from facepaint.jobs.status import JobStatus, JobSummary, find_job
from facepaint.jobs.workers import alive_workers
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.job import VideoJob
from facepaint.records.tracks import People, Person
from facepaint.text import counted, printable


def view(
    job: JobId,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FILE",
            help="Save to this file (a folder for images) instead of playing.",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the browser.")] = True,
    look: LookId = None,
    allow_gaps: AllowGaps = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Play a job while it is being painted, or save it as a file."""
    client = Client.connect()
    job = client.job_of(job)
    if save is None:
        open_viewer(client, job, browser=browser, look=look, as_json=as_json)
        return
    give_back_large_blocks()
    with make_display(json=as_json) as display, reserved([save]):
        facts = save_item(client, job, save, display, Saving(look, allow_gaps, overwrite))
    print(json.dumps(facts) if as_json else saved_path(facts, save))


def jobs(as_json: AsJson = False) -> None:
    """List the jobs, newest first."""
    client = Client.connect()
    statuses = in_parallel(partial(_status_or_summary, client), client.jobs())
    if as_json:
        print(json.dumps([job_facts(status) for status in statuses]))
        return
    if statuses:
        print_jobs(statuses)
    else:
        print("No jobs yet. Start one with: facepaint upload VIDEO", file=sys.stderr)


def _status_or_summary(client: Client, summary: JobSummary) -> JobStatus | JobSummary:
    """The status of a job, or its summary where it cannot be read or was just deleted."""
    if summary.job is None:
        return summary
    try:
        return client.status(summary.id)
    except (RecordInvalid, UnknownJob):
        return summary


def status(job: JobId, as_json: AsJson = False) -> None:
    """Show a job's progress and what it is waiting for."""
    client = Client.connect()
    job = client.job_of(job)
    current = client.status(job)
    _print_status(client, current, as_json)
    # Scripts can tell a failed job from one that is still being painted.
    if current.state in {"incomplete", "damaged"}:
        raise typer.Exit(JobError.exit_code)


def resume(
    job: JobId,
    seal: Annotated[
        bool,
        typer.Option("--seal", help="Finalize an abandoned upload at its last contiguous segment."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Retry what failed and queue what is missing."""
    client = Client.connect()
    job = client.job_of(job)
    _print_status(client, client.resume(job, seal=seal), as_json)


def _print_status(client: Client, current: JobStatus, as_json: bool) -> None:
    waiting = why_waiting(current, alive_workers(client.store))
    if as_json:
        print(json.dumps(status_facts(current, waiting)))
    else:
        print_status(current, waiting)


def delete(
    job: JobId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a job with its video, faces and results."""
    client = Client.connect()
    job = client.job_of(job)
    # A job without a readable record can be deleted too.
    source = find_job(client.store, job).source.name if client.store.exists(keys.job(job)) else job
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"deleting job {job} needs --yes where nobody can be asked")
        typer.confirm(printable(f"Delete job {job} ({source}) and all its results?"), abort=True)
    print(f"{counted(client.delete(job), 'object')} of {job} deleted")


def faces(
    job: JobId,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", metavar="PNG", help="Write a contact sheet of all people with their numbers."
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Write people and the faces of each frame as one JSON object."),
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Write one row per face and frame.")
    ] = False,
    as_coco: Annotated[
        bool, typer.Option("--coco", help="Write COCO keypoints, one image per frame.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="File for --json, --csv or --coco.  [default: printed]",
        ),
    ] = None,
    low_confidence: Annotated[
        bool, typer.Option("--all", help="Include low-confidence people.", show_default=False)
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """List the people in a video, or export all faces.

    The numbers are for --keep, --only and NAME@NUMBER.
    """
    formats = {"json": as_json, "csv": as_csv, "coco": as_coco}
    chosen = _chosen_format(formats, out)
    _check_outputs(sheet, out, overwrite)
    from facepaint.jobs.export import export

    client = Client.connect()
    job = client.job_of(job)
    record = find_job(client.store, job)
    if sheet is not None or chosen is None:
        # Refused before the person tracking is waited for.
        require_video(record)
    with make_display(json=False) as display:
        people = client.people(job, on_change=display.people)
        if sheet is not None:
            shown = people.shown(low_confidence=low_confidence)
            _draw_sheet(client, require_video(record), people, shown, sheet, display)
    if chosen is None:
        print_people(require_video(record), people, low_confidence=low_confidence)
    else:
        export(client.store, record, people, chosen, out, low_confidence=low_confidence)
    # Standard output may be the export itself.
    stream = sys.stderr if chosen is not None and out is None else sys.stdout
    for path in (sheet, out):
        if path is not None:
            print(path, file=stream)


def _chosen_format(formats: Mapping[str, bool], out: Path | None) -> str | None:
    """The chosen export format, or None.

    Raises:
        UsageError: several are chosen, or none and ``out`` names a file.
    """
    chosen = [name for name, is_chosen in formats.items() if is_chosen]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} cannot be combined: use one at a time")
    if out is not None and not chosen:
        raise UsageError("--out needs --json, --csv or --coco; use --sheet for an image")
    return chosen[0] if chosen else None


def _check_outputs(sheet: Path | None, out: Path | None, overwrite: bool) -> None:
    """Refuse outputs that cannot be written, before the person tracking is waited for."""
    for path in (sheet, out):
        if path is not None and path.exists() and not overwrite:
            raise UsageError(f"{path} exists: use another name, or --overwrite")
    if sheet is not None and not sheet.absolute().parent.is_dir():
        raise UsageError(f"{sheet} cannot be written: there is no folder {sheet.parent}")


def _draw_sheet(
    client: Client,
    job: VideoJob,
    people: People,
    shown: Sequence[Person],
    sheet: Path,
    display: Display,
) -> None:
    """Draw a contact sheet of people, with the portraits that the workers have made."""
    from facepaint.cli.people_sheet import save_sheet

    numbers = [person.number for person in people.portrayed if person in shown]
    portraits = client.portraits(job.id, numbers)
    missing = len(numbers) - len(portraits)
    if missing:
        display.say(f"facepaint: {counted(missing, 'portrait')} missing: is a worker running?")
    save_sheet(sheet, job, shown, portraits)


def open_viewer(
    client: Client,
    job_id: str,
    *,
    browser: bool,
    look: str | None = None,
    as_json: bool = False,
) -> None:
    """Show a job's page in the running viewer, or in one of our own until Ctrl-C."""
    look_id = client.look_of(job_id, look)

    def show(base: str) -> None:
        url = f"{base.rstrip('/')}/jobs/{job_id}?look={look_id}"
        if as_json:
            print(json.dumps({"job": job_id, "look": look_id, "url": url}), flush=True)
        else:
            show_page(url, browser)

    url = client.settings.viewer_url
    if url is not None:
        show(url)
        return
    from viewer.server.serve import serve

    serve(client.settings, on_ready=show)
