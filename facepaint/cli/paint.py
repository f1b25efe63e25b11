"""The commands that paint: on this machine, through workers, and a job again with another look."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from facepaint.cli.batch import (
    Batch,
    Item,
    Saving,
    going_on,
    run_item,
    save_item,
    saved_path,
    upload_item,
    wait_item,
)
from facepaint.cli.jobs import open_viewer
from facepaint.cli.malloc import give_back_large_blocks
from facepaint.cli.options import (
    AllowGaps,
    AsJson,
    CoverOption,
    Detector,
    DeviceOption,
    EncoderOption,
    Filters,
    Inputs,
    JobId,
    Keep,
    KeepFormat,
    MinFace,
    Only,
    Overwrite,
    Quality,
    Regions,
    Workers,
    chosen_look,
    output_choices,
)
from facepaint.cli.progress import make_display
from facepaint.cli.reservation import reserved
from facepaint.client import Client
from facepaint.errors import UsageError
from facepaint.extras import require_extra
from facepaint.settings import Settings


def run(
    inputs: Inputs,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Output file; a folder for several inputs or for images.",
        ),
    ] = None,
    filters: Filters = ["sunglasses"],  # noqa: B006
    keep: Keep = [],  # noqa: B006 - Typer copies it
    only: Only = [],  # noqa: B006
    region: Regions = [],  # noqa: B006
    cover: CoverOption = None,
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
    """Paint on this machine: start the embedded services, paint, save, and stop them.

    To see the people's numbers before --keep or --only, use `facepaint up`, then upload, faces and
    repaint.
    """
    from facepaint.cli.up import Interrupts
    from facepaint.stack.stack import private_stack, running_connection

    look = chosen_look(filters, keep, only, region, cover)
    choices = {
        "detector": detector,
        "min_face": min_face,
        **output_choices(quality, encoder, keep_format),
    }
    settings = Settings.load(**choices, device=device)
    _check_detection(settings)
    _check_encoder(settings)
    batch = Batch.classify(inputs)
    targets = batch.targets(out, overwrite=overwrite)
    saving = Saving(allow_gaps=allow_gaps, overwrite=overwrite)

    def run_all(client: Client, supervise: Callable[[], object] | None = None) -> None:
        batch.for_each(
            lambda index, item: run_item(
                client,
                item,
                targets[index],
                look,
                as_json=as_json,
                saving=saving,
                supervise=supervise,
            )
        )

    # The workers of a running stack have their own number and device.
    may_join = workers is None and device is None
    running = running_connection(settings.home, **choices) if may_join else None
    # Every input may be bad: then nothing has to be started.
    if batch.items:
        with reserved(targets):
            if running is not None:
                run_all(Client(running))
            else:
                with Interrupts(), private_stack(settings, workers) as stack:
                    run_all(Client(stack.settings), lambda: stack.supervise(give_up=True))
    batch.finish()


def up(
    workers: Workers = None,
    viewer: Annotated[bool, typer.Option(help="Run the viewer.")] = True,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Port of the viewer, 0 for a free one.  [default: 8471]",
        ),
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Run broker, storage, workers and viewer on this machine until Ctrl-C."""
    from facepaint.cli.up import run_foreground

    settings = Settings.load(device=device)
    _check_detection(settings)
    run_foreground(settings, workers=workers, viewer=viewer, viewer_port=port)


def worker(
    workers: Workers = None,
    queues: Annotated[
        str, typer.Option(metavar="NAMES", help="Queues to consume, separated by commas.")
    ] = "paint,detect",
    device: DeviceOption = None,
) -> None:
    """Run a worker in the foreground: several processes on a CPU, one on a GPU."""
    from facepaint.queue import QUEUES
    from facepaint.stack.components import worker_command, worker_environment

    names = [name.strip() for name in queues.split(",") if name.strip()]
    if not names or not set(names) <= set(QUEUES):
        raise UsageError(f"--queues {queues}: the queues are {', '.join(QUEUES)}")
    settings = Settings.load(device=device)
    _check_detection(settings)
    settings.require_services()
    command = worker_command(settings, queues=names, processes=workers)
    environment = worker_environment(settings)
    # Celery imports from the working directory first: a tasks.py there would shadow ours.
    os.chdir("/")
    # The worker replaces this process, so signals reach it.
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted


def _check_detection(settings: Settings) -> None:
    """Refuse, before any work is done, a detector or device that the workers would refuse."""
    require_extra("worker", "painting on this machine")
    from models import find_model

    find_model(settings.detector)
    if settings.device not in ("auto", "cpu") or settings.float16:
        # ONNX Runtime is slow to import.
        from models.session import check_device

        check_device(settings.device, settings.float16)


