"""Who is where in a job's video: asking for the link task, and reading what it found.

Once every segment was looked at for faces, the link task follows them through the whole video and
numbers the people. It is queued when somebody needs it: a look that names people by
`facepaint.jobs.readiness`, or whoever wants to see them here.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from facepaint.errors import InputError, JobError, UsageError
from facepaint.jobs.state import JobKeys
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
    """The people of a job's video, or None while nobody knows.

    Raises:
        JobError: finding out was given up.
    """
    people = store.find_record(keys.tracks(job_id), People)
    if people is None:
        failed = store.find_record(keys.tracks_failed(job_id), Failed)
        if failed is not None:
            raise JobError(
                f"who is where in job {job_id} was given up ({failed.reason}); `facepaint resume "
                f"{job_id}` tries again"
            )
    return people


def ask_for_people(store: Store, queue: "Queue", job_id: str) -> People | None:
    """The people of a job's video; None where they are not known yet, and then the link is queued
    if it can be made.

    Asking twice is harmless; it takes one LIST.

    Raises:
        UnknownJob: there is no such job.
        InputError: it is a job of pictures, whose faces are not followed.
        JobError: finding out was given up.
    """
    require_video(find_job(store, job_id))
    people = find_people(store, job_id)
    if (
        people is None
        and JobKeys.read(row.key for row in store.list(keys.prefix(job_id))).detection_finished
    ):
        queue.track(job_id)
    return people


def require_video(job: Job) -> VideoJob:
    """The job, if it is a video: people are not tracked from one image to the next.

    Raises:
        InputError: the job is a list of images.
    """
    if isinstance(job, ImageJob):
        raise InputError(
            f"job {job.id} is a list of images, and people have numbers in videos only; "
            "--region selects a part of each image, `facepaint faces --csv` lists the faces"
        )
    return job


def check_numbers(look: Look, people: People) -> None:
    """Raise `UsageError` if a look names people that are not in the video."""
    unknown = unknown_people(look.numbers, people)
    if unknown:
        raise UsageError(f"there is nobody with the number {unknown} in this video: {said(people)}")


def unknown_people(numbers: Iterable[int], people: People) -> str:
    """Those of some numbers that nobody has, in words; empty if there are none."""
    there = {person.number for person in people.people}
    return ", ".join(str(number) for number in sorted(numbers) if number not in there)


def said(people: People) -> str:
    """Which numbers there are."""
    count = len(people.certain)
    if not people.people:
        return "no face was found in it"
    low_confidence = len(people.people) - count
    also = f", {low_confidence} more may be no faces" if low_confidence else ""
    return (
        f"it has {count} "
        f"{'person' if count == 1 else 'people'}{f', 1 to {count}' if count > 1 else ''}{also}"
    )
