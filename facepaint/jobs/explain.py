"""Why a segment is not painted yet, in one sentence."""

from collections.abc import Iterable

from facepaint.jobs.status import JobStatus
from facepaint.records.job import VideoJob
from facepaint.records.results import WorkerInfo


def why_waiting(
    status: JobStatus,
    workers: Iterable[WorkerInfo],
    look_id: str | None = None,
    index: int | None = None,
) -> str:
    """One plain sentence: what the job waits for and why.

    Of a look (by default the first one not complete), and of the segment ``index`` (by default the
    first not painted).
    """
    if not status.looks:
        return "No look has been asked for yet."
    unfinished = [look.id for look in status.looks if look.state != "complete"]
    look = look_id or next(iter(unfinished), status.looks[0].id)
    painted, failed = (
        status.keys.painted.get(look, frozenset()),
        status.keys.paint_failed.get(look, frozenset()),
    )
    if index is None:
        waiting = (
            n for n in range(len(status.keys.stored) + 1) if n not in painted and n not in failed
        )
        index = next(waiting, 0)
    if index in painted:
        return f"Segment {index} is painted."
    if index in failed:
        found = status.look(look)
        reason = found.reasons.get(index, "") if found else ""
        return f"Segment {index} was given up{f' ({reason})' if reason else ''}: {_retry(status)}."
    if index not in status.keys.stored:
        return _why_not_stored(status, look, index)
    return _why_not_painted(status, tuple(workers), look, index)


def _retry(status: JobStatus) -> str:
    return f"`facepaint resume {status.job.id}` tries again"


def _why_not_stored(status: JobStatus, look: str, index: int) -> str:
    given_up = len(status.keys.paint_failed.get(look, ()))
    if status.keys.sealed and given_up:
        which = "1 segment, which was" if given_up == 1 else f"{given_up} segments, which were"
        return f"Everything is painted but {which} given up: {_retry(status)}."
    if status.keys.sealed:
        return "Everything is painted."
    if status.state == "abandoned":
        return (
            f"The upload stopped {status.idle_s / 60:.0f} minutes ago: `facepaint upload "
            f"--resume {status.job.id} FILE`"
            f" goes on, `facepaint resume {status.job.id} --seal` ends the job with what is stored."
        )
    return f"Segment {index} is still being uploaded."


def _why_not_painted(
    status: JobStatus, workers: tuple[WorkerInfo, ...], look: str, index: int
) -> str:
    if not workers:
        return "No worker is running: `facepaint worker` starts one."
    near = (index, index - 1, index + 1) if isinstance(status.job, VideoJob) else (index,)
    ended = status.keys.detected | status.keys.detect_failed
    without = next((n for n in near if n in status.keys.stored and n not in ended), None)
    if without is not None:
        return _why_no_faces(status, workers, index, without)
    if index + 1 in near and index + 1 not in status.keys.stored and not status.keys.sealed:
        return f"Segment {index} can be painted once the segment after it is uploaded."
    found = status.look(look)
    if (
        found is not None
        and found.look is not None
        and found.look.numbers
        and not _tracking_ended(status)
    ):
        return _why_not_tracked(status, workers, index)
    if f"paint-{look}-{index:06d}" in status.at_work:
        return f"Segment {index} is being painted."
    if not any("paint" in worker.queues for worker in workers):
        return (
            "No running worker paints, they all look for faces only: `facepaint worker` starts "
            "one that does both."
        )
    return f"Segment {index} is ready and waits for a worker to paint it."


def _tracking_ended(status: JobStatus) -> bool:
    return status.keys.tracked or status.keys.tracking_failed


def _why_not_tracked(status: JobStatus, workers: tuple[WorkerInfo, ...], index: int) -> str:
    """A look that names people waits until it is known who is where in the whole video."""
    waits = f"Segment {index} waits until it is known who is where in the whole video"
    if not status.keys.sealed:
        return f"{waits}, which is still being uploaded."
    missing = len(status.keys.stored - status.keys.detected - status.keys.detect_failed)
    if missing:
        return (
            f"{waits}; {missing} {'segment is' if missing == 1 else 'segments are'} still to be "
            "looked at for faces."
        )
    if not any("detect" in worker.queues for worker in workers):
        return (
            "No running worker looks for faces, they all paint only: `facepaint worker` starts "
            "one that does both."
        )
    busy = "track-000000" in status.at_work
    return f"{waits}, which {'is being found out' if busy else 'no worker has begun to find out'}."


def _why_no_faces(
    status: JobStatus, workers: tuple[WorkerInfo, ...], index: int, without: int
) -> str:
    if not any("detect" in worker.queues for worker in workers):
        return (
            "No running worker looks for faces, they all paint only: `facepaint worker` starts "
            "one that does both."
        )
    busy = f"detect-{without:06d}" in status.at_work
    doing = "which are being looked for" if busy else "which no worker has looked for yet"
    if without == index:
        return f"Segment {index} waits for its faces, {doing}."
    side = "before" if without < index else "after"
    return f"Segment {index} waits for the faces of the segment {side} it, {doing}."
