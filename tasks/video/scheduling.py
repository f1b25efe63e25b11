"""How the kernel schedules this process."""

import os
from contextlib import suppress
from pathlib import Path

THREADS = Path("/proc/self/task")


def schedule_as_usual() -> None:
    """Take real-time scheduling from every thread of this process.

    SVT-AV1 opened by root gives its threads, and the one that opens it, SCHED_FIFO at the highest
    priority: on a worker nothing else of the machine runs until they wait, and what it starts from
    then on inherits that. A server in Go started so has been seen to spin for ever, all cores taken
    by threads that wait for one that never gets a turn.
    """
    if not THREADS.is_dir():
        return
    for thread in THREADS.iterdir():
        number = int(thread.name)
        with suppress(ProcessLookupError):  # it has ended meanwhile
            if os.sched_getscheduler(number) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(number, os.SCHED_OTHER, os.sched_param(0))
