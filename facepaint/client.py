"""The public Python API: everything that the commands do, as methods of `Client`.

    client = Client.connect()
    job = client.upload("party.mp4", ["sunglasses"]).job_id
    client.save(job, "painted.mp4")

``uploader`` and ``viewer`` are imported where they are used: they load PyAV, which short commands
such as `facepaint jobs` do not need.
"""

import contextlib
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from facepaint.errors import InputError, ServiceError, UnknownJob
from facepaint.jobs.maintenance import delete_job, queue_missing, requeue_stalled, resume_job
from facepaint.jobs.people import find_people
from facepaint.jobs.readiness import list_looks
from facepaint.jobs.repaint import repaint
from facepaint.jobs.status import (
    BlankRecords,
    JobStatus,
    JobSummary,
    fail_if_stuck,
    find_job,
    job_status,
    list_jobs,
)
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.job import ImageJob
from facepaint.records.keys import JOB_ID, LOOK_ID, check_job_id
from facepaint.records.results import Painted
from facepaint.records.tracks import People
from facepaint.settings import Settings
from facepaint.store import Store

if TYPE_CHECKING:
    from facepaint.queue import Queue
    from uploader.upload import UploadProgress, UploadResult
    from viewer.follow import FollowOptions
    from viewer.save.video import SaveReport

POLL_S = 1.0

PORTRAITS_S = 30.0
"""The patience of `Client.portraits`: a busy worker makes a portrait within a few seconds."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job's status, and what is painted so far in one look: frames, and faces in all of them."""

    status: JobStatus
    frames: int
    faces: int = 0


