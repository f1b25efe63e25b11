"""Claims: which task works on a segment, and how many attempts crashed.

A claim is written before anything is decoded and removed on every orderly end. A claim that a
redelivered message finds therefore means that its worker crashed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from facepaint.errors import FacepaintError
from facepaint.records import keys
from facepaint.records.keys import Task
from facepaint.records.results import Claim
from facepaint.store import Store
from tasks.context import WorkerContext

LONG_AGO = datetime.fromtimestamp(0, UTC)
"""The time of a released claim, which is older than any timeout."""


@contextmanager
def hold_claim(
    context: WorkerContext, job_id: str, task: Task, index: int, look: str | None, redelivered: bool
) -> Iterator[Claim | None]:
    """Claim a segment for a task; yields None if a living worker holds it.

    The claim stays behind if the process dies, takes too long, or meets an unexpected error: each
    counts as a crash. A process that is stopped by a signal restores the claim as it was.
    """
    store, settings = context.store, context.settings
    key = keys.claim(job_id, task, index, look)
    before = store.find_record(key, Claim)
    now = datetime.now(UTC)
    visibility_timeout = timedelta(seconds=settings.visibility_timeout_s)
    if before is not None and not redelivered and now - before.at < visibility_timeout:
        yield None
        return
    claim = Claim(settings.worker_name, 1 if before is None else before.tries + 1, now)
    store.put_record(key, claim)
    try:
        yield claim
    except FacepaintError:
        _release(store, key, before)
        raise
    except (SystemExit, KeyboardInterrupt):
        # A task over its time limit is stopped in the same way. The limit counts from before the
        # claim, so a task under half of it was stopped for another reason.
        if datetime.now(UTC) - now < timedelta(seconds=settings.task_time_limit_s / 2):
            _release(store, key, before)
        raise
    store.delete(key)


def _release(store: Store, key: str, before: Claim | None) -> None:
    """Give up a claim without counting a crash; earlier crashes stay counted."""
    if before is None:
        store.delete(key)
    else:
        store.put_record(key, replace(before, at=LONG_AGO))
