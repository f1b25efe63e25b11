"""The workers whose heartbeat is recent."""

from datetime import UTC, datetime

from facepaint.errors import RecordInvalid
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.results import WorkerInfo
from facepaint.store import Store

ALIVE_S = 60.0
"""A worker whose heartbeat is younger than this is taken to be running."""


LONG_GONE_S = 3600.0
"""Heartbeats stored longer ago than this are not even read: no clock is that wrong."""


def alive_workers(store: Store, now: datetime | None = None) -> list[WorkerInfo]:
    """The workers whose heartbeat is younger than `ALIVE_S`, by name."""
    now = now or datetime.now(UTC)
    recent = [
        row.key
        for row in store.list(keys.WORKERS)
        if row.modified is None or (now - row.modified).total_seconds() < LONG_GONE_S
    ]

    def read(key: str) -> WorkerInfo | None:
        try:
            return store.find_record(key, WorkerInfo)
        except RecordInvalid:  # a worker of another version: it cannot be told what it does
            return None

    workers = [info for info in in_parallel(read, recent) if info is not None]
    return [info for info in workers if (now - info.at).total_seconds() < ALIVE_S]
