"""The command line: thin commands over `facepaint.client`; only here do our errors become a line and an exit code."""

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from facepaint import __version__, keys
from facepaint.batch import Batch, Item, Saving, run_item, save_item, upload_item, wait_item
from facepaint.client import Client
from facepaint.detectors_cli import app as detectors
from facepaint.display import make_display, show_page
from facepaint.errors import FacepaintError, JobError, MissingExtra, ServiceError, UsageError
from facepaint.keys import check_job_id
from facepaint.looks import CATALOGUE, parse_look
from facepaint.memory import give_back_large_blocks
from facepaint.options import (
    AllowGaps,
    AsJson,
    Detector,
    DeviceOption,
    EncoderOption,
    Filters,
    Inputs,
    JobId,
    KeepFormat,
    LookId,
    MinFace,
    Overwrite,
    Quality,
    Workers,
    output_choices,
)
from facepaint.settings import Settings
from facepaint.status import alive_workers, find_job, why_waiting
from facepaint.tables import print_filters, print_jobs, print_status, status_facts

INTERRUPTED = 130

app = typer.Typer(
    name="facepaint",
    help="Paint or hide the faces in a video on machines other than the one that holds it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(detectors)


@app.callback(invoke_without_command=True)
def version_option(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Paint or hide the faces in a video on machines other than the one that holds it."""
    if version:
        print(f"facepaint {__version__}")
        raise typer.Exit


@app.command()
def run(
    inputs: Inputs,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write, or a folder for several inputs or pictures."),
    ] = None,
    filters: Filters = ["sunglasses"],  # noqa: B006 - Typer copies it
    detector: Detector = None,
    min_face: MinFace = None,
    quality: Quality = None,
    encoder: EncoderOption = None,
    keep_format: KeepFormat = False,
    workers: Workers = None,
    device: DeviceOption = None,
    allow_gaps: AllowGaps = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Do everything on this machine: start the parts, paint, save, stop them."""
    from facepaint.foreground import Interrupts
    from facepaint.stack import private_stack, running_connection

    look = parse_look(filters)
    choices = {"detector": detector, "min_face": min_face, **output_choices(quality, encoder, keep_format)}
    settings = Settings.load(**choices, device=device and device.value)
    _check_detection(settings)
    _check_encoder(settings)
    batch = Batch.sort(inputs)
    targets = batch.targets(out, overwrite=overwrite)
    saving = Saving(allow_gaps=allow_gaps, overwrite=overwrite)

    def work(client: Client, tend: Callable[[], object] | None = None) -> None:
        batch.each(
            lambda index, item: run_item(client, item, targets[index], look, as_json=as_json, saving=saving, tend=tend)
        )

    living = running_connection(settings.home, **choices) if workers is None and device is None else None
    if not batch.items:
        pass
    elif living is not None:
        work(Client(living))
    else:
        with Interrupts(), private_stack(settings, workers) as stack:
            work(Client(stack.settings), lambda: stack.tend(give_up=True))
    batch.finish()


@app.command()
def up(
    workers: Workers = None,
    viewer: Annotated[bool, typer.Option(help="Run the viewer too.")] = True,
    port: Annotated[int | None, typer.Option(help="Port of the viewer, 0 for a free one.  [default: 8471]")] = None,
    device: DeviceOption = None,
) -> None:
    """Run broker, storage, workers and viewer on this machine, in the foreground, until Ctrl-C."""
    from facepaint.foreground import run_foreground

    settings = Settings.load(device=device and device.value)
    _check_detection(settings)
    run_foreground(settings, workers=workers, viewer=viewer, viewer_port=port)


@app.command()
def worker(
    workers: Workers = None,
    queues: Annotated[str, typer.Option(help="Queues to serve, separated by commas.")] = "paint,detect",
    device: DeviceOption = None,
) -> None:
    """Run one worker in the foreground: a pool of processes on the CPU, a single one on a GPU."""
    from facepaint.parts import worker_command, worker_environment
    from facepaint.queue import QUEUES

    names = [name.strip() for name in queues.split(",") if name.strip()]
    if not names or not set(names) <= set(QUEUES):
        raise UsageError(f"--queues {queues}: there are {', '.join(QUEUES)}")
    settings = Settings.load(device=device and device.value)
    _check_detection(settings)
    settings.require_services()
    command = worker_command(settings, queues=names, processes=workers)
    environment = worker_environment(settings)
    os.chdir("/")  # else a tasks.py in the user's folder would shadow ours
    os.execve(command[0], command, environment)  # noqa: S606 - the worker takes our place, and our signals


def _check_detection(settings: Settings) -> None:
    """Refuse, before any work is done, a detector or device that the workers would refuse."""
    from facepaint.parts import require_worker_extra

    require_worker_extra()
    from models import find_model

    find_model(settings.detector)
    if settings.device not in ("auto", "cpu") or settings.float16:
        from models.session import check_device  # slow to import

        check_device(settings.device, settings.float16)


def _check_encoder(settings: Settings) -> None:
    if settings.encoder is not None:
        from tasks.encoders import require_encoder

        require_encoder(settings.encoder)


@app.command()
def upload(
    inputs: Inputs,
    filters: Filters = ["sunglasses"],  # noqa: B006
    view: Annotated[bool, typer.Option("--view", help="Play it in the browser while it is being made.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until everything is painted.")] = False,
    resume: Annotated[str | None, typer.Option("--resume", metavar="JOB", help="Go on with this upload.")] = None,
    detector: Detector = None,
    min_face: MinFace = None,
    quality: Quality = None,
    encoder: EncoderOption = None,
    keep_format: KeepFormat = False,
    as_json: AsJson = False,
) -> None:
    """Upload videos or pictures and queue the work for the workers."""
    look = parse_look(filters)
    settings = Settings.load(detector=detector, min_face=min_face, **output_choices(quality, encoder, keep_format))
    settings.require_services()
    if not resume:
        from facepaint.detectors import find_detector

        find_detector(settings.detector)
    if resume and len(inputs) != 1:
        raise UsageError("--resume goes on with one job: give the one file it was uploaded from")
    # Weak devices upload: a long video's index and the storage's client are never made at once.
    give_back_large_blocks()
    batch = Batch.sort(inputs)
    client = Client(settings)
    uploaded = []

    def work(_: int, item: Item) -> None:
        with make_display(json=as_json) as display:
            job_id = upload_item(client, item, look, display, resume)
            uploaded.append(job_id)
            if wait:
                wait_item(client, job_id, display)
        print(json.dumps({"input": [str(path) for path in item.inputs], "job": job_id}) if as_json else job_id)

    batch.each(work)
    if not as_json and uploaded and not view and not wait:
        print(f"Watch it with: facepaint view {uploaded[-1]}", file=sys.stderr)
    batch.finish()
    if view:
        open_viewer(client, uploaded[-1], browser=True)


@app.command()
def view(
    job: JobId,
    save: Annotated[
        Path | None, typer.Option("--save", help="Join to one file (a folder for pictures) instead of playing.")
    ] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    look: LookId = None,
    allow_gaps: AllowGaps = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Play a job while it is being made, or save it as one file."""
    client = Client.connect()
    if save is None:
        open_viewer(client, check_job_id(job), browser=browser, look=look)
        return
    give_back_large_blocks()
    with make_display(json=as_json) as display:
        said = save_item(client, job, save, display, Saving(look, allow_gaps, overwrite))
    print(json.dumps(said) if as_json else said["saved"] if isinstance(said["saved"], str) else save)


@app.command()
def jobs(as_json: AsJson = False) -> None:
    """List the jobs, newest first."""
    summaries = Client.connect().jobs()
    if as_json:
        rows = [{"job": s.id, "state": s.state, "name": s.job.source.name if s.job else None} for s in summaries]
        print(json.dumps(rows))
        return
    if summaries:
        print_jobs(summaries)
    else:
        print("No jobs yet. Start one with: facepaint upload VIDEO", file=sys.stderr)


@app.command()
def status(job: JobId, as_json: AsJson = False) -> None:
    """Tell how far a job is, and what it waits for."""
    client = Client.connect()
    now = client.status(job)
    why = why_waiting(now, alive_workers(client.store))
    if as_json:
        print(json.dumps(status_facts(now, why)))
    else:
        print_status(now, why)
    if now.state == "incomplete":
        raise typer.Exit(JobError.exit_code)


@app.command()
def resume(
    job: JobId,
    seal: Annotated[
        bool, typer.Option("--seal", help="End an upload that will not go on at its last whole segment.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Try again what was given up, and queue what is missing."""
    client = Client.connect()
    now = client.resume(job, seal=seal)
    why = why_waiting(now, alive_workers(client.store))
    if as_json:
        print(json.dumps(status_facts(now, why)))
    else:
        print_status(now, why)


@app.command()
def delete(
    job: JobId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a job: its video, its faces and what was painted."""
    client = Client.connect()
    source = find_job(client.store, job).source.name if client.store.exists(keys.job(job)) else job
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete job {job} ({source}) and everything painted from it?", abort=True)
    print(f"{client.delete(job)} objects of {job} deleted")


@app.command()
def filters(
    preview: Annotated[
        Path | None, typer.Option("--preview", help="Draw every filter on a face into this PNG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the filters and their options."""
    if preview is not None:
        if importlib.util.find_spec("cv2") is None:
            raise MissingExtra("worker", "drawing the gallery")
        from filters.gallery import save_gallery

        save_gallery(preview)
        print(preview)
        return
    if as_json:
        print(json.dumps([asdict(kind) for kind in CATALOGUE.values()]))
        return
    print_filters()


@app.command()
def verify(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The video that was painted.")],
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="What was saved of it.")],
    as_json: AsJson = False,
) -> None:
    """Check that RESULT is SOURCE with painted faces and nothing else changed: frames, times, sound, colours, tags."""
    from viewer.verify import verify as compare

    found = compare(source, result)
    print(json.dumps(found.facts()) if as_json else "\n".join(found.report()))
    if not found.passed:
        wrong = [promise.name for promise in found.guarantees if not promise.kept]
        raise JobError(f"{result} is more than {source} with painted faces: it differs in {', '.join(wrong)}")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check the installation and the services, and say what to do about what is wrong."""
    from facepaint.doctor import checks

    found = checks(Settings.load())
    if as_json:
        print(json.dumps([asdict(check) for check in found]))
    else:
        for check in found:
            print(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}")
            if not check.ok and check.advice:
                print(f"     {check.advice}")
    if not all(check.ok for check in found):
        raise typer.Exit(ServiceError.exit_code)


def open_viewer(client: Client, job_id: str, *, browser: bool, look: str | None = None) -> None:
    """Show a job's page: that of the running viewer, else one of our own until Ctrl-C."""
    look_id = client.look_of(job_id, look)
    path = f"/jobs/{job_id}?look={look_id}"
    url = client.settings.viewer_url
    if url is None:
        from viewer.serve import serve

        serve(client.settings, on_ready=lambda base: show_page(f"{base.rstrip('/')}{path}", browser))
    else:
        show_page(f"{url.rstrip('/')}{path}", browser)


def _end_interrupted() -> NoReturn:
    """End with the code for it; everything has been put away by now.

    CPython kills itself by SIGINT, however well the interrupt was handled, if it came while a string was executed, as
    is done to make a dataclass at import. This leaves it no time to.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def main() -> None:
    """Run the command line; errors of ours are one line on standard error and an exit code."""
    try:
        app()
    except FacepaintError as exc:
        print(f"facepaint: {exc}", file=sys.stderr)
        sys.exit(exc.exit_code)
    except SystemExit as exc:
        if exc.code == INTERRUPTED:
            _end_interrupted()
        raise
    except KeyboardInterrupt:  # Typer handles the first one; one more may come while things are being put away
        _end_interrupted()
    except Exception as exc:  # whatever else comes up is a bug, and is called one
        if os.environ.get("FACEPAINT_DEBUG"):
            raise
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        print(
            f"facepaint: this is a bug: {type(exc).__name__}: {exc} ({Path(frame.filename).name}:{frame.lineno}); "
            "run it again with FACEPAINT_DEBUG=1 and report what it prints",
            file=sys.stderr,
        )
        sys.exit(1)
