"""The workers that have stored a heartbeat."""

from datetime import UTC, datetime, timedelta

from facepaint.errors import RecordInvalid
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.results import WorkerInfo
from facepaint.store import Store

ALIVE_S = 60.0
"""A worker whose heartbeat is younger than this counts as running; one comes every 15 s."""

LONG_GONE_S = 3600.0
"""Heartbeats stored longer ago than this cannot be recent: no clock is that wrong."""


def is_alive(worker: WorkerInfo, now: datetime) -> bool:
    """Whether a worker's heartbeat is younger than `ALIVE_S`."""
    return (now - worker.at).total_seconds() < ALIVE_S


def recorded_workers(store: Store, stored_since: datetime | None = None) -> list[WorkerInfo]:
    """The workers whose heartbeat was stored since a time, running or not, by name."""
    recent = [
        row.key
        for row in store.list(keys.WORKERS)
        if stored_since is None or row.modified is None or row.modified > stored_since
    ]

    def read(key: str) -> WorkerInfo | None:
        try:
            return store.find_record(key, WorkerInfo)
        except RecordInvalid:
            # A worker of another version, whose abilities are unknown.
            return None

    return [worker for worker in in_parallel(read, recent) if worker is not None]


def alive_workers(store: Store, now: datetime | None = None) -> list[WorkerInfo]:
    """The workers that count as running, by name."""
    now = now or datetime.now(UTC)
    recent = recorded_workers(store, stored_since=now - timedelta(seconds=LONG_GONE_S))
    return [worker for worker in recent if is_alive(worker, now)]
