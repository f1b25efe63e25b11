"""A contact sheet: everyone in a video, a face each, with the number by which it is called."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from facepaint.errors import InputError
from facepaint.records.job import VideoJob
from facepaint.records.tracks import Person

FACE, MARGIN, TEXT = 160, 14, 46
"""Px of a portrait's side, between cells, and of the lines below a portrait."""

MOST_COLUMNS = 8

PAPER, INK, FAINT = "#ffffff", "#16181d", "#6b7280"


def save_sheet(
    path: Path, job: VideoJob, people: Sequence[Person], portraits: Mapping[int, bytes]
) -> None:
    """Draw people into a PNG, in the order of their numbers; ``portraits`` are JPEGs by number.

    Raises:
        InputError: the file cannot be written.
    """
    columns = min(MOST_COLUMNS, max(1, len(people)))
    rows = -(-len(people) // columns)
    wide, high = FACE + MARGIN, FACE + TEXT + MARGIN
    sheet = Image.new("RGB", (columns * wide + MARGIN, max(1, rows) * high + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(22), ImageFont.load_default(13)
    if not people:
        draw.text((MARGIN, MARGIN), "no face\nwas found", INK, large)
    for place, person in enumerate(people):
        x, y = MARGIN + place % columns * wide, MARGIN + place // columns * high
        data = portraits.get(person.number)
        if data is None:
            draw.rectangle((x, y, x + FACE - 1, y + FACE - 1), "#e5e7eb")
        else:
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as portrait:
                sheet.paste(portrait.convert("RGB").resize((FACE, FACE)), (x, y))
        first, last = (
            float((pts - job.start_pts) * job.video.time_base)
            for pts in (person.first, person.last)
        )
        number = f"{person.number}{' ?' if person.low_confidence else ''}"
        draw.text((x, y + FACE + 2), number, INK, large)
        facts = f"{_clock(first)} to {_clock(last)}\n{person.frames} frames"
        draw.text((x + FACE, y + FACE + 7), facts, FAINT, small, anchor="ra", align="right")
    try:
        sheet.save(path, "PNG")
    except OSError as exc:
        raise InputError(f"{path} cannot be written: {exc.strerror or exc}") from exc


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0.0, seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
