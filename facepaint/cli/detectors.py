"""`facepaint detectors`: list, fetch, label, train, measure and export face detectors.

Each command parses its options and calls one plain function, which it imports when it is called.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from facepaint.cli.options import AsJson, Detector, DeviceOption, Overwrite
from facepaint.cli.tables import print_columns, print_detectors, print_training
from facepaint.errors import InputError, UsageError
from facepaint.extras import require_extra
from facepaint.files import write_text
from facepaint.settings import Settings
from facepaint.text import counted

app = typer.Typer(
    name="detectors",
    help="List and fetch face detectors, label pictures, and train, measure and export one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


RUN_OPTIONS = ("batch", "size", "learning_rate", "seed", "start")
"""Of `train`, what a run keeps to from its beginning."""


class Part(StrEnum):
    """Which of the pictures of a folder, as `models.lab.evaluation.evaluate.split` parts them."""

    all = "all"
    training = "training"
    validation = "validation"


class Fill(StrEnum):
    """What `label --fill` adds to labels that are there."""

    landmarks = "landmarks"


@app.command()
def label(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT", help="Pictures, folders of pictures, videos.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder of labels to make, or to add to: what it has stays."
        ),
    ] = None,
    detector: Detector = None,
    every: Annotated[float, typer.Option(min=0.01, help="Seconds of a video to a frame.")] = 1.0,
    most: Annotated[
        int | None, typer.Option("--max", min=1, help="Frames of a video at most.")
    ] = None,
    fill: Annotated[
        Fill | None,
        typer.Option(help="INPUT is a folder of labels: give its faces the landmarks they lack."),
    ] = None,
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Label faces by a detector that looks at several scales and mirrored, for people to
    correct."""
    require_extra("worker", "labelling pictures")
    from facepaint.stack.components import cores
    from models.lab.datasets.auto_label import Labeller, fill_landmarks
    from models.lab.datasets.auto_label import label as label_inputs

    if (out is None) != (fill is not None):
        raise UsageError(
            "name the folder of labels: --out FOLDER to make one, or --fill landmarks FOLDER "
            "for one there is"
        )
    labeller = Labeller(
        Settings.load(detector=detector).detector, device.value if device else "auto", cores()
    )
    if out is None:
        works = [fill_landmarks(data, labeller, _say) for data in inputs]
    else:
        works = [label_inputs(inputs, out, labeller, every_s=every, most=most, report=_say)]
    for work in works:
        print(json.dumps(asdict(work)) if as_json else work.report())


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Folder or file of labels, in any of the formats.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    to: Annotated[str, typer.Option(help="facepaint, coco or wider.")],
    kind: Annotated[
        str | None, typer.Option("--from", help="Format of IN.  [default: recognised by its files]")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Where the pictures lie, if not beside the labels.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="A class that is a face.  [default: face, or the only one]"),
    ] = None,
    complete_from: Annotated[
        Path | None,
        typer.Option(help="Labels as they were: what another tool lost comes from there."),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Link the pictures rather than copying them.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Bring labels into another tool's format, or back."""
    from models.lab.datasets import Source
    from models.lab.datasets.convert import convert as convert_labels

    wanted = Source(source, images, tuple(classes or ()))
    done = convert_labels(
        wanted, target, to, kind=kind, complete_from=complete_from, link=link, overwrite=overwrite
    )
    for note in done.notes:
        _say(f"facepaint: {note}")
    print(f"{target}: {done.report()}")


@app.command()
def sheet(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with labels.jsonl, and the pictures in images/."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.")],
    faces: Annotated[bool, typer.Option("--faces", help="Each face by itself, enlarged.")] = False,
    most: Annotated[
        int, typer.Option("--max", min=1, help="Cells at most, spread evenly over the data.")
    ] = 48,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Cells in a row.")] = 6,
    cell: Annotated[
        int, typer.Option(min=48, max=2000, help="Longest side of a cell in px.")
    ] = 240,
) -> None:
    """Draw labelled pictures, or their faces, into one PNG to look at."""
    require_extra("worker", "drawing a contact sheet")
    from models.lab.datasets.contact_sheet import Layout, save_contact_sheet

    drawn = save_contact_sheet(data, out, Layout(columns, cell, most), faces=faces)
    print(f"{out}: {counted(drawn, 'face' if faces else 'picture')}")


