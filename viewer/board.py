"""What the page knows about jobs: read from the storage, kept for a moment so that many tabs cost no more than one."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from facepaint.errors import FacepaintError, InputError, ObjectMissing
from facepaint.jobs import Job, Painted, Segment, WorkerInfo, keys
from facepaint.status import (
    JobStatus,
    JobSummary,
    Known,
    alive_workers,
    in_parallel,
    job_status,
    list_jobs,
    why_waiting,
)
from facepaint.store import Store
from viewer.audio import copy_mime

FRESH_S = 1.0
"""A status younger than this is not read again."""

SETTLED_S = 10.0
"""The same for a job that is complete."""

COST_SHARE = 4.0
"""Reading a status may take at most one part in so many of the time: long jobs are listed less often."""

JOBS_KEPT = 64
JOBS_SHOWN = 100
RECORDS_KEPT = 4096
WINDOWS_A_CALL = 400
"""Records read at most for one answer; a long job's windows come over several."""

T = TypeVar("T")
K = TypeVar("K")


class _Fresh(Generic[T]):
    """A value read by one caller at a time and kept for a while, an error of ours as well.

    ``settled`` says of a value that it will hardly change.
    """

    def __init__(self, read: Callable[[], T], settled: Callable[[T], bool] = lambda _: False) -> None:
        self._read = read
        self._settled = settled
        self._lock = threading.Lock()
        self._until = 0.0
        self._outcome: T | FacepaintError | None = None

    def get(self) -> T:
        with self._lock:
            if time.monotonic() >= self._until or self._outcome is None:
                begun = time.monotonic()
                keep_s = FRESH_S
                try:
                    self._outcome = self._read()
                    keep_s = SETTLED_S if self._settled(self._outcome) else FRESH_S
                except FacepaintError as exc:
                    self._outcome = exc
                ended = time.monotonic()
                self._until = ended + max(keep_s, COST_SHARE * (ended - begun))
            if isinstance(self._outcome, FacepaintError):
                raise self._outcome
            return self._outcome


class _Recent(Generic[K, T]):
    """The most recently used values, at most ``size`` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: OrderedDict[K, T] = OrderedDict()

    def get(self, key: K, make: Callable[[], T]) -> T:
        """The value under the key; ``make`` may run twice where two threads ask at once, the first result stays."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            value = self._values.setdefault(key, value)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
            return value

    def forget(self, key: K) -> None:
        with self._lock:
            self._values.pop(key, None)


Window = tuple[float, float]
"""Start and end of a segment in seconds from the job's first picture."""


@dataclass(slots=True)
class _Followed:
    """One job somebody looks at. Records of segments never change, so what was read of them is kept."""

    status: _Fresh[JobStatus]
    windows: dict[int, Window] = field(default_factory=dict)


