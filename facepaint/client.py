"""The public Python API: everything that the commands do, as methods of `Client`.

    client = Client.connect()
    job = client.upload("party.mp4", ["sunglasses"]).job_id
    client.save(job, "painted.mp4")

``uploader`` and ``viewer`` are imported when they are needed, so that `facepaint jobs` starts
quickly.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from facepaint.errors import InputError, JobError, ServiceError
from facepaint.jobs.maintenance import delete_job, queue_missing, requeue_stalled, resume_job
from facepaint.jobs.people import find_people
from facepaint.jobs.readiness import looks_of
from facepaint.jobs.repaint import repaint
from facepaint.jobs.status import (
    BlankRecords,
    JobStatus,
    JobSummary,
    find_job,
    job_status,
    list_jobs,
)
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.job import ImageJob
from facepaint.records.results import Painted
from facepaint.records.tracks import People
from facepaint.settings import Settings
from facepaint.store import Store

if TYPE_CHECKING:
    from facepaint.queue import Queue
    from uploader.upload import UploadProgress, UploadResult
    from viewer.follow import FollowOptions
    from viewer.save.save import SaveReport

POLL_S = 1.0

PORTRAITS_S = 30.0
"""How long no new portrait may come before the others are given up."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a job stands: its status, and the frames painted so far in the look waited for."""

    status: JobStatus
    frames: int


