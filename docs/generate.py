"""Write the pages that are generated from the code; ``--check`` only compares them."""

import argparse
import sys
from pathlib import Path

import typer
import typer.cli

from facepaint.cli.app import app
from facepaint.settings import CONNECTION_FIELDS, Settings
from filters.reference import filters_page

DOCS = Path(__file__).parent


def cli_page() -> str:
    """The reference of every command, from the commands themselves."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="facepaint")
    text = typer.cli.get_docs_for_click(
        obj=command, ctx=context, name="facepaint", title="The command line"
    )
    codes = (
        "Exit codes: 0 done, 1 a bug, 2 wrong usage or a missing part of the installation, "
        "3 bad input or unknown job, "
        "4 a service cannot be reached, 5 the job failed or is incomplete, 130 interrupted.\n"
    )
    return f"{text.strip()}\n\n{codes}"


def settings_page() -> str:
    """The table of settings, from their definition."""
    rows = [
        "# Settings",
        "",
        "Each is a variable, read from the environment or from `.env`.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        if name == "found_in":
            continue
        default = "" if field.default_factory or field.default is None else str(field.default)
        default = "" if name in CONNECTION_FIELDS and "key" in name else default
        rows.append(f"| `FACEPAINT_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


PAGES = {"cli.md": cli_page, "filters.md": filters_page, "settings.md": settings_page}


def main() -> int:
    """Write or check the pages; 1 if one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = []
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    if check and stale:
        print(f"out of date: {', '.join(stale)}; run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