class Client:
    """A connection to one facepaint installation."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.require_services()
        self.store = Store(settings)

    @cached_property
    def queue(self) -> "Queue":
        """The task queue; connected on first use, because Celery is slow to import and most
        commands send no task."""
        from facepaint.queue import Queue

        return Queue(self.settings)

    @classmethod
    def connect(cls, settings: Settings | None = None) -> "Client":
        """Connect to the services that ``settings`` name.

        Args:
            settings: by default those of the environment, or of a running `facepaint up`.

        Raises:
            ServiceError: no services are configured.
            UsageError: a setting is invalid.
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
        """Upload a video and queue its work. Returns when the last segment is stored.

        Args:
            path: the video file.
            filters: a look, or filter names with options as for `parse_look`.
            on_progress: called after each stored segment.
            resume: the id of an interrupted upload of the same file, which is continued.

        Raises:
            InputError: the file is missing or is no video that can be painted, a sticker or
                detector file is invalid, or ``resume`` belongs to another file.
            UsageError: a filter, option or detector name is invalid, or a region lies outside the
                video.
            JobDeleted: the job was deleted during the upload.
            ServiceError: the storage or the broker stays out of reach.
        """
        from uploader.upload import upload

        return upload(
            Path(path),
            _look(filters),
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
        """Upload image files as one job and queue its work.

        Args:
            paths: the image files, in the order of the result.
            filters: a look, or filter names with options as for `parse_look`.
            on_progress: called after each stored image.

        Raises:
            InputError: a file is missing, or a sticker file is invalid.
            UsageError: there are no files, a filter or option is invalid, or the look selects
                people.
            ServiceError: the storage or the broker stays out of reach.
        """
        from uploader.images import upload_images

        files = [Path(path) for path in paths]
        return upload_images(
            files, _look(filters), self.store, self.queue, self.settings, on_progress=on_progress
        )

    def look_of(self, job_id: str, look: str | None = None) -> str:
        """Resolve a look of a job.

        Args:
            job_id: the job.
            look: a look id or unique prefix; by default the newest look.

        Returns:
            The full look id.

        Raises:
            UnknownJob: there is no such job.
            InputError: no look matches, or several do.
        """
        if look is not None and LOOK_ID.fullmatch(look) and look in list_looks(self.store, job_id):
            find_job(self.store, job_id)
            return look
        looks = job_status(self.store, job_id).looks
        if look is None and looks:
            return looks[-1].id
        matching = [each for each in looks if each.id.startswith(look or "")]
        if len(matching) != 1:
            names = ", ".join(f"{each.id} ({each.look or each.fault})" for each in looks)
            raise InputError(f"job {job_id} has the looks {names or 'none'}: name one with --look")
        return matching[0].id

    def job_of(self, text: str) -> str:
        """Resolve a job id or a unique beginning of one.

        Raises:
            UsageError: ``text`` cannot be the beginning of a job id.
            InputError: several jobs begin with it.
            UnknownJob: no job begins with it.
        """
        if JOB_ID.fullmatch(text):
            return text
        if not re.fullmatch(r"[0-9][0-9A-Za-z-]{3,}", text):
            return check_job_id(text)
        matching = [row.id for row in list_jobs(self.store) if row.id.startswith(text)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            names = ", ".join(matching[:5])
            raise InputError(f"the jobs {names} begin with {text}: name one in full")
        raise UnknownJob(f"no job begins with {text}; `facepaint jobs` lists them")

    def wait(
        self,
        job_id: str,
        look: str | None = None,
        *,
        on_change: Callable[[Snapshot], None] | None = None,
        poll_s: float = POLL_S,
    ) -> JobStatus:
        """Wait until a job is complete, or incomplete for good.

        Segments that make no progress for `Settings.requeue_after_s` are queued again: the broker
        may have lost their messages.

        Args:
            job_id: the job.
            look: as for `look_of`.
            on_change: called with each new snapshot.
            poll_s: seconds between two readings of the storage.

        Raises:
            UnknownJob: there is no such job.
            InputError: the look is ambiguous or missing.
            JobError: the upload was abandoned.
            StoreUnreachable: the storage stays out of reach.
        """
        look_id = self.look_of(job_id, look)
        frames: dict[int, int] = {}
        faces = 0
        blank_records: BlankRecords = {}
        last_change = time.monotonic()
        while True:
            status = job_status(self.store, job_id, blank_records=blank_records)
            painted = status.keys.painted.get(look_id, frozenset())
            fresh = painted - frames.keys()
            for index in fresh:
                record = self.store.find_record(keys.painted(job_id, look_id, index), Painted)
                frames[index] = record.frames if record else 0
                faces += record.faces if record else 0
            if on_change:
                on_change(Snapshot(status, sum(frames.values()), faces))
            if status.look_ended(look_id):
                return status
            fail_if_stuck(status)
            now = time.monotonic()
            if fresh:
                last_change = now
            elif now - last_change > self.settings.requeue_after_s:
                last_change = now
                self._requeue(job_id, look_id, min(status.keys.stored - painted, default=0))
            time.sleep(poll_s)

    def people(
        self,
        job_id: str,
        *,
        on_change: Callable[[JobStatus], None] | None = None,
        poll_s: float = POLL_S,
    ) -> People:
        """The people in a job's video; starts person tracking if needed and waits for it.

        An image job has no people; the call returns once its detection has finished.

        Args:
            job_id: the job.
            on_change: called with each status read while waiting.
            poll_s: seconds between two readings of the storage.

        Raises:
            UnknownJob: there is no such job.
            JobError: person tracking failed, or the upload was abandoned.
            ServiceError: the storage or the broker stays out of reach.
        """
        track_at = 0.0
        requeue_at = time.monotonic() + self.settings.requeue_after_s
        progress = (0, 0)
        blank_records: BlankRecords = {}
        while True:
            people = find_people(self.store, job_id)
            if people is not None:
                return people
            status = job_status(self.store, job_id, blank_records=blank_records)
            if on_change:
                on_change(status)
            fail_if_stuck(status)
            now = time.monotonic()
            if status.keys.detection_finished:
                if isinstance(status.job, ImageJob):
                    return People((), status.stored)
                if now >= track_at:
                    track_at = now + self.settings.requeue_after_s
                    self.queue.track(job_id)
            if progress != _detection_progress(status):
                progress = _detection_progress(status)
                requeue_at = now + self.settings.requeue_after_s
            elif now >= requeue_at:
                requeue_at = now + self.settings.requeue_after_s
                self._queue_missing_if_idle(job_id)
            time.sleep(poll_s)

    def portraits(
        self,
        job_id: str,
        numbers: Sequence[int],
        *,
        poll_s: float = POLL_S,
        patience_s: float = PORTRAITS_S,
    ) -> dict[int, bytes]:
        """Portraits of people, as JPEG by person number; waits while new ones arrive.

        Workers make portraits only of the people in `People.portrayed`.

        Args:
            job_id: the job.
            numbers: person numbers.
            poll_s: seconds between two listings of the storage.
            patience_s: seconds without a new portrait after which the others are left out.

        Raises:
            ServiceError: the storage or the broker stays out of reach.
        """
        portraits: dict[int, bytes] = {}
        last_arrival = time.monotonic()
        requeued = False
        while time.monotonic() - last_arrival < patience_s:
            fresh = self._stored_portraits(job_id, set(numbers) - portraits.keys())
            portraits |= fresh
            if len(portraits) == len(numbers):
                break
            now = time.monotonic()
            if fresh:
                last_arrival = now
            if not requeued and now - last_arrival >= patience_s / 3:
                requeued = True
                # People are tracked by now; the tracking task queues the portraits that are
                # missing, in case the broker lost their messages.
                self.queue.track(job_id)
            time.sleep(poll_s)
        return portraits

    def _stored_portraits(self, job_id: str, numbers: Collection[int]) -> dict[int, bytes]:
        stored = {row.key for row in self.store.list(keys.portraits(job_id))}
        ready = [n for n in sorted(numbers) if keys.portrait(job_id, n) in stored]
        images = in_parallel(lambda n: self.store.get(keys.portrait(job_id, n)), ready)
        return dict(zip(ready, images, strict=True))

    def repaint(self, job_id: str, filters: Sequence[str] | Look) -> str:
        """Render a job with another look, reusing its detections.

        Args:
            job_id: the job.
            filters: a look, or filter names with options as for `parse_look`.

        Returns:
            The id of the look.

        Raises:
            UnknownJob: there is no such job.
            UsageError: a filter or option is invalid, a selected person is not in the video, or a
                selected region lies outside it.
            InputError: the look selects people, but the job has images.
            ServiceError: the storage or the broker stays out of reach.
        """
        from uploader.stickers import store_stickers

        look = _look(filters)
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
        """Save a job's painted video as one file; waits for segments that are not painted yet.

        Args:
            job_id: the job.
            out: the file; its suffix chooses the container (.mp4, .mov or .mkv).
            look: as for `look_of`.
            allow_gaps: leave out segments that failed, instead of raising.
            overwrite: replace an existing file.
            on_progress: called with the segments written and the segments in all.
            on_trouble: called with one line for each temporary failure that is waited out.

        Returns:
            What was written, and how it compares with the job's records.

        Raises:
            UnknownJob: there is no such job.
            InputError: the look is ambiguous or missing.
            UsageError: the file cannot be written, or its container cannot hold the audio.
            JobError: a segment failed and gaps are not allowed, or the upload was abandoned.
            StoreUnreachable: the storage stays out of reach.
        """
        from viewer.save.video import SaveOptions, save_video

        look_id = self.look_of(job_id, look)
        return save_video(
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
        """Save an image job's painted images under their own names; waits as `save` does.

        Args:
            job_id: the job.
            folder: created if it is missing.
            look, allow_gaps, overwrite, on_progress, on_trouble: as for `save`, counting images.

        Returns:
            The paths of the files.

        Raises:
            UnknownJob, InputError, UsageError, JobError, StoreUnreachable: as for `save`.
        """
        from viewer.save.images import save_images
        from viewer.save.video import SaveOptions

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
        """Read a job's status.

        Raises:
            UnknownJob: there is no such job.
            StoreUnreachable: the storage stays out of reach.
        """
        return job_status(self.store, job_id)

    def jobs(self) -> list[JobSummary]:
        """All jobs with their states, newest first.

        Raises:
            StoreUnreachable: the storage stays out of reach.
        """
        return list_jobs(self.store, with_state=True)

    def resume(self, job_id: str, *, seal: bool = False) -> JobStatus:
        """Retry a job's failed segments and queue its missing ones.

        Args:
            job_id: the job.
            seal: finalize an abandoned upload at its last contiguous segment.

        Returns:
            The status after that.

        Raises:
            UnknownJob: there is no such job.
            UsageError: ``seal`` is set, but the upload is not abandoned.
            JobError: ``seal`` is set, but not even the first segment is stored.
            ServiceError: the storage or the broker stays out of reach.
        """
        return resume_job(self.store, self.queue, job_id, seal)

    def delete(self, job_id: str) -> int:
        """Delete a job with everything stored for it.

        Returns:
            The number of deleted objects.

        Raises:
            UnknownJob: there is no such job.
            StoreUnreachable: the storage stays out of reach.
        """
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
        """Queue a stalled segment again. With a service out of reach, the next round retries."""
        with contextlib.suppress(ServiceError):
            requeue_stalled(self.store, self.queue, job_id, look_id, index)

    def _queue_missing_if_idle(self, job_id: str) -> None:
        """Queue what the broker may have lost; in a queue with messages it may still be waiting."""
        with contextlib.suppress(ServiceError):
            if self.queue.length() == 0:
                queue_missing(self.store, self.queue, job_id)


def _look(filters: Sequence[str] | Look) -> Look:
    return filters if isinstance(filters, Look) else parse_look(filters)


def _detection_progress(status: JobStatus) -> tuple[int, int]:
    """Segments stored, and segments whose detection ended either way."""
    return status.stored, status.detected + status.detect_failed
