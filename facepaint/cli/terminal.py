"""Standard output and error: text that they cannot show, and text of strangers."""

import os
import sys
from typing import TextIO

from facepaint.text import printable


def prepare_streams() -> None:
    """Make printing never fail for a character, or because standard output or error is closed."""
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def _prepared(stream: TextIO | None) -> TextIO:
    if stream is None:
        # Closed by whoever started this process.
        return open(os.devnull, "w", encoding="utf-8")
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream


def say(text: str) -> None:
    """Print one line for the user to standard error."""
    print(printable(text), file=sys.stderr, flush=True)