class Board:
    """Reads jobs for the page; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._jobs = _Fresh(lambda: list_jobs(store, limit=JOBS_SHOWN))
        self._workers = _Fresh(lambda: alive_workers(store))
        self._followed: _Recent[str, _Followed] = _Recent(JOBS_KEPT)
        self._records: _Recent[tuple[str, str, int], Painted] = _Recent(RECORDS_KEPT)

    def jobs(self) -> list[JobSummary]:
        """The newest jobs."""
        return self._jobs.get()

    def workers(self) -> list[WorkerInfo]:
        """The workers that are running."""
        return self._workers.get()

    def status(self, job_id: str, look: str | None = None) -> JobStatus:
        """A job's status, at most a moment old, and knowing of a look that somebody asks for.

        Raises:
            UnknownJob: there is no such job.
            InputError: the job has no such look.
        """
        status = self._follow(job_id).status.get()
        if look is not None and status.look(look) is None:
            self._followed.forget(job_id)
            status = self._follow(job_id).status.get()
            if status.look(look) is None:
                raise InputError(f"job {job_id} has no look {look}; `facepaint status {job_id}` lists them")
        return status

    def _follow(self, job_id: str) -> _Followed:
        known: Known = {}

        def read() -> JobStatus:
            return job_status(self.store, job_id, known=known)

        return self._followed.get(job_id, lambda: _Followed(_Fresh(read, lambda status: status.state == "complete")))

    def painted(self, job_id: str, look: str, index: int) -> Painted:
        """The record of a painted segment.

        Raises:
            ObjectMissing: the segment is not painted.
        """
        key = (job_id, look, index)
        return self._records.get(key, lambda: self.store.get_record(keys.painted(*key), Painted))

    def forget_painted(self, job_id: str, look: str, index: int) -> None:
        """Read that record anew when it is next asked for."""
        self._records.forget((job_id, look, index))

    def windows(self, job: Job, indexes: Sequence[int], limit: int | None = None) -> list[Window]:
        """The windows of stored segments, as many as are known after reading at most ``limit`` records more."""
        if job.video is None:
            return []
        known = self._follow(job.id).windows
        unread = [index for index in indexes if index not in known][:limit]
        origin, tick = job.start_pts, job.video.time_base

        def read(index: int) -> None:
            record = self.store.get_record(keys.segment(job.id, index), Segment)
            known[index] = (float((record.start - origin) * tick), float((record.end - origin) * tick))

        in_parallel(read, unread)
        found = []
        for index in indexes:
            if index not in known:
                break
            found.append(known[index])
        return found


def job_row(board: Board, summary: JobSummary) -> dict[str, Any]:
    """One job of the list as JSON."""
    if summary.job is None:
        return {"id": summary.id, "fault": summary.fault}
    try:
        status = board.status(summary.id)
    except FacepaintError as exc:  # one job that cannot be read, or is just being deleted, hides no other
        return {"id": summary.id, "name": summary.job.source.name, "fault": str(exc)}
    return {
        "id": summary.id,
        "name": _name(status.job),
        "kind": status.job.kind,
        "created": status.job.created.isoformat(),
        "state": status.state,
        "duration_s": status.job.duration_s,
        "total": status.total,
        "stored": status.stored,
        "detected": status.detected + status.undetected,
        "looks": [_look_json(status, look.id) for look in status.looks],
    }


def job_json(board: Board, job_id: str, look: str | None, windows_from: int, wait: int | None) -> dict[str, Any]:
    """All that the page of a job needs, in one answer.

    ``look`` None takes the first. Windows of segments are given from ``windows_from`` on, so that an answer stays
    short; ``wait`` is the segment the player waits for, looked up at once even where the status is not fresh.

    Raises:
        FacepaintError: see `Board.status`.
    """
    status = board.status(job_id, look)
    job = status.job
    chosen = look or next((found.id for found in status.looks), None)
    painted = set(status.keys.painted.get(chosen or "", ()))
    if chosen is not None and wait is not None and wait not in painted and _is_painted(board, job_id, chosen, wait):
        painted.add(wait)
    indexes = range(windows_from, _run_length(status.keys.stored))
    windows = board.windows(job, indexes, WINDOWS_A_CALL)
    waiting_for = wait if wait is not None and wait not in painted else None
    return {
        "id": job.id,
        "name": _name(job),
        "kind": job.kind,
        "created": job.created.isoformat(),
        "state": status.state,
        "total": status.total,
        "truncated": status.truncated,
        "duration_s": job.duration_s,
        "look": chosen,
        "looks": [_look_json(status, found.id) for found in status.looks],
        "segments": {
            "stored": ranges(status.keys.stored),
            "detected": ranges(status.keys.detected | status.keys.undetected),
            "painted": ranges(painted),
            "failed": ranges(status.keys.unpainted.get(chosen or "", frozenset()) - painted),
        },
        "windows": {"from": windows_from, "times": [[round(start, 6), round(end, 6)] for start, end in windows]},
        "video": _video_json(board, status, chosen, painted),
        "audio": [{"language": track.language, "title": track.title, "mime": copy_mime(track)} for track in job.audio],
        "pictures": list(job.pictures),
        "workers": len(board.workers()),
        "waiting": why_waiting(status, board.workers(), chosen, waiting_for),
    }


def ranges(indexes: Iterable[int]) -> list[list[int]]:
    """A set of indexes as runs ``[first, last]``, both included."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return runs


def _is_painted(board: Board, job_id: str, look: str, index: int) -> bool:
    try:
        board.painted(job_id, look, index)
    except ObjectMissing:
        return False
    return True


def _run_length(stored: frozenset[int]) -> int:
    """How many segments from the first on are stored without a gap."""
    length = 0
    while length in stored:
        length += 1
    return length


def _name(job: Job) -> str:
    """What to call a job: its file, or the first of its pictures and how many there are."""
    if job.kind == "pictures" and len(job.pictures) > 1:
        return f"{job.pictures[0]} and {len(job.pictures) - 1} more"
    return job.source.name


def _look_json(status: JobStatus, look_id: str) -> dict[str, Any]:
    look = status.look(look_id)
    assert look is not None
    return {
        "id": look_id,
        "title": str(look.look) if look.look else look_id,
        "state": look.state,
        "painted": look.painted,
        "failed": look.failed,
        "blank": look.blank,
    }


def _video_json(board: Board, status: JobStatus, look: str | None, painted: set[int]) -> dict[str, Any] | None:
    video = status.job.video
    if video is None:
        return None
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
