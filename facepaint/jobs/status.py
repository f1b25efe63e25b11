"""The status of jobs, read from the storage: one job in detail, or a list of all.

Segments are numbered from 0, as in their keys.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from facepaint.errors import JobError, RecordInvalid, UnknownJob
from facepaint.jobs.readiness import load_job
from facepaint.jobs.state import JobKeys, State
from facepaint.looks.look import Look
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.job import Job, Sealed
from facepaint.records.keys import JOB_ID, check_job_id
from facepaint.records.results import Failed, Painted
from facepaint.store import ObjectInfo, Store

T = TypeVar("T")

MAX_REASONS = 10
"""Failed marks that are read for a look; each takes a GET."""

BlankRecords = dict[tuple[str, datetime | None], bool]
"""A cache that a caller keeps between calls of `job_status`: whether a painted record is of a blank
segment, by its key and time of change."""


@dataclass(frozen=True, slots=True)
class LookStatus:
    """One look of a job.

    ``look`` is None if its record cannot be read; ``fault`` is then the reason. ``painted`` and
    ``failed`` count segments; ``blank`` is the part of ``painted`` that is blank. ``reasons`` maps
    the first failed segments to the reason of their failure.
    """

    id: str
    look: Look | None
    state: State
    painted: int
    failed: int
    blank: int
    reasons: dict[int, str]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as of one listing.

    ``looks`` are in the order in which they were requested. ``total`` is the number of segments
    once the job is sealed. ``stored``, ``detected`` and ``detect_failed`` count segments.
    ``truncated`` is the reason why the source ended early, if it did. ``idle_s`` is the time since
    the uploader stored anything. ``claims`` names the tasks that run, such as ``detect-000003`` or
    ``paint-<look>-000003``. ``fault`` names a record that is missing or cannot be read; the state
    is then "damaged".
    """

    job: Job
    keys: JobKeys
    state: State
    looks: tuple[LookStatus, ...]
    stored: int
    total: int | None
    detected: int
    detect_failed: int
    truncated: str
    idle_s: float
    claims: frozenset[str]
    fault: str = ""

    def look(self, look_id: str) -> LookStatus | None:
        """The look with that id, or None."""
        return next((look for look in self.looks if look.id == look_id), None)

    def look_ended(self, look_id: str) -> bool:
        """Whether every segment is painted with a look or has failed."""
        ended = self.keys.state(self.idle_s, look_id) in {"complete", "incomplete"}
        return ended and not self.fault


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One row of the list of jobs. ``fault`` is as in `JobStatus`. ``job`` is None if its own
    record cannot be read."""

    id: str
    job: Job | None
    state: State | None = None
    fault: str = ""


def find_job(store: Store, job_id: str) -> Job:
    """The record of a job.

    Raises:
        UsageError: ``job_id`` is not a job id.
        UnknownJob: there is no such job, or it is deleted.
    """
    check_job_id(job_id)
    # A deletion stores the tombstone first, so the record may still exist.
    if not store.exists(keys.deleted(job_id)):
        job = load_job(store, job_id)
        if job is not None:
            return job
    raise UnknownJob(f"there is no job {job_id}; `facepaint jobs` lists them")


def upload_abandoned(job_id: str) -> JobError:
    """The error of a job whose upload stopped."""
    return JobError(
        f"the upload of job {job_id} stopped before its end: "
        f"`facepaint upload --resume {job_id} FILE` continues it, "
        f"`facepaint resume {job_id} --seal` finalizes it with what is stored"
    )


def fail_if_stuck(status: JobStatus) -> None:
    """Raise `JobError` if the job cannot become complete: its upload stopped, or it is damaged."""
    if status.fault:
        raise JobError(f"job {status.job.id} is damaged: {status.fault}")
    if status.state == "abandoned":
        raise upload_abandoned(status.job.id)


def job_status(
    store: Store,
    job_id: str,
    now: datetime | None = None,
    blank_records: BlankRecords | None = None,
) -> JobStatus:
    """Read a job's status with one LIST and a few GETs.

    Args:
        blank_records: pass the same dictionary again to read each painted record of a redacting
            look only once.

    Raises:
        UsageError: ``job_id`` is not a job id.
        UnknownJob: there is no such job, or it is deleted.
    """
    job = find_job(store, job_id)
    rows = list(store.list(keys.prefix(job_id)))
    job_keys = JobKeys.read(row.key for row in rows)
    idle = seconds_idle(job_id, rows, now or datetime.now(UTC))
    sealed, fault = _sealed(store, job_id, job_keys)
    blank_records = {} if blank_records is None else blank_records
    looks = [
        _look_status(store, job_id, look, job_keys, rows, idle, blank_records)
        for look in _oldest_first(job_id, job_keys, rows)
    ]
    return JobStatus(
        job=job,
        keys=job_keys,
        state="damaged" if fault else job_keys.state(idle),
        looks=tuple(looks),
        stored=len(job_keys.stored),
        total=sealed.segments if sealed else None,
        detected=len(job_keys.detected),
        detect_failed=len(job_keys.detect_failed),
        truncated=sealed.truncated if sealed else "",
        idle_s=idle,
        claims=_claims(job_id, rows),
        fault=fault,
    )


def _sealed(store: Store, job_id: str, job_keys: JobKeys) -> tuple[Sealed | None, str]:
    """The record of a sealed job, and what is wrong with it or with the segments that it counts."""
    if not job_keys.sealed:
        return None, ""
    try:
        sealed = store.find_record(keys.sealed(job_id), Sealed)
    except RecordInvalid as exc:
        return None, str(exc)
    # Deleted between the listing and the reading.
    if sealed is None:
        return None, ""
    missing = next((n for n in range(sealed.segments) if n not in job_keys.stored), None)
    if missing is None:
        return sealed, ""
    return sealed, f"{keys.segment(job_id, missing)} is missing: upload the file again"


def _claims(job_id: str, rows: Iterable[ObjectInfo]) -> frozenset[str]:
    prefix = keys.prefix(job_id) + "claims/"
    names = (row.key.removeprefix(prefix) for row in rows if row.key.startswith(prefix))
    return frozenset(name.removesuffix(".json") for name in names)


def _oldest_first(job_id: str, job_keys: JobKeys, rows: Iterable[ObjectInfo]) -> list[str]:
    """The looks in the order in which they were requested, so that the look of the upload stays
    the first."""
    stored = {row.key: row.modified for row in rows if row.modified}
    # Some storages list no times; those looks are sorted by id.
    long_ago = datetime.min.replace(tzinfo=UTC)
    return sorted(
        job_keys.looks, key=lambda look: (stored.get(keys.look(job_id, look), long_ago), look)
    )


def seconds_idle(job_id: str, rows: Iterable[ObjectInfo], now: datetime) -> float:
    """Seconds since the uploader stored anything, from the listing of a job.

    What workers store does not count: they go on after an upload has stopped.
    """
    prefix = keys.prefix(job_id)
    uploaded = (f"{prefix}job.json", f"{prefix}source/", f"{prefix}audio/", f"{prefix}extras.json")
    times = [row.modified for row in rows if row.modified and row.key.startswith(uploaded)]
    return max(0.0, (now - max(times)).total_seconds()) if times else 0.0


def _look_status(
    store: Store,
    job_id: str,
    look_id: str,
    job_keys: JobKeys,
    rows: list[ObjectInfo],
    idle: float,
    blank_records: BlankRecords,
) -> LookStatus:
    look, fault = None, ""
    try:
        look = store.find_record(keys.look(job_id, look_id), Look)
    except RecordInvalid as exc:
        fault = str(exc)
    failed = sorted(job_keys.paint_failed[look_id])
    marks = [keys.painted_failed(job_id, look_id, index) for index in failed[:MAX_REASONS]]
    reasons = in_parallel(lambda key: _readable(store, key, Failed), marks)
    blank: list[int] = []
    # Other looks have no blank segments, and reading all painted records takes a GET each.
    if look is None or look.redacts:
        blank = blank_segments(store, job_id, look_id, job_keys, rows, blank_records)
    return LookStatus(
        id=look_id,
        look=look,
        state=job_keys.state(idle, look_id),
        painted=len(job_keys.painted[look_id]),
        failed=len(failed),
        blank=len(blank),
        reasons={mark.index: mark.reason for mark in reasons if mark is not None},
        fault=fault,
    )


def _readable(store: Store, key: str, cls: type[T]) -> T | None:
    """A record, or None if there is none or it cannot be read."""
    try:
        return store.find_record(key, cls)
    except RecordInvalid:
        return None


def blank_segments(
    store: Store,
    job_id: str,
    look_id: str,
    job_keys: JobKeys,
    rows: Iterable[ObjectInfo],
    blank_records: BlankRecords | None = None,
) -> list[int]:
    """The numbers of a look's blank segments. ``blank_records`` is as in `job_status`."""
    blank_records = {} if blank_records is None else blank_records
    modified = {row.key: row.modified for row in rows}
    # A segment that is painted again keeps its key, so the cache also has the time of change.
    versions = {}
    for index in sorted(job_keys.painted[look_id]):
        key = keys.painted(job_id, look_id, index)
        versions[index] = (key, modified[key])
    unread = [version for version in versions.values() if version not in blank_records]
    records = in_parallel(lambda version: _readable(store, version[0], Painted), unread)
    for version, record in zip(unread, records, strict=True):
        if record is not None:
            blank_records[version] = record.blank
    return [index for index, version in versions.items() if blank_records.get(version)]


