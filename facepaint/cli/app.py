"""The command line: thin commands over `facepaint.client`.

Only `main` turns our errors into one line and an exit code.
"""

import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from facepaint import __version__
from facepaint.cli import jobs, paint
from facepaint.cli.detectors import app as detectors
from facepaint.cli.installation import check_packages
from facepaint.cli.options import AsJson, Overwrite
from facepaint.cli.tables import print_filters
from facepaint.cli.terminal import prepare_streams, say
from facepaint.errors import FacepaintError, JobError, ServiceError, UsageError
from facepaint.extras import require_extra
from facepaint.looks.catalogue import CATALOGUE
from facepaint.settings import Settings

INTERRUPTED = 130
BROKEN_PIPE = 141
"""The exit code of programs that SIGPIPE ends."""

app = typer.Typer(
    name="facepaint",
    help="Paint or redact the faces in a video on machines other than the one that holds it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    # Typer's tracebacks would show local variables, secrets among them.
    pretty_exceptions_enable=False,
    # Brackets in help texts are defaults, not markup.
    rich_markup_mode=None,
)
app.add_typer(detectors)


@app.callback(invoke_without_command=True)
def version_option(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Paint or redact the faces in a video on machines other than the one that holds it."""
    if version:
        print(f"facepaint {__version__}")
        raise typer.Exit


for command in (
    paint.run,
    paint.up,
    paint.worker,
    paint.upload,
    paint.repaint,
    jobs.view,
    jobs.jobs,
    jobs.status,
    jobs.faces,
    jobs.resume,
    jobs.delete,
):
    app.command()(command)


@app.command()
def filters(
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview", metavar="PNG", help="Write a PNG that shows every filter on a face."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """List the filters and their options."""
    if preview is not None:
        require_extra("worker", "drawing the gallery")
        if preview.exists() and not overwrite:
            raise UsageError(f"{preview} exists: use another name, or --overwrite")
        from filters.gallery import save_gallery

        save_gallery(preview)
        print(preview)
        return
    if as_json:
        print(json.dumps([asdict(kind) for kind in CATALOGUE.values()]))
        return
    print_filters()


@app.command()
def verify(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The original video.")],
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The saved result.")],
    as_json: AsJson = False,
) -> None:
    """Compare RESULT with SOURCE: frames, times, audio, colours, tags."""
    from viewer.verify.verify import verify as compare

    report = compare(source, result)
    print(json.dumps(report.facts()) if as_json else "\n".join(report.lines()))
    if not report.passed:
        failed = [check.name for check in report.checks if not check.passed]
        raise JobError(
            f"{result} differs from {source} in more than painted faces: {', '.join(failed)}"
        )


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check the installation and the services, and print how to fix problems."""
    from facepaint.cli.doctor import checks

    results = checks(Settings.load())
    if as_json:
        print(json.dumps([asdict(check) for check in results]))
    else:
        for check in results:
            print(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}")
            if not check.ok and check.advice:
                print(f"     {check.advice}")
    if not all(check.ok for check in results):
        raise typer.Exit(ServiceError.exit_code)


def _end_interrupted() -> NoReturn:
    """Exit with the code of an interrupted command; everything is cleaned up by now."""
    # CPython kills itself by SIGINT, even if the interrupt was handled, if it came during `exec`,
    # which creating a dataclass at import uses. `os._exit` skips that.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def main() -> None:
    """Run the command line. An error of ours becomes one line on standard error and its exit
    code."""
    prepare_streams()
    try:
        check_packages()
        app()
    except FacepaintError as exc:
        say(f"facepaint: {exc}")
        sys.exit(exc.exit_code)
    except BrokenPipeError:
        # Whoever read standard output has ended, as `head` does.
        os._exit(BROKEN_PIPE)
    except SystemExit as exc:
        if exc.code == INTERRUPTED:
            _end_interrupted()
        raise
    except KeyboardInterrupt:
        # Typer handles the first one. A second one may come during the cleanup.
        _end_interrupted()
    except Exception as exc:
        # Anything else is a bug.
        if os.environ.get("FACEPAINT_DEBUG"):
            raise
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        say(
            f"facepaint: this is a bug: {type(exc).__name__}: {exc} "
            f"({Path(frame.filename).name}:{frame.lineno}); "
            "run it again with FACEPAINT_DEBUG=1 and report what it prints"
        )
        sys.exit(1)
