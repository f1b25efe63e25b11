"""`facepaint detectors`: list, download, train, evaluate and export face detectors; label images.

Each command parses its options and calls one function, which it imports when it is called.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from facepaint.cli.options import AsJson, Detector, DeviceOption, Overwrite
from facepaint.cli.tables import print_detectors, print_figures, print_training
from facepaint.errors import InputError, UsageError
from facepaint.extras import require_extra
from facepaint.files import write_text
from facepaint.settings import Settings
from facepaint.text import counted

app = typer.Typer(
    name="detectors",
    help="List, download, train, evaluate and export face detectors; label images.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


RUN_OPTIONS = ("batch", "size", "learning_rate", "seed", "start")
"""Options of `train` that are fixed when a run starts."""


@app.command()
def label(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT", help="Images, folders of images, videos.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder of labels to create or extend; existing labels are kept."
        ),
    ] = None,
    detector: Detector = None,
    every: Annotated[
        float, typer.Option(min=0.01, help="Label one frame per this many seconds of a video.")
    ] = 1.0,
    most: Annotated[
        int | None, typer.Option("--max", min=1, help="Maximum number of frames per video.")
    ] = None,
    fill: Annotated[
        Literal["landmarks"] | None,
        typer.Option(help="Add missing landmarks to the labels of the folder INPUT."),
    ] = None,
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Label the faces in images with a detector, for manual correction.

    The detector runs at several scales and on mirrored images.
    """
    require_extra("worker", "labelling images")
    from facepaint.stack.components import cores
    from models.lab.datasets.auto_label import Labeller, fill_landmarks
    from models.lab.datasets.auto_label import label as label_inputs

    if (out is None) != (fill is not None):
        raise UsageError(
            "name the folder of labels: --out FOLDER to create one, or --fill landmarks FOLDER "
            "for an existing one"
        )
    labeller = Labeller(Settings.load(detector=detector).detector, device or "auto", cores())
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
    to: Annotated[str, typer.Option(help="Format to write: facepaint, coco or wider.")],
    kind: Annotated[
        str | None, typer.Option("--from", help="Format of IN.  [default: detected from its files]")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, if not next to the labels.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            help="Class that is a face; repeat for several.  [default: face, or the only class]",
        ),
    ] = None,
    complete_from: Annotated[
        Path | None,
        typer.Option(
            help="Original labels: fields that another tool dropped are restored from them."
        ),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Link the images instead of copying them.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert labels to another tool's format, or back."""
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
        typer.Argument(metavar="DATA", help="Folder with labels.jsonl and the images in images/."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.")],
    faces: Annotated[
        bool, typer.Option("--faces", help="Draw each face by itself, enlarged.")
    ] = False,
    most: Annotated[
        int,
        typer.Option("--max", min=1, help="Maximum number of cells, sampled evenly from the data."),
    ] = 48,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Cells in a row.")] = 6,
    cell: Annotated[
        int, typer.Option(min=48, max=2000, help="Longest side of a cell in px.")
    ] = 240,
) -> None:
    """Draw labelled images, or their faces, into one PNG."""
    require_extra("worker", "drawing a contact sheet")
    from models.lab.datasets.contact_sheet import Layout, save_contact_sheet

    drawn = save_contact_sheet(data, out, Layout(columns, cell, most), faces=faces)
    print(f"{out}: {counted(drawn, 'face' if faces else 'image')}")


@app.command()
def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="Detectors: names or files PATH.onnx.")
    ],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Folder with labels.jsonl and the images in images/."),
    ],
    side: Annotated[
        int,
        typer.Option(
            min=32, max=4096, help="Longest side of an image in px; larger ones are scaled down."
        ),
    ] = 640,
    part: Annotated[
        Literal["all", "training", "validation"],
        typer.Option(
            help="Use only the tenth of the images that training holds out, or only the rest."
        ),
    ] = "all",
    steady: Annotated[
        int,
        typer.Option(min=0, help="Maximum number of images for measuring stability; 0 skips it."),
    ] = 40,
    rounds: Annotated[
        int, typer.Option(min=0, help="Timed runs per input size; 0 skips the timing.")
    ] = 30,
    plot: Annotated[
        Path | None, typer.Option(help="Write precision-recall curves to this PNG.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the table to this Markdown file.")
    ] = None,
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Compare detectors: average precision, landmark error, stability and time."""
    require_extra("worker", "evaluating detectors")
    from models.lab.evaluation.comparison import Plan, as_facts, as_markdown, as_rows, compare_named
    from models.lab.evaluation.detections import Options
    from models.lab.evaluation.plots import check_plotting, plot_precision_recall
    from models.providers import Runtime

    if plot:
        check_plotting()
    options = Options(side, runtime=Runtime(device or "auto"))
    comparison = compare_named(models, data, part, options, Plan(steady, rounds))
    if plot:
        plot_precision_recall(comparison.curves, plot)
    if markdown:
        _write(markdown, as_markdown(comparison))
    if as_json:
        print(json.dumps(as_facts(comparison)))
    else:
        print_figures(as_rows(comparison))


@app.command()
def train(
    context: typer.Context,
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...", help="Labelled folders; FOLDER=2 samples its images twice as often."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the run: settings, log, curve, checkpoint, detector.onnx."),
    ],
    batches: Annotated[
        int | None, typer.Option(min=1, help="Number of training steps.  [default: 8000]")
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Images per step.")] = 32,
    size: Annotated[
        int, typer.Option(min=64, help="Side of a training image in px, a multiple of 32.")
    ] = 256,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = 1e-3,
    seed: Annotated[
        int, typer.Option(help="Random seed; the same one gives the same run on the same machine.")
    ] = 0,
    start: Annotated[
        Path | None, typer.Option("--from", help="Start from the weights of an exported detector.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue from the checkpoint in --out, with its settings."),
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or another PyTorch device.")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train a detector on labelled folders. A tenth of the images is held out for validation."""
    if resume:
        _refuse_options(context, "--resume continues with the settings of the run", RUN_OPTIONS)
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
        typer.Option(metavar="DATA", help="Quantize to int8, calibrated on this labelled folder."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, for the card.")] = "",
    data: Annotated[str, typer.Option(help="Description of the training data, for the card.")] = "",
) -> None:
    """Export the detector of a training run as one ONNX file with its card."""
    _require_training()
    from models.lab.training.command import CardTexts, export_run

    export_run(run, out, CardTexts(licence, data), int8)


@app.command("list")
def list_detectors(as_json: AsJson = False) -> None:
    """List the known detectors and whether they are installed."""
    from models import detector_rows

    rows = detector_rows()
    if as_json:
        print(json.dumps(rows))
    else:
        print_detectors(rows)


@app.command()
def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names from `facepaint detectors list`.")
    ],
) -> None:
    """Download third-party detectors, for --detector NAME."""
    from models.pull import pull

    for name in names:
        path, card = pull(name)
        print(f"{name}: {card.summary}. Licence: {card.licence}; {card.source}", file=sys.stderr)
        print(path)


def _require_training() -> None:
    require_extra("worker", "training detectors")
    require_extra("train", "training detectors")


def _refuse_options(context: typer.Context, why: str, names: Sequence[str]) -> None:
    """Refuse options that would have no effect.

    Raises:
        UsageError: one of ``names`` was given; the message starts with ``why``.
    """
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
