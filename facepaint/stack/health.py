"""``python -m facepaint.stack.health``: the health check of a worker's container.

It exits with 0 if the worker of this host answers.
"""

import socket
import sys

from facepaint.errors import FacepaintError
from facepaint.settings import Settings
from facepaint.stack.components import worker_answers

ANSWER_TIMEOUT_S = 10.0
"""A worker without a pool, as on a GPU, answers between two segments."""


def main() -> int:
    """Print the result in one line and return the exit code."""
    try:
        settings = Settings.load().require_services()
        answers = worker_answers(settings, f"*@{socket.gethostname()}", ANSWER_TIMEOUT_S)
    except FacepaintError as exc:
        print(f"facepaint: {exc}", file=sys.stderr)
        return exc.exit_code
    print("the worker answers" if answers else "the worker does not answer")
    return 0 if answers else 1


if __name__ == "__main__":
    sys.exit(main())
