"""A script that ensures that no child of `facepaint.stack.processes` outlives its parent.

``run PARENT COMMAND...`` executes a command; on Linux the kernel kills it when PARENT ends.
``watch`` reads lines ``+GROUP`` and ``-GROUP``. When its input ends, because the parent has ended
in whatever way, it kills the process groups that are left. That reaches the children's own
children, and works on systems where the kernel does not help.

It imports nothing of facepaint, so that it starts in a few milliseconds.
"""

import contextlib
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def run(parent: int, command: list[str]) -> None:
    """Replace this process by a command, which gets SIGKILL when the thread that started it
    ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the call above.
        if os.getppid() != parent:
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def watch() -> None:
    """Track the running process groups; kill them when the parent has ended."""
    # Ctrl-C reaches every process of the terminal; this one must outlive the parent.
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