def list_jobs(
    store: Store, *, limit: int | None = None, with_state: bool = False, now: datetime | None = None
) -> list[JobSummary]:
    """The jobs, newest first.

    Takes two LISTs, a GET per job, and with ``with_state`` a LIST per job.
    """
    rows = store.list(keys.JOBS, folders=True)
    # Ids begin with their time: in reverse order the newest comes first.
    names = sorted((row.key.removeprefix(keys.JOBS).rstrip("/") for row in rows), reverse=True)
    deleted = {row.key for row in store.list(keys.deleted(""))}
    ids = [n for n in names if JOB_ID.fullmatch(n) and keys.deleted(n) not in deleted]
    read = partial(_summary, store, with_state=with_state, now=now or datetime.now(UTC))
    return [summary for summary in in_parallel(read, ids[:limit]) if summary is not None]


def _summary(store: Store, job_id: str, *, with_state: bool, now: datetime) -> JobSummary | None:
    try:
        job = load_job(store, job_id)
    except RecordInvalid as exc:
        # One job of another version must not make the whole list fail.
        return JobSummary(job_id, None, "damaged", str(exc))
    if job is None:
        return None
    if not with_state:
        return JobSummary(job_id, job)
    rows = list(store.list(keys.prefix(job_id)))
    job_keys = JobKeys.read(row.key for row in rows)
    _, fault = _sealed(store, job_id, job_keys)
    state: State = "damaged" if fault else job_keys.state(seconds_idle(job_id, rows, now))
    return JobSummary(job_id, job, state, fault)
