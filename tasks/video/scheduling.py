"""How the kernel schedules this process."""

import os
from contextlib import suppress
from pathlib import Path

THREADS = Path("/proc/self/task")


def drop_realtime_scheduling() -> None:
    """Return every thread of this process from real-time to ordinary scheduling.

    SVT-AV1 opened by root gives its threads, and the one that opens it, SCHED_FIFO at the highest
    priority: nothing else on the machine runs until they wait, and child processes inherit it. A
    Go server that was started so spun for ever: its threads took all cores, waiting for one that
    never ran.
    """
    if not THREADS.is_dir():
        return
    for thread in THREADS.iterdir():
        number = int(thread.name)
        # A thread may end while the list is read.
        with suppress(ProcessLookupError):
            if os.sched_getscheduler(number) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(number, os.SCHED_OTHER, os.sched_param(0))
