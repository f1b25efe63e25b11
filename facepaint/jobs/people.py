"""The people of a job's video: request person tracking and read its result.

Tracking can run once the detection of every segment has ended. It is queued on demand: by
`facepaint.jobs.readiness` for a look that selects people, or by `request_people`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from facepaint.errors import InputError, JobError, UsageError
from facepaint.jobs.readiness import list_keys
from facepaint.jobs.status import find_job
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.job import ImageJob, Job, VideoJob
from facepaint.records.results import Failed
from facepaint.records.tracks import People
from facepaint.store import Store

if TYPE_CHECKING:
    # Only named here: Celery is slow to import, and most commands send nothing.
    from facepaint.queue import Queue


def find_people(store: Store, job_id: str) -> People | None:
    """The people of a job's video, or None if they are not tracked yet.

    Raises:
        JobError: person tracking failed.
    """
    people = store.find_record(keys.tracks(job_id), People)
    if people is None:
        failed = store.find_record(keys.tracks_failed(job_id), Failed)
        if failed is not None:
            raise JobError(
                f"person tracking failed for job {job_id}: {failed.reason}; "
                f"`facepaint resume {job_id}` retries it"
            )
    return people


def request_people(store: Store, queue: "Queue", job_id: str) -> People | None:
    """The people of a job's video, or None; their tracking is then queued, if it can run.

    Takes one LIST. Idempotent, so a caller may poll.

    Raises:
        UnknownJob: there is no such job.
        InputError: the job is a list of images.
        JobError: person tracking failed.
    """
    require_video(find_job(store, job_id))
    people = find_people(store, job_id)
    if people is None:
        job_keys = list_keys(store, job_id)
        if job_keys.detection_finished:
            queue.track(job_id)
    return people


def require_video(job: Job) -> VideoJob:
    """The job, if it is a video. People are not tracked across the images of a list.

    Raises:
        InputError: the job is a list of images.
    """
    if isinstance(job, ImageJob):
        raise InputError(
            f"job {job.id} is a list of images, and only people in videos have numbers; "
            "--region selects a part of each image, `facepaint faces --csv` lists the faces"
        )
    return job


def check_numbers(look: Look, people: People) -> None:
    """Raise `UsageError` if a look selects people who are not in the video."""
    unknown = unknown_people(look.people, people)
    if unknown:
        raise UsageError(f"this video has no person {unknown}: {describe_people(people)}")


def unknown_people(numbers: Iterable[int], people: People) -> str:
    """The numbers that no person of the video has, separated by commas."""
    existing = {person.number for person in people.people}
    return ", ".join(str(number) for number in sorted(numbers) if number not in existing)


def describe_people(people: People) -> str:
    """A clause about the people of a video: "it has 3 people, 1 to 3"."""
    if not people.people:
        return "no face was found"
    count = len(people.confident)
    noun = "person" if count == 1 else "people"
    numbers = f", 1 to {count}" if count > 1 else ""
    low_confidence = len(people.people) - count
    more = f", {low_confidence} more with low confidence" if low_confidence else ""
    return f"it has {count} {noun}{numbers}{more}"
