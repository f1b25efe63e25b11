"""The options and arguments that several commands share, each with its unit and default."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from facepaint.errors import UsageError
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.looks.selection import parse_selection
from facepaint.media.encoders import EncoderName
from facepaint.records.detector_card import DEFAULT_DETECTOR


class Device(StrEnum):
    """Where a worker runs the detector."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"
    openvino = "openvino"


class Cover(StrEnum):
    """How much of a person a filter that hides covers."""

    face = "face"
    head = "head"


Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT...", help="Videos (a job each) or pictures (one job for all)."),
]
Filters = Annotated[
    list[str],
    typer.Option(
        "--filter",
        "-f",
        help="What to paint: name or name:key=value,...; several are painted in order.",
    ),
]
Keep = Annotated[
    list[str],
    typer.Option(
        "--keep",
        metavar="ID",
        help="Paint everyone but these, by their numbers in `facepaint faces JOB`; also several "
        "with commas.",
        show_default=False,
    ),
]
Only = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="ID",
        help="Paint only these people; also several with commas.",
        show_default=False,
    ),
]
Regions = Annotated[
    list[str],
    typer.Option(
        "--region",
        metavar="X,Y,W,H",
        help="Paint only faces in this part of the upright picture, in px or percent: "
        "0,0,50%,100% is its left half. "
        "Repeat it for more parts.",
        show_default=False,
    ),
]
CoverOption = Annotated[
    Cover | None,
    typer.Option(
        "--cover", help="What filters that hide cover.  [default: the filter's option, face]"
    ),
]
JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="Id of the job, as `facepaint jobs` lists it.")
]
LookId = Annotated[
    str | None,
    typer.Option("--look", help="Which look, where a job has several: its id's beginning."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts and nothing else.")]
Detector = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help="Face detector: a name (see `facepaint detectors list`) or a file PATH.onnx.  "
        f"[default: {DEFAULT_DETECTOR}]",
    ),
]
MinFace = Annotated[
    float | None,
    typer.Option(
        "--min-face",
        help="Smallest face to find, as a share of the picture's height.  [default: 0.06]",
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        "--quality", help="CRF on x264's scale, 0 to 51: lower is better and bigger.  [default: 20]"
    ),
]
EncoderOption = Annotated[
    EncoderName | None,
    typer.Option(
        "--encoder",
        help="Encoder of the result.  [default: libx264, or libx265 where more than 8 bits are "
        "kept]",
    ),
]
KeepFormat = Annotated[
    bool,
    typer.Option(
        "--keep-format",
        help="Keep bit depth, chroma and HDR: in HEVC, which not every browser plays.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=64, help="Worker processes.  [default: one a core]"),
]
AllowGaps = Annotated[
    bool, typer.Option("--allow-gaps", help="Save even if a segment was given up.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that are there already.")
]
DeviceOption = Annotated[
    Device | None, typer.Option("--device", help="Where to detect.  [default: auto]")
]


def output_choices(
    quality: int | None, encoder: str | None, keep_format: bool
) -> dict[str, object]:
    """The settings of the result that were chosen; None leaves a setting as it is."""
    return {"crf": quality, "encoder": encoder, "keep_format": keep_format or None}


def chosen_look(
    filters: Sequence[str],
    keep: Sequence[str],
    only: Sequence[str],
    regions: Sequence[str],
    cover: Cover | None,
) -> Look:
    """The look that the options ask for.

    Raises:
        UsageError: one of them is wrong, or does not go with the others.
    """
    selection = parse_selection(keep, only, regions)
    look = parse_look(filters, selection)
    if cover is not None and not look.redacts:
        raise UsageError(f"--cover {cover.value} is for filters that hide: blur, mosaic or fill")
    if selection.numbers + selection.regions and all(spec.face for spec in look.filters):
        raise UsageError(
            "--keep, --only and --region are for filters without @: each of yours has a face "
            "of its own"
        )
    return look.covering(cover and cover.value)
