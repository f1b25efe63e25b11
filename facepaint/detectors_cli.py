"""`facepaint detectors`: label, review, train, measure and export face detectors.

Each command parses its options and calls one plain function, which it imports when it is called.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="detectors",
    help="Label pictures, and train, measure and export face detectors.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def review(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder with labels.jsonl, and the pictures in images/.")
    ],
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the page, 0 for a free one.  [default: 8471 or a free one]"),
    ] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Look through labelled pictures in the browser and correct their faces and points, until Ctrl-C."""
    from facepaint.display import show_page
    from viewer.review import review

    review(folder, lambda url: show_page(url, browser), port)
