"""The options and arguments that several commands share, with their units and defaults."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from facepaint.cli.completion import filter_names, job_ids
from facepaint.devices import Device
from facepaint.errors import UsageError
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.looks.selection import parse_selection
from facepaint.media.encoders import ENCODERS, EncoderName
from facepaint.records.detector_card import DEFAULT_DETECTOR

Cover = Literal["face", "head"]

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Videos (one job each) or images (one job for all)."),
]
Filters = Annotated[
    list[str],
    typer.Option(
        "--filter",
        "-f",
        metavar="FILTER",
        autocompletion=filter_names,
        help="Filter: NAME or NAME:KEY=VALUE,...; repeat for several, painted in this order.",
    ),
]
Keep = Annotated[
    list[str],
    typer.Option(
        "--keep",
        metavar="ID",
        help="Paint everybody except these people; numbers from `facepaint faces JOB`, "
        "separated by commas.",
        show_default=False,
    ),
]
Only = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="ID",
        help="Paint only these people; numbers separated by commas.",
        show_default=False,
    ),
]
Regions = Annotated[
    list[str],
    typer.Option(
        "--region",
        metavar="X,Y,W,H",
        help="Paint only faces in this region of the upright frame, in px or percent: "
        "0,0,50%,100% is the left half. Repeat for several regions.",
        show_default=False,
    ),
]
CoverOption = Annotated[
    Cover | None,
    typer.Option(
        "--cover", help="Area that blur, mosaic and fill cover.  [default: the filter's, face]"
    ),
]
JobId = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="Job id, from `facepaint jobs`, or a unique beginning of it.",
        autocompletion=job_ids,
    ),
]
LookId = Annotated[
    str | None,
    typer.Option("--look", metavar="LOOK", help="Look id or unique prefix.  [default: the newest]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Detector = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="Face detector: a name (see `facepaint detectors list`) or a file PATH.onnx.  "
        f"[default: {DEFAULT_DETECTOR}]",
    ),
]
MinFace = Annotated[
    float | None,
    typer.Option(
        "--min-face",
        min=0.001,
        max=1,
        metavar="SHARE",
        help="Smallest face to detect, as a share of the frame's height.  [default: 0.06]",
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        "--quality",
        min=0,
        max=51,
        metavar="CRF",
        help="CRF on x264's scale, 0 to 51; lower is better and larger.  [default: 20]",
    ),
]
EncoderOption = Annotated[
    EncoderName | None,
    typer.Option(
        "--encoder",
        metavar="ENCODER",
        help=f"Video encoder: {', '.join(ENCODERS)}.  [default: libx264, or libx265 if more than 8 "
        "bits are kept]",
    ),
]
KeepFormat = Annotated[
    bool,
    typer.Option(
        "--keep-format",
        help="Keep bit depth, chroma and HDR, in HEVC, which some browsers cannot play.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=64, metavar="N", help="Worker processes.  [default: one per core]"
    ),
]
AllowGaps = Annotated[bool, typer.Option("--allow-gaps", help="Save even if segments failed.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
DeviceOption = Annotated[
    Device | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Device for face detection: auto, cpu, cuda, tensorrt or openvino.  [default: auto]",
    ),
]


def output_choices(
    quality: int | None, encoder: str | None, keep_format: bool
) -> dict[str, object]:
    """Settings of the result by name; None keeps a setting."""
    # A flag that is not given must not override the setting.
    return {"crf": quality, "encoder": encoder, "keep_format": keep_format or None}


def chosen_look(
    filters: Sequence[str],
    keep: Sequence[str],
    only: Sequence[str],
    regions: Sequence[str],
    cover: Cover | None,
) -> Look:
    """The look that the options describe.

    Raises:
        UsageError: an option is wrong, or excludes another.
    """
    selection = parse_selection(keep, only, regions)
    look = parse_look(filters, selection)
    if cover is not None and not look.redacts:
        raise UsageError(f"--cover {cover} needs a redaction: blur, mosaic or fill")
    if selection.people + selection.regions and all(spec.face for spec in look.filters):
        raise UsageError(
            "--keep, --only and --region apply to filters without @, and all of yours have one"
        )
    return look.with_cover(cover)