@app.command()
def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="Detectors: names, or files PATH.onnx.")
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with labels.jsonl, and the pictures in images/."
        ),
    ],
    side: Annotated[
        int,
        typer.Option(
            min=32, max=4096, help="Longest side of a picture in px: larger ones are made smaller."
        ),
    ] = 640,
    part: Annotated[
        Part,
        typer.Option(
            help="Only the tenth of the pictures that training leaves out, or only the rest."
        ),
    ] = Part.all,
    steady: Annotated[
        int,
        typer.Option(
            min=0, help="Pictures on which steadiness is measured, at most; 0 leaves it out."
        ),
    ] = 40,
    rounds: Annotated[
        int, typer.Option(min=0, help="How often each size is timed; 0 leaves the times out.")
    ] = 30,
    plot: Annotated[
        Path | None, typer.Option(help="Write precision-recall curves to this PNG.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the table to this file for documents.")
    ] = None,
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Measure detectors side by side: average precision, landmarks, steadiness and time."""
    require_extra("worker", "measuring detectors")
    from models.lab.evaluation.comparison import Plan, as_facts, as_markdown, as_rows, compare_named
    from models.lab.evaluation.detections import Options
    from models.lab.evaluation.plots import check_plotting, plot_precision_recall
    from models.providers import Runtime

    if plot:
        check_plotting()
    options = Options(side, runtime=Runtime(device.value if device else "auto"))
    comparison = compare_named(models, data, part.value, options, Plan(steady, rounds))
    if plot:
        plot_precision_recall(comparison.curves, plot)
    if markdown:
        _write(markdown, as_markdown(comparison))
    if as_json:
        print(json.dumps(as_facts(comparison)))
    else:
        print_columns(as_rows(comparison))


@app.command()
def train(
    context: typer.Context,
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...", help="Labelled folders; FOLDER=2 draws its pictures twice as often."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the run: settings, log, curve, checkpoint, detector.onnx."),
    ],
    batches: Annotated[
        int | None, typer.Option(min=1, help="Steps in all.  [default: 8000]")
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Pictures a step.")] = 32,
    size: Annotated[
        int, typer.Option(min=64, help="Side of a training picture in px, a multiple of 32.")
    ] = 256,
    learning_rate: Annotated[float, typer.Option(min=0, help="Highest learning rate.")] = 1e-3,
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same run on the same machine.")
    ] = 0,
    start: Annotated[
        Path | None, typer.Option("--from", help="Begin with the weights of an exported detector.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the checkpoint in --out, with the settings it has."
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or a device of PyTorch.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads on the CPU.")] = 2,
) -> None:
    """Train a detector on labelled folders; a tenth of the pictures is kept aside for
    validation."""
    if resume:
        _refuse_options(context, "--resume goes on with the settings of the run", RUN_OPTIONS)
    _require_training()
    from models.lab.training.command import Beginning, Place, train
    from models.lab.training.settings import settings_for

    settings = settings_for(batches, batch, size, learning_rate, seed)
    beginning = Beginning(start, resume, batches)
    command = shlex.join(["facepaint", *sys.argv[1:]])
    train(
        data,
        out,
        settings,
        beginning,
        Place(device, threads),
        command=command,
        report=print_training,
    )


@app.command()
def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a training run, finished or not.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="ONNX file to write; its card gets the same name.")
    ],
    int8: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Quantise to int8, calibrated on this labelled folder."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, for the card.")] = "",
    data: Annotated[str, typer.Option(help="What it was trained on, in words, for the card.")] = "",
) -> None:
    """Write the detector of a training run as one ONNX file with its card."""
    _require_training()
    from models.lab.training.command import Words, export_run

    export_run(run, out, Words(licence, data), int8)


@app.command("list")
def list_detectors(as_json: AsJson = False) -> None:
    """List the detectors that have a name, and whether they are on this machine."""
    from models import detector_rows

    rows = detector_rows()
    if as_json:
        print(json.dumps(rows))
    else:
        print_detectors(rows)


@app.command()
def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="As `facepaint detectors list` has them.")
    ],
) -> None:
    """Fetch known detectors of others, for --detector NAME."""
    from models.pull import pull

    for name in names:
        path, card = pull(name)
        print(f"{name}: {card.summary}. Licence: {card.licence}; {card.source}", file=sys.stderr)
        print(path)


def _require_training() -> None:
    require_extra("worker", "training detectors")
    require_extra("train", "training detectors")


def _refuse_options(context: typer.Context, why: str, names: Sequence[str]) -> None:
    """Raise `UsageError` if one of these options was given: to pass over it would not be what was
    asked for."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name) if option.name in names else None
        if source and source.name != "DEFAULT":
            raise UsageError(f"{why}: leave out {option.opts[0]}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as exc:
        raise InputError(f"{path} cannot be written: {exc.strerror}") from exc
