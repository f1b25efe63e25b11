"""Maintenance of a job: delete it, resume it, requeue lost messages. All of it is idempotent."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from facepaint.errors import JobError, RecordInvalid, ServiceError, UnknownJob, UsageError
from facepaint.jobs.readiness import SegmentIndex, detection_ended, enqueue_ready, list_keys
from facepaint.jobs.state import ABANDONED_AFTER_S, JobKeys
from facepaint.jobs.status import JobStatus, find_job, job_status, list_jobs
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.job import Sealed
from facepaint.records.keys import check_job_id
from facepaint.records.results import Painted
from facepaint.records.tracks import People
from facepaint.store import ObjectInfo, Store

if TYPE_CHECKING:
    # Only named here: Celery is slow to import, and most commands send nothing.
    from facepaint.queue import Queue


def delete_job(store: Store, job_id: str) -> int:
    """Delete the objects of a job; returns their number.

    Raises:
        UsageError: ``job_id`` is not a job id.
        UnknownJob: no object of such a job is stored.
    """
    prefix = keys.prefix(check_job_id(job_id))
    rows = list(store.list(prefix))
    if not rows:
        raise UnknownJob(f"there is no job {job_id}; `facepaint jobs` lists them")
    # The tombstone comes first: tasks that see it stop, and delete what they have just written.
    store.put(keys.deleted(job_id), b"deleted\n", "text/plain")
    removed = 0
    # Tasks that checked for the tombstone before it was stored write a last time.
    while rows:
        in_parallel(store.delete, [row.key for row in rows])
        removed += len(rows)
        rows = list(store.list(prefix))
    return removed


def resume_job(
    store: Store, queue: "Queue", job_id: str, seal: bool = False, now: datetime | None = None
) -> JobStatus:
    """Retry what failed and queue what is missing; returns the status after that.

    Deletes failed marks, claims, blank segments, and other painted segments that a retry may
    improve.

    Args:
        seal: finalize an abandoned upload at its last contiguous segment.

    Raises:
        UnknownJob: there is no such job.
        UsageError: ``seal`` is set and the upload is not abandoned.
        JobError: ``seal`` is set and the first segment is not stored.
    """
    status = job_status(store, job_id, now)
    if seal:
        _seal(store, status)
    _clear_failures(store, job_id)
    queue_missing(store, queue, job_id)
    return job_status(store, job_id, now)


def queue_missing(store: Store, queue: "Queue", job_id: str) -> int:
    """Queue every missing detection and every missing painting that is ready.

    Returns:
        The number of messages sent.
    """
    job = find_job(store, job_id)
    job_keys = list_keys(store, job_id)
    without_faces = sorted(job_keys.stored - job_keys.detected - job_keys.detect_failed)
    for index in without_faces:
        queue.detect(job_id, index)
    unpainted: set[int] = set()
    for look in job_keys.looks:
        unpainted |= job_keys.stored - job_keys.painting_ended(look)
    # The detect task of a segment without faces queues its painting.
    waiting = sorted(unpainted - set(without_faces))
    return len(without_faces) + enqueue_ready(store, queue, job, waiting, job_keys.looks)


def requeue_lost(store: Store, queue: "Queue") -> int:
    """Queue what is missing of every unfinished job, if the broker has lost its messages.

    Cheap, so that every worker can call it every few seconds: one request to the broker, and
    listings only after a loss. One of several callers does the work.

    Returns:
        The number of messages sent.
    """
    if not queue.mark():
        return 0
    try:
        unfinished = [
            row.id
            for row in list_jobs(store, with_state=True)
            if row.state in {"uploading", "working"}
        ]
        return sum(queue_missing(store, queue, job_id) for job_id in unfinished)
    except ServiceError:
        # Another call does it.
        with suppress(ServiceError):
            queue.unmark()
        raise


def requeue_stalled(store: Store, queue: "Queue", job_id: str, look_id: str, index: int) -> None:
    """Requeue a stalled segment that a viewer waits for.

    If the queues are empty, the broker has lost its messages, and everything missing is queued.

    Raises:
        ServiceError: the storage or the broker cannot be reached.
    """
    if queue.length() == 0:
        queue_missing(store, queue, job_id)
        return
    job = find_job(store, job_id)
    reach = SegmentIndex(store, job).reach(index)
    if reach is None:
        return
    without_faces = [
        segment.index for segment in reach if not detection_ended(store, job_id, segment.index)
    ]
    for other in without_faces:
        queue.detect(job_id, other)
    if not without_faces:
        queue.paint(job_id, look_id, index)


def _seal(store: Store, status: JobStatus) -> None:
    job_id = status.job.id
    if status.keys.sealed:
        return
    if status.state != "abandoned":
        wait = (ABANDONED_AFTER_S - status.idle_s) / 60
        raise UsageError(
            f"job {job_id} may still be uploading; if it is not, "
            f"`facepaint resume {job_id} --seal` finalizes it in {wait:.0f} minutes"
        )
    stored = status.keys.stored
    # The number of segments before the first gap.
    contiguous = next(n for n in range(len(stored) + 1) if n not in stored)
    if contiguous == 0:
        raise JobError(
            f"job {job_id} has no first segment and cannot be finalized; "
            f"`facepaint delete {job_id}` removes it"
        )
    # Segments behind a gap cannot be played, and would keep the job from becoming complete.
    _delete_segments(store, job_id, [index for index in stored if index > contiguous])
    reason = f"the upload stopped after segment {contiguous - 1}"
    store.put_record(keys.sealed(job_id), Sealed(contiguous, reason))


def _delete_segments(store: Store, job_id: str, indexes: Sequence[int]) -> None:
    # Records first: a segment without a record does not exist.
    in_parallel(store.delete, [keys.segment(job_id, index) for index in indexes])
    others = (keys.source, keys.audio, keys.faces, keys.faces_failed)
    in_parallel(store.delete, [key(job_id, index) for index in indexes for key in others])


def _clear_failures(store: Store, job_id: str) -> None:
    """Delete failed marks, claims and incomplete results, so that their tasks run again."""
    rows = list(store.list(keys.prefix(job_id)))
    job_keys = JobKeys.read(row.key for row in rows)
    if job_keys.detect_failed:
        _reset_tracking(store, job_id)
    _delete_painted(store, job_id, rows, list(_incomplete_results(store, job_id, job_keys, rows)))
    claims = f"{keys.prefix(job_id)}claims/"
    marks = [row.key for row in rows if row.key.endswith(".failed.json")]
    in_parallel(store.delete, marks + [row.key for row in rows if row.key.startswith(claims)])


def _delete_painted(
    store: Store, job_id: str, rows: Iterable[ObjectInfo], results: Sequence[tuple[str, int]]
) -> None:
    """Delete painted segments, named by look and index."""
    if not results:
        return
    # Records first: bytes without a record are ignored, a record without bytes is an error.
    in_parallel(store.delete, [keys.painted(job_id, look, index) for look, index in results])
    stems = tuple(keys.painted_data(job_id, look, f"{index:06d}-") for look, index in results)
    in_parallel(store.delete, [row.key for row in rows if row.key.startswith(stems)])


def _reset_tracking(store: Store, job_id: str) -> None:
    """Make the track task run again, because some segments will be detected again."""
    people = store.find_record(keys.tracks(job_id), People)
    if people is None:
        return
    # The track task gives the same people the same numbers: looks that name them stay valid.
    store.put_record(keys.tracks_before(job_id), people)
    store.delete(keys.tracks(job_id))
    # Another frame may now show a person best.
    in_parallel(store.delete, [row.key for row in store.list(keys.portraits(job_id))])


def _incomplete_results(
    store: Store, job_id: str, job_keys: JobKeys, rows: Sequence[ObjectInfo]
) -> Iterator[tuple[str, int]]:
    """Yield look and index of the painted segments that a retry may improve.

    These are segments that are blank, were painted without their faces, or lost their bytes; and
    all segments of a look that selects people, if tracking failed.
    """
    segments = SegmentIndex(store, find_job(store, job_id))
    for look in job_keys.looks:
        painted = job_keys.painted[look]
        if job_keys.tracking_failed and segments.selects_people(look):
            incomplete = set(painted)
        else:
            incomplete = _to_improve(store, job_id, look, painted)
            incomplete |= painted & job_keys.detect_failed
            incomplete |= _without_bytes(job_id, look, painted, rows)
        yield from ((look, index) for index in sorted(incomplete))


def _to_improve(store: Store, job_id: str, look: str, painted: Iterable[int]) -> set[int]:
    """The painted segments that are blank, or were painted while a detection had failed."""

    def is_incomplete(index: int) -> bool:
        try:
            record = store.find_record(keys.painted(job_id, look, index), Painted)
        except RecordInvalid:
            return True
        return record is not None and (record.blank or bool(record.without_faces))

    indexes = sorted(painted)
    return {n for n, bad in zip(indexes, in_parallel(is_incomplete, indexes), strict=True) if bad}


def _without_bytes(
    job_id: str, look: str, painted: Iterable[int], rows: Iterable[ObjectInfo]
) -> set[int]:
    """The painted segments whose bytes are missing."""
    stem = keys.painted_data(job_id, look, "")
    names = [row.key.removeprefix(stem) for row in rows if row.key.startswith(stem)]
    stored = {name[:6] for name in names if not name.endswith(".json")}
    return {index for index in painted if f"{index:06d}" not in stored}
