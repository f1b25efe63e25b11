"""Another look for a job whose faces are found: nothing is detected again."""

from typing import TYPE_CHECKING

from facepaint.jobs.people import check_numbers, require_video
from facepaint.jobs.state import JobKeys
from facepaint.jobs.status import find_job
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.job import VideoJob
from facepaint.records.tracks import People
from facepaint.store import Store

if TYPE_CHECKING:
    # Only named here: Celery is slow to import, and most commands send nothing.
    from facepaint.queue import Queue


def repaint(store: Store, queue: "Queue", job_id: str, look: Look) -> str:
    """Have a job painted with another look, its stickers stored; returns the look's id.

    The job may still be uploaded or painted. Asking again for a look that stands queues what is
    missing of it. A look that names people waits for them to be known.

    Raises:
        UnknownJob: there is no such job.
        UsageError: the look names somebody who is not in the video, or a region beyond it.
        InputError: the look names people, and the job is a list of pictures.
    """
    job = find_job(store, job_id)
    people = store.find_record(keys.tracks(job_id), People) if look.numbers else None
    if look.numbers:
        require_video(job)
    if isinstance(job, VideoJob):
        look.require_regions_within(*job.video.upright_size)
    if people is not None:
        check_numbers(look, people)
    if not store.exists(keys.look(job_id, look.id)):
        store.put_record(keys.look(job_id, look.id), look)
    # Whoever finds the faces of a segment after this listing sees the look, and wakes what that
    # makes ready.
    found = JobKeys.read(row.key for row in store.list(keys.prefix(job_id)))
    if look.numbers and not found.tracked and not found.tracking_failed:
        if found.detection_finished:
            queue.track(job_id)
        return look.id
    done = found.painted.get(look.id, frozenset()) | found.paint_failed.get(look.id, frozenset())
    for index in sorted((found.detected | found.detect_failed) - done):
        queue.paint(job_id, look.id, index)
    return look.id
