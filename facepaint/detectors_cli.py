"""`facepaint detectors`: label, review, train, measure and export face detectors.

Each command parses its options and calls one plain function, which it imports when it is called.
"""

import typer

app = typer.Typer(
    name="detectors",
    help="Label pictures, and train, measure and export face detectors.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