def _check_encoder(settings: Settings) -> None:
    """Refuse, before any work is done, an encoder that this machine does not have."""
    if settings.encoder is not None:
        from tasks.video.encoder_options import require_encoder

        require_encoder(settings.encoder)


def upload(
    inputs: Inputs,
    filters: Filters = ["sunglasses"],  # noqa: B006
    keep: Keep = [],  # noqa: B006
    only: Only = [],  # noqa: B006
    region: Regions = [],  # noqa: B006
    cover: CoverOption = None,
    view: Annotated[
        bool,
        typer.Option("--view", help="Play the result in the browser while it is being painted."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until everything is painted.")] = False,
    resume: Annotated[
        str | None,
        typer.Option("--resume", metavar="JOB", help="Continue this interrupted upload."),
    ] = None,
    detector: Detector = None,
    min_face: MinFace = None,
    quality: Quality = None,
    encoder: EncoderOption = None,
    keep_format: KeepFormat = False,
    as_json: AsJson = False,
) -> None:
    """Upload videos or images and queue them for the workers."""
    look = chosen_look(filters, keep, only, region, cover)
    settings = Settings.load(
        detector=detector, min_face=min_face, **output_choices(quality, encoder, keep_format)
    )
    settings.require_services()
    _check_upload(settings, inputs, resume)
    # Weak devices upload: a long video's index and the storage's client never coexist.
    give_back_large_blocks()
    batch = Batch.classify(inputs)
    client = Client(settings)
    began = time.monotonic()
    uploaded: dict[int, str] = {}

    def upload_one(index: int, item: Item) -> None:
        with make_display(json=as_json) as display:
            uploaded[index] = upload_item(client, item, look, display, resume)
        if not wait:
            show(index, item)

    def wait_for(index: int, item: Item) -> None:
        if index in uploaded:
            with make_display(json=as_json) as display, going_on(uploaded[index]):
                wait_item(client, uploaded[index], display, since=began)
            show(index, item)

    def show(index: int, item: Item) -> None:
        facts = {"input": [str(path) for path in item.inputs], "job": uploaded[index]}
        print(json.dumps(facts) if as_json else uploaded[index], flush=True)

    # The next input is uploaded while the workers paint the one before.
    batch.for_each(upload_one)
    if wait:
        batch.for_each(wait_for)
    if uploaded and not (as_json or view or wait):
        newest = uploaded[max(uploaded)]
        print(f"Watch it with: facepaint view {newest}", file=sys.stderr)
    batch.finish()
    if view:
        open_viewer(client, uploaded[max(uploaded)], browser=True)


def _check_upload(settings: Settings, inputs: Sequence[Path], resume: str | None) -> None:
    """Refuse, before any work is done, a detector or inputs that do not fit."""
    if resume is None:
        from facepaint.detectors.registry import find_detector

        # A resumed job already has a detector.
        find_detector(settings.detector)
    elif len(inputs) != 1:
        raise UsageError("--resume continues one job: give the one file it was uploaded from")


def repaint(
    job: JobId,
    filters: Filters,
    keep: Keep = [],  # noqa: B006
    only: Only = [],  # noqa: B006
    region: Regions = [],  # noqa: B006
    cover: CoverOption = None,
    view: Annotated[
        bool,
        typer.Option("--view", help="Play the result in the browser while it is being painted."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until everything is painted.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="FILE", help="Wait, then save to this file (a folder for images)."
        ),
    ] = None,
    allow_gaps: AllowGaps = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Render a job with other filters, reusing its detections."""
    chosen = chosen_look(filters, keep, only, region, cover)
    client = Client.connect()
    job = client.job_of(job)
    look = client.repaint(job, chosen)
    facts: dict[str, object] = {"job": job, "look": look}
    with make_display(json=as_json) as display:
        if save is not None:
            give_back_large_blocks()
            with reserved([save]):
                facts |= save_item(client, job, save, display, Saving(look, allow_gaps, overwrite))
        elif wait:
            with going_on(job):
                wait_item(client, job, display, look=look)
    if as_json:
        print(json.dumps(facts))
    elif save is not None:
        print(saved_path(facts, save))
    else:
        print(look)
    if view:
        open_viewer(client, job, browser=True, look=look)
    elif not as_json and save is None:
        print(f"Watch it with: facepaint view {job} --look {look}", file=sys.stderr)
