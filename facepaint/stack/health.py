"""``python -m facepaint.stack.health``: the health check of a worker's container.

It exits with 0 if the worker of this host answers.
"""

import socket
import sys

from facepaint.errors import FacepaintError
from facepaint.queue import make_app
from facepaint.settings import Settings

ANSWER_TIMEOUT_S = 10.0
"""A worker without a pool, as on a GPU, answers between two segments."""


def worker_answers_here(settings: Settings, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
    """Whether a worker of this host answers over the broker.

    An open connection would prove little: a worker may keep one and consume nothing.
    """
    with make_app(settings) as app:
        inspect = app.control.inspect(
            pattern=f"*@{socket.gethostname()}",
            # Celery's stubs ask for a function; its workers look the name up.
            matcher="glob",  # type: ignore[arg-type]
            limit=1,
            timeout=timeout_s,
        )
        return bool(inspect.ping())


def main() -> int:
    """Print the result in one line and return the exit code."""
    try:
        answers = worker_answers_here(Settings.load().require_services())
    except FacepaintError as exc:
        print(f"facepaint: {exc}", file=sys.stderr)
        return exc.exit_code
    print("the worker answers" if answers else "the worker does not answer")
    return 0 if answers else 1


if __name__ == "__main__":
    sys.exit(main())
