"""The JSON that the pages ask for."""

from collections.abc import Iterable
from typing import Any

from facepaint.errors import FacepaintError
from facepaint.jobs.explain import why_waiting
from facepaint.jobs.status import JobStatus, JobSummary
from facepaint.looks.look import Look
from facepaint.looks.selection import EVERYONE
from facepaint.records.job import ImageJob, Job, VideoJob
from facepaint.text import first_and_more
from viewer.server.audio import copy_mime
from viewer.server.cache import Board, first_missing

WINDOWS_A_CALL = 400
"""Records read at most for one answer; a long job's windows come over several."""


def jobs_json(board: Board) -> dict[str, Any]:
    """The newest jobs. A job whose ``state`` is null has not been looked at yet: ask again soon."""
    summaries = board.jobs()
    statuses = board.statuses(summary.id for summary in summaries if summary.job is not None)
    return {
        "jobs": [_row(summary, statuses.get(summary.id)) for summary in summaries],
        "workers": len(board.workers()),
    }


def _row(summary: JobSummary, status: JobStatus | FacepaintError | None) -> dict[str, Any]:
    if summary.job is None:
        return {"id": summary.id, "fault": summary.fault}
    row = {
        "id": summary.id,
        "name": _name(summary.job),
        "kind": summary.job.kind,
        "created": summary.job.created.isoformat(),
        "duration_s": _duration_s(summary.job),
    }
    if isinstance(status, FacepaintError):
        return {**row, "fault": str(status)}
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
    board: Board, job_id: str, look: str | None, windows_from: int, wait: int | None
) -> dict[str, Any]:
    """All that the page of a job needs, in one answer.

    ``look`` None takes the first. Windows of segments are given from ``windows_from`` on, so that
    an answer stays short; ``wait`` is the segment the player needs next, looked up at once even if
    the job was listed long ago.

    Raises:
        FacepaintError: see `Board.status`.
    """
    status = board.status(job_id, look)
    job = status.job
    chosen = look or next((found.id for found in status.looks), None)
    painted = board.painted_segments(status, chosen, wait) if chosen else frozenset()
    failed = status.keys.paint_failed.get(chosen or "", frozenset()) - painted
    indexes = range(windows_from, first_missing(status.keys.stored))
    windows = board.windows(job, indexes, WINDOWS_A_CALL)
    return {
        "id": job.id,
        "name": _name(job),
        "kind": job.kind,
        "created": job.created.isoformat(),
        "state": status.state,
        "total": status.total,
        "truncated": status.truncated,
        "duration_s": _duration_s(job),
        "look": chosen,
        "looks": [_look_json(status, found.id) for found in status.looks],
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
        "ends_s": board.ends_s(status) if isinstance(job, VideoJob) else None,
        "video": _video_json(board, status, chosen, painted),
        "audio": [
            {"language": track.language, "title": track.title, "mime": copy_mime(track)}
            for track in (job.audio if isinstance(job, VideoJob) else ())
        ],
        "images": list(job.images) if isinstance(job, ImageJob) else [],
        "workers": len(board.workers()),
        "waiting": why_waiting(
            status, board.workers(), chosen, _next_unpainted(status, painted | failed, wait)
        ),
    }


def _next_unpainted(status: JobStatus, done: frozenset[int], wait: int | None) -> int | None:
    """The segment from ``wait`` on that is to come next; None leaves the choice to
    `why_waiting`."""
    index = first_missing(done, wait or 0)
    return None if wait is None or index == status.total else index


def ranges(indexes: Iterable[int]) -> list[list[int]]:
    """A set of indexes as runs ``[first, last]``, both included."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return runs


def _duration_s(job: Job) -> float | None:
    return job.duration_s if isinstance(job, VideoJob) else None


def _name(job: Job) -> str:
    """What to call a job: its file, or the first of its pictures and how many there are."""
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
        **_whom_json(look.look),
        "state": look.state,
        "painted": look.painted,
        "failed": look.failed,
        "blank": look.blank,
    }


def _whom_json(look: Look | None) -> dict[str, list[int]]:
    """The people a look names, where all its filters name the same: whom it keeps as they are, whom
    alone it paints."""
    meant = {spec.applies_to for spec in look.filters} if look else set()
    selection = meant.pop() if len(meant) == 1 else EVERYONE
    return {"keep": list(selection.keep), "only": list(selection.only)}


def _video_json(
    board: Board, status: JobStatus, look: str | None, painted: frozenset[int]
) -> dict[str, Any] | None:
    if isinstance(status.job, ImageJob):
        return None
    video = status.job.video
    width, height = video.upright_size
    aspect = video.sample_aspect_ratio if video.sample_aspect_ratio > 0 else 1
    shape = aspect if video.rotation % 180 == 0 else 1 / aspect
    codec = board.painted(status.job.id, look, min(painted)).codec if look and painted else None
    return {
        "width": width,
        "height": height,
        "aspect": float(width * shape / height),
        "mime": f'video/mp4; codecs="{codec}"' if codec else None,
    }
