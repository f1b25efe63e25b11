"""``python -m facepaint.stack.health``: exits 0 if the worker of this host takes part. Compose asks
it of every worker."""

import socket
import sys

from facepaint.errors import FacepaintError
from facepaint.queue import make_app
from facepaint.settings import Settings

PATIENCE_S = 10.0
"""A worker without a pool, as on a GPU, answers between two segments."""


def worker_answers_here(settings: Settings, timeout_s: float = PATIENCE_S) -> bool:
    """Whether a worker of this host answers over the broker; an open socket would say little."""
    with make_app(settings) as app:
        inspect = app.control.inspect(
            pattern=f"*@{socket.gethostname()}",
            matcher="glob",  # type: ignore[arg-type]  # celery's types want a function; workers know it by name
            limit=1,
            timeout=timeout_s,
        )
        return bool(inspect.ping())


def main() -> int:
    """Say it in one line; the exit code."""
    try:
        answers = worker_answers_here(Settings.load().require_services())
    except FacepaintError as exc:
        print(f"facepaint: {exc}", file=sys.stderr)
        return exc.exit_code
    print("the worker answers" if answers else "the worker does not answer")
    return 0 if answers else 1


if __name__ == "__main__":
    sys.exit(main())
