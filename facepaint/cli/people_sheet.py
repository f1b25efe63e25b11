"""A contact sheet of the people in a video: portrait, number and times of each."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from facepaint.cli.tables import person_label
from facepaint.errors import InputError
from facepaint.records.job import VideoJob
from facepaint.records.tracks import Person
from facepaint.text import counted

FACE_PX, MARGIN_PX, TEXT_PX = 160, 14, 46
"""Side of a portrait, space between cells, height of the text below a portrait."""

MAX_COLUMNS = 8

BACKGROUND, TEXT, FAINT_TEXT, PLACEHOLDER = "#ffffff", "#16181d", "#6b7280", "#e5e7eb"


def save_sheet(
    path: Path, job: VideoJob, people: Sequence[Person], portraits: Mapping[int, bytes]
) -> None:
    """Draw people into a PNG.

    Args:
        portraits: square JPEGs by person; a missing one leaves a grey square.

    Raises:
        InputError: the file cannot be written.
    """
    columns = min(MAX_COLUMNS, max(1, len(people)))
    rows = max(1, -(-len(people) // columns))
    cell_width, cell_height = FACE_PX + MARGIN_PX, FACE_PX + TEXT_PX + MARGIN_PX
    size = (columns * cell_width + MARGIN_PX, rows * cell_height + MARGIN_PX)
    sheet = Image.new("RGB", size, BACKGROUND)
    if not people:
        draw = ImageDraw.Draw(sheet)
        draw.text((MARGIN_PX, MARGIN_PX), "no face\nwas found", TEXT, ImageFont.load_default(22))
    for index, person in enumerate(people):
        row, column = divmod(index, columns)
        corner = MARGIN_PX + column * cell_width, MARGIN_PX + row * cell_height
        _draw_person(sheet, corner, job, person, portraits.get(person.number))
    try:
        sheet.save(path, "PNG")
    except OSError as exc:
        raise InputError(f"{path} cannot be written: {exc.strerror or exc}") from exc


def _draw_person(
    sheet: Image.Image,
    corner: tuple[int, int],
    job: VideoJob,
    person: Person,
    portrait: bytes | None,
) -> None:
    """Draw one cell: portrait, number, times, frames. ``portrait`` is a JPEG."""
    x, y = corner
    draw = ImageDraw.Draw(sheet)
    if portrait is None:
        draw.rectangle((x, y, x + FACE_PX - 1, y + FACE_PX - 1), PLACEHOLDER)
    else:
        with Image.open(io.BytesIO(portrait), formats=["JPEG"]) as image:
            sheet.paste(image.convert("RGB").resize((FACE_PX, FACE_PX)), corner)
    draw.text((x, y + FACE_PX + 2), person_label(person), TEXT, ImageFont.load_default(22))
    time_base = job.video.time_base
    first = _clock(float((person.first - job.start_pts) * time_base))
    last = _clock(float((person.last - job.start_pts) * time_base))
    facts = f"{first} to {last}\n{counted(person.frames, 'frame')}"
    place = (x + FACE_PX, y + FACE_PX + 7)
    small = ImageFont.load_default(13)
    draw.text(place, facts, FAINT_TEXT, small, anchor="ra", align="right")


def _clock(seconds: float) -> str:
    """A time as m:ss.s, or h:mm:ss.s from one hour on."""
    minutes, rest = divmod(max(0.0, seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
