"""Render a job with other filters, reusing its detections."""

from typing import TYPE_CHECKING

from facepaint.jobs.people import check_numbers, require_video
from facepaint.jobs.readiness import list_keys
from facepaint.jobs.status import find_job
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.job import Job, VideoJob
from facepaint.records.tracks import People
from facepaint.store import Store

if TYPE_CHECKING:
    # Only named here: Celery is slow to import, and most commands send nothing.
    from facepaint.queue import Queue


def repaint(store: Store, queue: "Queue", job_id: str, look: Look) -> str:
    """Render a job with another look, whose stickers are already stored; returns the look's id.

    The job may be in any state. If it has the look already, what is missing of it is queued. A look
    that selects people waits for person tracking.

    Raises:
        UnknownJob: there is no such job.
        UsageError: the look selects a person who is not in the video, or a region outside it.
        InputError: the look selects people, and the job is a list of images.
    """
    _check(store, find_job(store, job_id), look)
    if not store.exists(keys.look(job_id, look.id)):
        store.put_record(keys.look(job_id, look.id), look)
    # The look is stored before this listing: a detect task that ends later finds the look, and
    # queues what becomes ready.
    job_keys = list_keys(store, job_id)
    if look.people and not (job_keys.tracked or job_keys.tracking_failed):
        if job_keys.detection_finished:
            queue.track(job_id)
        return look.id
    detection_ended = job_keys.detected | job_keys.detect_failed
    # Some of them may not be ready yet, which the paint task checks.
    for index in sorted(detection_ended - job_keys.painting_ended(look.id)):
        queue.paint(job_id, look.id, index)
    return look.id


def _check(store: Store, job: Job, look: Look) -> None:
    """Refuse a look that the job cannot have; raises the errors of `repaint`."""
    if look.people:
        require_video(job)
    if isinstance(job, VideoJob):
        look.require_regions_within(*job.video.square_size)
    # Numbers can be checked only after tracking. If one proves to be unknown then, a redaction
    # covers every face.
    people = store.find_record(keys.tracks(job.id), People) if look.people else None
    if people is not None:
        check_numbers(look, people)