class Client:
    """A connection to one facepaint installation."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.require_services()
        self.store = Store(settings)

    @cached_property
    def queue(self) -> "Queue":
        """The queue, for what sends tasks; Celery is slow to import, and most commands send
        none."""
        from facepaint.queue import Queue

        return Queue(self.settings)

    @classmethod
    def connect(cls, settings: Settings | None = None) -> "Client":
        """A client of the services that `facepaint.settings` finds.

        Raises:
            ServiceError: none are found.
        """
        return cls(settings or Settings.load())

    def upload(
        self,
        path: str | Path,
        filters: Sequence[str] | Look,
        *,
        on_progress: "Callable[[UploadProgress], None] | None" = None,
        resume: str | None = None,
    ) -> "UploadResult":
        """Upload a video and queue its work; ``resume`` goes on with an upload that was
        interrupted."""
        from uploader.upload import upload

        look = filters if isinstance(filters, Look) else parse_look(filters)
        return upload(
            Path(path),
            look,
            self.store,
            self.queue,
            self.settings,
            on_progress=on_progress,
            resume=resume,
        )

    def upload_images(
        self,
        paths: Sequence[str | Path],
        filters: Sequence[str] | Look,
        *,
        on_progress: "Callable[[UploadProgress], None] | None" = None,
    ) -> "UploadResult":
        """Upload still pictures as one job."""
        from uploader.images import upload_images

        look = filters if isinstance(filters, Look) else parse_look(filters)
        files = [Path(path) for path in paths]
        return upload_images(
            files, look, self.store, self.queue, self.settings, on_progress=on_progress
        )

    def look_of(self, job_id: str, look: str | None = None) -> str:
        """The id of a job's look: the one asked for (or the beginning of its id), else the only
        one.

        Raises:
            InputError: there is no such look, or several and none was named.
        """
        find_job(self.store, job_id)
        looks = [name for name in looks_of(self.store, job_id) if name.startswith(look or "")]
        if len(looks) != 1:
            names = ", ".join(looks_of(self.store, job_id)) or "none"
            raise InputError(f"job {job_id} has the looks {names}: name one with --look")
        return looks[0]

    def wait(
        self,
        job_id: str,
        look: str | None = None,
        *,
        on_change: Callable[[Snapshot], None] | None = None,
        poll_s: float = POLL_S,
    ) -> JobStatus:
        """Wait until a job ends, queueing again what the broker may have lost; asks every
        ``poll_s`` seconds.

        Raises:
            JobError: the upload was abandoned.
        """
        look_id = self.look_of(job_id, look)
        frames: dict[int, int] = {}
        blank_records: BlankRecords = {}
        last_change = time.monotonic()
        while True:
            status = job_status(self.store, job_id, blank_records=blank_records)
            fresh = status.keys.painted.get(look_id, frozenset()) - frames.keys()
            for index in fresh:
                record = self.store.find_record(keys.painted(job_id, look_id, index), Painted)
                frames[index] = record.frames if record else 0
            if on_change:
                on_change(Snapshot(status, sum(frames.values())))
            state = status.keys.state(status.idle_s, look_id)
            if state in {"complete", "incomplete"}:
                return status
            if state == "abandoned":
                raise _upload_stopped(job_id)
            now = time.monotonic()
            if fresh:
                last_change = now
            elif now - last_change > self.settings.requeue_after_s:
                last_change = now
                missing = status.keys.stored - status.keys.painted.get(look_id, frozenset())
                self._requeue(job_id, look_id, min(missing, default=0))
            time.sleep(poll_s)

    def people(
        self,
        job_id: str,
        *,
        on_change: Callable[[JobStatus], None] | None = None,
        poll_s: float = POLL_S,
    ) -> People:
        """Who is in a job's video: asked for where it is not known yet, and waited for.

        A job of pictures has nobody, and is waited for until the faces in all of them were looked
        for.

        Raises:
            JobError: finding out was given up, or the upload was abandoned.
        """
        ask_at = 0.0
        requeue_at = time.monotonic() + self.settings.requeue_after_s
        progress = (0, 0)
        blank_records: BlankRecords = {}
        while True:
            people = find_people(self.store, job_id)
            if people is not None:
                return people
            status = job_status(self.store, job_id, blank_records=blank_records)
            now = time.monotonic()
            if on_change:
                on_change(status)
            if status.keys.detection_finished and isinstance(status.job, ImageJob):
                return People((), status.stored)
            if status.keys.detection_finished and now >= ask_at:
                ask_at = now + self.settings.requeue_after_s
                self.queue.track(job_id)
            if status.state == "abandoned":
                raise _upload_stopped(job_id)
            if progress != (status.stored, status.detected + status.detect_failed):
                progress = (status.stored, status.detected + status.detect_failed)
                requeue_at = now + self.settings.requeue_after_s
            elif now >= requeue_at:
                requeue_at = now + self.settings.requeue_after_s
                with contextlib.suppress(ServiceError):
                    if (
                        self.queue.length() == 0
                    ):  # else it may be waiting its turn behind other jobs
                        queue_missing(self.store, self.queue, job_id)
            time.sleep(poll_s)

    def portraits(
        self, job_id: str, numbers: Sequence[int], *, poll_s: float = POLL_S
    ) -> dict[int, bytes]:
        """The JPEGs of some people's faces by number, waited for as long as new ones come.

        The workers make those of `People.portrayed` only; the broker may have lost what asks them
        to.
        """
        found: dict[int, bytes] = {}
        last = time.monotonic()
        asked = False
        while time.monotonic() - last < PORTRAITS_S:
            there = {row.key for row in self.store.list(keys.portraits(job_id))}
            fresh = [n for n in numbers if n not in found and keys.portrait(job_id, n) in there]
            found |= zip(
                fresh,
                in_parallel(lambda n: self.store.get(keys.portrait(job_id, n)), fresh),
                strict=True,
            )
            if len(found) == len(numbers):
                break
            now = time.monotonic()
            last = now if fresh else last
            if not asked and now - last >= PORTRAITS_S / 3:
                asked = True
                # The people are tracked already; the task queues the missing portraits.
                self.queue.track(job_id)
            time.sleep(poll_s)
        return found

    def repaint(self, job_id: str, filters: Sequence[str] | Look) -> str:
        """Have a job painted with another look; returns the look's id. Raises as
        `facepaint.jobs.repaint.repaint`."""
        from uploader.stickers import store_stickers

        look = filters if isinstance(filters, Look) else parse_look(filters)
        find_job(self.store, job_id)
        return repaint(self.store, self.queue, job_id, store_stickers(look, self.store))

    def save(
        self,
        job_id: str,
        out: str | Path,
        *,
        look: str | None = None,
        allow_gaps: bool = False,
        overwrite: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> "SaveReport":
        """Save a job's painted video as one file, waiting for what is still being made.

        ``on_trouble`` is told, in one line, what is being waited out. Raises as
        `viewer.save.save.save`.
        """
        from viewer.save.save import SaveOptions, save

        look_id = self.look_of(job_id, look)
        return save(
            self.store,
            job_id,
            look_id,
            Path(out),
            SaveOptions(allow_gaps, overwrite, self._following(job_id, look_id, on_trouble)),
            on_progress,
        )

    def save_images(
        self,
        job_id: str,
        folder: str | Path,
        *,
        look: str | None = None,
        allow_gaps: bool = False,
        overwrite: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> list[Path]:
        """Save a job's painted pictures under their names into a folder. Raises as
        `viewer.save.images.save_images`."""
        from viewer.save.images import save_images
        from viewer.save.save import SaveOptions

        look_id = self.look_of(job_id, look)
        return save_images(
            self.store,
            job_id,
            look_id,
            Path(folder),
            SaveOptions(allow_gaps, overwrite, self._following(job_id, look_id, on_trouble)),
            on_progress,
        )

    def status(self, job_id: str) -> JobStatus:
        """A job's status."""
        return job_status(self.store, job_id)

    def jobs(self) -> list[JobSummary]:
        """All jobs, newest first."""
        return list_jobs(self.store, with_state=True)

    def resume(self, job_id: str, *, seal: bool = False) -> JobStatus:
        """Try again what was given up and queue what is missing."""
        return resume_job(self.store, self.queue, job_id, seal)

    def delete(self, job_id: str) -> int:
        """Remove a job; returns how many objects were removed."""
        return delete_job(self.store, job_id)

    def _following(
        self, job_id: str, look_id: str, on_trouble: Callable[[str], None] | None
    ) -> "FollowOptions":
        from viewer.follow import FollowOptions

        options = FollowOptions(
            requeue_after_s=self.settings.requeue_after_s,
            requeue_stalled=lambda index: self._requeue(job_id, look_id, index),
        )
        return replace(options, on_trouble=on_trouble) if on_trouble else options

    def _requeue(self, job_id: str, look_id: str, index: int) -> None:
        """Queue again what is waited for too long; with a service away, the next round tries
        again."""
        with contextlib.suppress(ServiceError):
            requeue_stalled(self.store, self.queue, job_id, look_id, index)


def _upload_stopped(job_id: str) -> JobError:
    return JobError(
        f"the upload of job {job_id} stopped: "
        f"`facepaint upload --resume {job_id} FILE` continues it"
    )
