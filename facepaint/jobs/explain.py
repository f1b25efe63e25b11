"""Why a segment is not painted yet, in one sentence."""

from collections.abc import Iterable
from dataclasses import dataclass

from facepaint.jobs.status import JobStatus
from facepaint.records.results import WorkerInfo
from facepaint.text import counted

NO_DETECTING_WORKER = (
    "All running workers only paint: `facepaint worker` starts one that also detects faces."
)
NO_PAINTING_WORKER = (
    "All running workers only detect faces: `facepaint worker` starts one that also paints."
)


def why_waiting(
    status: JobStatus,
    workers: Iterable[WorkerInfo],
    look_id: str | None = None,
    index: int | None = None,
) -> str:
    """One sentence that explains what a segment is waiting for.

    Args:
        look_id: the look; by default the first that is not complete.
        index: the segment; by default the first that is neither painted nor failed.
    """
    if status.fault:
        return f"The job is damaged: {status.fault}."
    if not status.looks:
        return "The job has no look yet."
    unfinished = (look.id for look in status.looks if look.state != "complete")
    look = look_id or next(unfinished, status.looks[0].id)
    if index is None:
        index = _next_unpainted(status, look)
    if index in status.keys.painted.get(look, frozenset()):
        return f"Segment {index} is painted."
    if index in status.keys.paint_failed.get(look, frozenset()):
        return _why_failed(status, look, index)
    if index not in status.keys.stored:
        return _why_not_stored(status, look, index)
    return _Waiting(status, tuple(workers), look, index).reason()


def _next_unpainted(status: JobStatus, look: str) -> int:
    ended = status.keys.painting_ended(look)
    return next((n for n in range(len(status.keys.stored) + 1) if n not in ended), 0)


def _retry(status: JobStatus) -> str:
    return f"`facepaint resume {status.job.id}` retries it"


def _why_failed(status: JobStatus, look: str, index: int) -> str:
    look_status = status.look(look)
    reason = look_status.reasons.get(index, "") if look_status else ""
    why = f" ({reason})" if reason else ""
    return f"Segment {index} failed{why}: {_retry(status)}."


def _why_not_stored(status: JobStatus, look: str, index: int) -> str:
    failed = len(status.keys.paint_failed.get(look, ()))
    if status.keys.sealed and failed:
        segments = counted(failed, "segment")
        return f"Everything is painted except {segments}, which failed: {_retry(status)}."
    if status.keys.sealed:
        return "Everything is painted."
    if status.state == "abandoned":
        return (
            f"The upload stopped {status.idle_s / 60:.0f} minutes ago: "
            f"`facepaint upload --resume {status.job.id} FILE` continues it, "
            f"`facepaint resume {status.job.id} --seal` finalizes it with what is stored."
        )
    return f"Segment {index} is being uploaded."


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A stored segment that is not painted with a look."""

    status: JobStatus
    workers: tuple[WorkerInfo, ...]
    look: str
    index: int

    def reason(self) -> str:
        """The first of the conditions of painting that is not met yet."""
        # In the order of the work: what comes first is what the user can act on.
        if not self.workers:
            return "No worker is running: `facepaint worker` starts one."
        return self._detection() or self._tracking() or self._painting()

    def _consumed(self, queue: str) -> bool:
        return any(queue in worker.queues for worker in self.workers)

    def _detection(self) -> str:
        """What face detection within reach is waiting for; empty if it has ended."""
        keys, index = self.status.keys, self.index
        ended = keys.detected | keys.detect_failed
        # Images do not depend on their neighbours.
        video = self.status.job.kind == "video"
        near = (index, index - 1, index + 1) if video else (index,)
        missing = next((n for n in near if n in keys.stored and n not in ended), None)
        if missing is not None:
            return self._detection_of(missing)
        if video and index + 1 not in keys.stored and not keys.sealed:
            return f"Segment {index} is waiting for the upload of the next segment."
        return ""

    def _detection_of(self, missing: int) -> str:
        if not self._consumed("detect"):
            return NO_DETECTING_WORKER
        running = f"detect-{missing:06d}" in self.status.claims
        state = "which is running" if running else "which has not started"
        if missing == self.index:
            return f"Segment {self.index} is waiting for face detection, {state}."
        side = "previous" if missing < self.index else "next"
        return f"Segment {self.index} is waiting for face detection in the {side} segment, {state}."

    def _needs_tracking(self) -> bool:
        status = self.status.look(self.look)
        # A look whose record cannot be read is reported by the task that paints it.
        return status is not None and status.look is not None and bool(status.look.people)

    def _tracking(self) -> str:
        """What person tracking is waiting for; empty if it has ended or the look needs none."""
        keys = self.status.keys
        if not self._needs_tracking() or keys.tracked or keys.tracking_failed:
            return ""
        waiting = f"Segment {self.index} is waiting for person tracking, which"
        if not keys.sealed:
            return f"{waiting} starts when the upload is complete."
        missing = len(keys.stored - keys.detected - keys.detect_failed)
        if missing:
            segments = counted(missing, "segment")
            return f"{waiting} starts when faces are detected in {segments} more."
        if not self._consumed("detect"):
            return NO_DETECTING_WORKER
        running = "track-000000" in self.status.claims
        return f"{waiting} {'is running' if running else 'has not started'}."

    def _painting(self) -> str:
        if f"paint-{self.look}-{self.index:06d}" in self.status.claims:
            return f"Segment {self.index} is being painted."
        if not self._consumed("paint"):
            return NO_PAINTING_WORKER
        return f"Segment {self.index} is ready and waiting for a worker to paint it."
