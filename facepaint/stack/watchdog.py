"""Runs as a bare script beside the children of `facepaint.stack.processes`, so that none of them
outlives their parent.

``run PARENT COMMAND...`` becomes the command, after asking the kernel (Linux) to end it when PARENT
ends.
``watch`` reads ``+GROUP`` and ``-GROUP`` lines; once its input ends, which is when the parent ends
in whatever way, it kills the process groups that are left: that reaches the children's own
children, and works where the kernel cannot be asked. It imports nothing of facepaint, to start in a
few milliseconds.
"""

import contextlib
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def run(parent: int, command: list[str]) -> None:
    """Replace this process by the command; it gets SIGKILL when the parent's thread that started it
    ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel was asked
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def watch() -> None:
    """Keep the set of living process groups; kill them when the parent is gone."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch()
    else:
        run(int(sys.argv[2]), sys.argv[3:])
