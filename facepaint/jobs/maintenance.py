"""Upkeep of a job by its owner: delete it, resume it, queue again what was lost. All of it may be
done twice."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from facepaint.errors import JobError, UnknownJob, UsageError
from facepaint.jobs.readiness import SegmentIndex, enqueue_ready, has_faces
from facepaint.jobs.state import ABANDONED_AFTER_S, JobKeys
from facepaint.jobs.status import JobStatus, blank_segments, find_job, job_status
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.job import Sealed
from facepaint.records.keys import check_job_id
from facepaint.records.tracks import People
from facepaint.store import ObjectInfo, Store

if TYPE_CHECKING:
    # Only named here: Celery is slow to import, and most commands send nothing.
    from facepaint.queue import Queue


def delete_job(store: Store, job_id: str) -> int:
    """Remove all of a job; returns the number of objects removed.

    The tombstone goes first: tasks that see it stop and remove what they wrote meanwhile.

    Raises:
        UsageError: ``job_id`` is no job id.
        UnknownJob: nothing of such a job is stored.
    """
    prefix = keys.prefix(check_job_id(job_id))
    rows = list(store.list(prefix))
    if not rows:
        raise UnknownJob(f"there is no job {job_id}; `facepaint jobs` lists them")
    store.put(keys.deleted(job_id), b"deleted\n", "text/plain")
    removed = 0
    while rows:
        in_parallel(store.delete, [row.key for row in rows])
        removed += len(rows)
        rows = list(store.list(prefix))
    return removed


def resume_job(
    store: Store, queue: "Queue", job_id: str, seal: bool = False, now: datetime | None = None
) -> JobStatus:
    """Try again what was given up, and queue whatever is missing; returns the status after that.

    Removes the marks of what was given up, blank pictures among them, and the claims of tasks that
    died. With ``seal`` an abandoned upload is ended at its last segment without a gap before it.

    Raises:
        UnknownJob: there is no such job.
        UsageError: ``seal`` was asked for and the upload is not abandoned.
        JobError: ``seal`` was asked for and not even the first segment is stored.
    """
    status = job_status(store, job_id, now)
    if seal:
        _seal(store, status)
    _forget_failures(store, job_id)
    queue_missing(store, queue, job_id)
    return job_status(store, job_id, now)


def queue_missing(store: Store, queue: "Queue", job_id: str) -> int:
    """Queue every detection and painting that is missing and possible now; returns the number of
    messages sent."""
    job = find_job(store, job_id)
    found = JobKeys.read(row.key for row in store.list(keys.prefix(job_id)))
    without_faces = sorted(found.stored - found.detected - found.detect_failed)
    for index in without_faces:
        queue.detect(job_id, index)
    paint_failed = {
        n
        for look in found.looks
        for n in found.stored - found.painted[look] - found.paint_failed[look]
    }
    return len(without_faces) + enqueue_ready(
        store, queue, job, sorted(paint_failed - set(without_faces)), found.looks
    )


def requeue_stalled(store: Store, queue: "Queue", job_id: str, look_id: str, index: int) -> None:
    """Queue again the one segment that a viewer waits for; everything missing if the queues are
    empty.

    Raises:
        ServiceError: the storage or the broker cannot be reached.
    """
    if queue.length() == 0:
        queue_missing(store, queue, job_id)
        return
    job = find_job(store, job_id)
    reach = SegmentIndex(store, job).reach(index) or []
    without_faces = [
        segment.index for segment in reach if not has_faces(store, job_id, segment.index)
    ]
    for other in without_faces:
        queue.detect(job_id, other)
    if reach and not without_faces:
        queue.paint(job_id, look_id, index)


def _seal(store: Store, status: JobStatus) -> None:
    job_id = status.job.id
    if status.keys.sealed:
        return
    if status.state != "abandoned":
        wait = (ABANDONED_AFTER_S - status.idle_s) / 60
        raise UsageError(
            f"job {job_id} may still be uploading; if it is not, `facepaint resume {job_id} "
            "--seal` ends it in "
            f"{wait:.0f} minutes"
        )
    gapless = next(n for n in range(len(status.keys.stored) + 1) if n not in status.keys.stored)
    if gapless == 0:
        raise JobError(
            f"nothing of job {job_id} was stored to end it with; `facepaint delete {job_id}` "
            "removes it"
        )
    # What lies behind a gap can never be shown, and would keep the job from ever being complete.
    behind = [index for index in status.keys.stored if index > gapless]
    in_parallel(store.delete, [keys.segment(job_id, index) for index in behind])
    rest = (keys.source, keys.audio, keys.faces, keys.faces_failed)
    in_parallel(store.delete, [key(job_id, index) for index in behind for key in rest])
    store.put_record(
        keys.sealed(job_id), Sealed(gapless, f"the upload stopped after segment {gapless - 1}")
    )


def _forget_failures(store: Store, job_id: str) -> None:
    """Delete failed marks, claims and poor results, so that their tasks run again."""
    rows = list(store.list(keys.prefix(job_id)))
    found = JobKeys.read(row.key for row in rows)
    if found.detect_failed:
        _forget_people(store, job_id)
    _delete_results(store, job_id, rows, list(_poor_results(store, job_id, found, rows)))
    claims = f"{keys.prefix(job_id)}claims/"
    marks = [row.key for row in rows if row.key.endswith(".failed.json")]
    in_parallel(store.delete, marks + [row.key for row in rows if row.key.startswith(claims)])


def _delete_results(
    store: Store, job_id: str, rows: Iterable[ObjectInfo], results: Sequence[tuple[str, int]]
) -> None:
    """Delete painted segments, named by look and index."""
    if not results:
        return
    # Records first: bytes without a record are ignored, a record without bytes is an error.
    in_parallel(store.delete, [keys.painted(job_id, look, index) for look, index in results])
    stems = tuple(keys.painted_data(job_id, look, f"{index:06d}-") for look, index in results)
    in_parallel(store.delete, [row.key for row in rows if row.key.startswith(stems)])


def _forget_people(store: Store, job_id: str) -> None:
    """Have people tracked again, because some segments will be detected again.

    The people are kept aside: looks that select them must keep their meaning. Portraits are
    deleted, since another frame may be the best one.
    """
    people = store.find_record(keys.tracks(job_id), People)
    if people is not None:
        store.put_record(keys.tracks_before(job_id), people)
        store.delete(keys.tracks(job_id))
        in_parallel(store.delete, [row.key for row in store.list(keys.portraits(job_id))])


def _poor_results(
    store: Store, job_id: str, found: JobKeys, rows: Sequence[ObjectInfo]
) -> Iterator[tuple[str, int]]:
    """Yield look and index of the painted segments that are worth another try.

    These are segments that are blank, were painted without their faces, or lost their bytes; and
    all of a look that selects people, if tracking failed.
    """
    segments = SegmentIndex(store, find_job(store, job_id))
    for look in found.looks:
        painted = found.painted[look]
        if found.tracking_failed and segments.selects_people(look):
            poor = set(painted)
        else:
            blank = blank_segments(store, job_id, look, found, rows)
            poor = set(painted & {*blank, *found.detect_failed})
            poor |= _without_bytes(job_id, look, painted, rows)
        yield from ((look, index) for index in sorted(poor))


def _without_bytes(
    job_id: str, look: str, painted: Iterable[int], rows: Iterable[ObjectInfo]
) -> set[int]:
    """The painted segments whose bytes are missing."""
    stem = keys.painted_data(job_id, look, "")
    names = [row.key.removeprefix(stem) for row in rows if row.key.startswith(stem)]
    stored = {name[:6] for name in names if not name.endswith(".json")}
    return {index for index in painted if f"{index:06d}" not in stored}
