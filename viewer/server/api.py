"""The JSON that the pages load."""

from collections.abc import Iterable
from typing import Any

from facepaint.errors import FacepaintError
from facepaint.jobs.explain import why_waiting
from facepaint.jobs.status import JobStatus, JobSummary
from facepaint.looks.look import Look
from facepaint.looks.selection import EVERYONE
from facepaint.records.job import ImageJob, Job, VideoJob, VideoStream
from facepaint.text import first_and_more
from viewer.server.audio import copy_mime
from viewer.server.cache import JobCache, first_missing

MAX_WINDOW_READS = 400
"""Segment records read for one response at most. The page gets a long job's windows in several
responses."""


def jobs_json(cache: JobCache) -> dict[str, Any]:
    """The newest jobs. A job with the ``state`` null has not been read yet: ask again soon."""
    summaries = cache.jobs()
    statuses = cache.statuses(summary.id for summary in summaries if summary.job is not None)
    return {
        "jobs": [_row(summary, statuses.get(summary.id)) for summary in summaries],
        "workers": len(cache.workers()),
    }


def _row(summary: JobSummary, status: JobStatus | FacepaintError | None) -> dict[str, Any]:
    if summary.job is None:
        return {"id": summary.id, "error": summary.fault}
    row = {
        "id": summary.id,
        "name": _name(summary.job),
        "kind": summary.job.kind,
        "created": summary.job.created.isoformat(),
        "duration_s": _duration_s(summary.job),
    }
    if isinstance(status, FacepaintError):
        return {**row, "error": str(status)}
    if status is None:
        return {**row, "state": None, "total": None, "stored": 0, "detected": 0, "looks": []}
    return {
        **row,
        "state": status.state,
        "total": status.total,
        "stored": status.stored,
        "detected": status.detected + status.detect_failed,
        "looks": [_look_json(status, look.id) for look in status.looks],
    }


def job_json(
    cache: JobCache, job_id: str, look: str | None, windows_from: int, wait: int | None
) -> dict[str, Any]:
    """Everything that the page of a job needs, in one response.

    Args:
        cache: where the job is read from.
        job_id: the job.
        look: the look; None takes the first one.
        windows_from: windows are given from this segment on: the page keeps the others.
        wait: the segment that the player needs next. It is looked up now, even if the cached status
            is old.

    Raises:
        FacepaintError: see `JobCache.status`.
    """
    status = cache.status(job_id, look)
    job = status.job
    chosen = look or next((each.id for each in status.looks), None)
    painted = cache.painted_segments(status, chosen, wait) if chosen else frozenset()
    # A result takes precedence over a failed mark.
    failed = status.keys.paint_failed.get(chosen or "", frozenset()) - painted
    # The page adds windows at the end of those that it has, so there must be no gap.
    indexes = range(windows_from, first_missing(status.keys.stored))
    windows = cache.windows(job, indexes, MAX_WINDOW_READS)
    return {
        "id": job.id,
        "name": _name(job),
        "kind": job.kind,
        "created": job.created.isoformat(),
        "state": status.state,
        "total": status.total,
        "truncated": status.truncated,
        "look": chosen,
        "looks": [_look_json(status, each.id) for each in status.looks],
        "segments": {
            "stored": ranges(status.keys.stored),
            "detected": ranges(status.keys.detected | status.keys.detect_failed),
            "painted": ranges(painted),
            "failed": ranges(failed),
        },
        "windows": {
            "from": windows_from,
            "times": [[round(w.start_s, 6), round(w.end_s, 6)] for w in windows],
        },
        **_media_json(cache, status, chosen, painted),
        "workers": len(cache.workers()),
        "waiting": why_waiting(
            status, cache.workers(), chosen, _next_unpainted(status, painted | failed, wait)
        ),
    }


def _next_unpainted(status: JobStatus, done: frozenset[int], wait: int | None) -> int | None:
    """The next segment to be painted from ``wait`` on; None leaves the choice to `why_waiting`."""
    index = first_missing(done, wait or 0)
    return None if wait is None or index == status.total else index


def ranges(indexes: Iterable[int]) -> list[list[int]]:
    """A set of indexes as inclusive ranges ``[first, last]``."""
    found: list[list[int]] = []
    for index in sorted(indexes):
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found


def _duration_s(job: Job) -> float | None:
    return job.duration_s if isinstance(job, VideoJob) else None


def _name(job: Job) -> str:
    """A job's name: its file, or the first of its images and the number of the others."""
    if isinstance(job, ImageJob) and len(job.images) > 1:
        return first_and_more(job.images)
    return job.source.name


def _look_json(status: JobStatus, look_id: str) -> dict[str, Any]:
    look = status.look(look_id)
    assert look is not None
    return {
        "id": look_id,
        "title": str(look.look) if look.look else look_id,
        "filters": [spec.shorthand for spec in look.look.filters] if look.look else [],
        **_selection_json(look.look),
        "state": look.state,
        "painted": look.painted,
        "failed": look.failed,
        "blank": look.blank,
    }


def _selection_json(look: Look | None) -> dict[str, list[int]]:
    """The people that all filters of a look keep, or the only ones that they apply to.

    Empty if the filters differ in that: the page edits one selection for a whole look.
    """
    selections = {spec.applies_to for spec in look.filters} if look else set()
    selection = selections.pop() if len(selections) == 1 else EVERYONE
    return {"keep": list(selection.keep), "only": list(selection.only)}


def _media_json(
    cache: JobCache, status: JobStatus, look: str | None, painted: frozenset[int]
) -> dict[str, Any]:
    """What only a video has, and what only a list of images has."""
    job = status.job
    if isinstance(job, ImageJob):
        names = list(job.images)
        return {"duration_s": None, "end_s": None, "video": None, "audio": [], "images": names}
    mime = None
    if look and painted:
        # All painted segments of a look have the same codec parameters.
        codec = cache.painted(job.id, look, min(painted)).codec
        mime = f'video/mp4; codecs="{codec}"'
    return {
        "duration_s": job.duration_s,
        "end_s": cache.end_s(status),
        "video": _video_json(job.video, mime),
        "audio": [
            {"language": track.language, "title": track.title, "mime": copy_mime(track)}
            for track in job.audio
        ],
        "images": [],
    }


def _video_json(video: VideoStream, mime: str | None) -> dict[str, Any]:
    width, height = video.upright_size
    aspect = float(width * video.pixel_aspect / height)
    return {"width": width, "height": height, "aspect": aspect, "mime": mime}
