"""The people of a video for its page: their portraits, where each face is, and new looks that name
people.

Portraits show the source, and a new look can show what another one redacts. So all of this is for a
viewer on a loopback address only, and for its own page only.
"""

from dataclasses import dataclass
from functools import cached_property
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from facepaint.errors import InputError, JobError, UsageError
from facepaint.jobs.people import find_people, request_people
from facepaint.jobs.repaint import repaint
from facepaint.jobs.status import JobStatus
from facepaint.looks.catalogue import CATALOGUE
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.looks.selection import FaceSelection
from facepaint.records import keys
from facepaint.records.job import ImageJob, VideoJob, VideoStream
from facepaint.records.tracks import People, TrackedFace, TrackedSegment
from facepaint.settings import Settings
from facepaint.store import Store
from viewer.server.cache import JobCache
from viewer.server.clock import Clock
from viewer.server.request import cache_of, job_id_of, read_json
from viewer.server.response import NO_STORE, SANDBOX

if TYPE_CHECKING:
    # Celery takes long to import, and most viewers never send a task.
    from facepaint.queue import Queue

MAX_REQUEST_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class LookRequest:
    """A look as a page requests it: filters as `parse_look` reads them, people by number."""

    filters: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    keep: Annotated[tuple[int, ...], Field(max_length=1000)] = ()
    only: Annotated[tuple[int, ...], Field(max_length=1000)] = ()


_LOOK_REQUEST = TypeAdapter(LookRequest)


class PeopleRequests:
    """Sends the tasks that pages request: person tracking and new looks.

    Args:
        settings: of the broker, and how long a request for tracking may take until it is repeated.
        allowed: whether this viewer shows faces and accepts requests at all.
    """

    def __init__(self, settings: Settings, *, allowed: bool) -> None:
        self._settings = settings
        self.allowed = allowed
        # When to request the people of a job again, as the broker may lose the task.
        self._repeat_at: dict[str, float] = {}

    def request(self, store: Store, job_id: str) -> None:
        """Request the people of a job. Raises as `request_people`."""
        request_people(store, self.queue, job_id)
        self._repeat_at[job_id] = monotonic() + self._settings.requeue_after_s

    def is_requested(self, store: Store, job_id: str, *, is_tracking: bool) -> bool:
        """Whether the people of a job are requested. Repeats a request that has taken too long.

        ``is_tracking``: a worker is tracking them, so somebody requested them, maybe by command.
        """
        if is_tracking:
            self._repeat_at.setdefault(job_id, monotonic() + self._settings.requeue_after_s)
        if monotonic() >= self._repeat_at.get(job_id, inf):
            self.request(store, job_id)
        return job_id in self._repeat_at

    def finish(self, job_id: str) -> None:
        """Drop the request, as the people are stored. They can be requested again if deleted."""
        self._repeat_at.pop(job_id, None)

    @cached_property
    def queue(self) -> "Queue":
        """The queue, made when the first task is sent."""
        from facepaint.queue import Queue

        return Queue(self._settings)


def people(request: Request) -> Response:
    """The people of a video and the filters of a new look.

    ``state`` is ``tracked``, ``ready`` to be requested, ``requested``, ``waiting`` or ``failed``;
    ``reason`` explains the last two. A person without ``has_portrait`` has none, or none yet.
    """
    cache, job_id = _allowed_cache(request), job_id_of(request)
    status = cache.status(job_id)
    content: dict[str, Any] = {
        "people": [],
        "filters": _filters(),
        "reason": "",
        "workers": len(cache.workers()),
    }
    try:
        found = find_people(cache.store, job_id)
    except JobError as exc:
        content |= {"state": "failed", "reason": str(exc)}
        return JSONResponse(content, headers=NO_STORE)
    requests = _requests(request)
    if found is not None and isinstance(status.job, VideoJob):
        requests.finish(job_id)
        content |= {"state": "tracked", "people": _people_json(cache, status.job, found)}
    elif reason := why_not_tracked(status):
        content |= {"state": "waiting", "reason": reason}
    else:
        is_tracking = "track-000000" in status.claims
        requested = requests.is_requested(cache.store, job_id, is_tracking=is_tracking)
        content["state"] = "requested" if requested else "ready"
    return JSONResponse(content, headers=NO_STORE)


def why_not_tracked(status: JobStatus) -> str:
    """Why the people of a job cannot be tracked yet, in a sentence; empty if they can."""
    if isinstance(status.job, ImageJob):
        return "people are recognized in videos only, not in images"
    if status.total is None:
        resume = f"; `facepaint upload --resume {status.job.id} FILE` continues it"
        stopped = status.state == "abandoned"
        return f"people are tracked when the upload is complete{resume if stopped else ''}"
    done = status.detected + status.detect_failed
    if done < status.total:
        return (
            "people are tracked when face detection has finished: "
            f"{done} of {status.total} segments"
        )
    return ""


def portrait(request: Request) -> Response:
    """A person's portrait, a JPEG of the source. No browser may cache it."""
    cache, number = _allowed_cache(request), int(request.path_params["person"])
    data = cache.store.get(keys.portrait(job_id_of(request), number))
    return Response(data, media_type="image/jpeg", headers={**NO_STORE, **SANDBOX})


def tracked_segment(request: Request) -> Response:
    """The faces of each frame of a segment, with the frame's time in seconds on the clock.

    A face is the person's number and the left, top, width and height of its box as shares of the
    frame's width and height.
    """
    cache, job_id = _allowed_cache(request), job_id_of(request)
    job = cache.status(job_id).job
    if isinstance(job, ImageJob):
        raise InputError(f"job {job_id} is a list of images; faces are tracked in videos only")
    key = keys.tracked(job_id, int(request.path_params["index"]))
    record = cache.store.get_record(key, TrackedSegment)
    clock = cache.clock(job)
    frames = [
        [_seconds(clock, frame.pts), [_face_json(job.video, face) for face in frame.faces]]
        for frame in record.frames
    ]
    return JSONResponse({"index": record.index, "frames": frames}, headers=NO_STORE)


async def post_people(request: Request) -> Response:
    """Request the people of a job."""
    await _read_body(request)
    return await run_in_threadpool(_post_people, request)


async def post_look(request: Request) -> Response:
    """Render a job with another look: see `LookRequest`."""
    return await run_in_threadpool(_post_look, request, await _read_body(request))


def _requests(request: Request) -> PeopleRequests:
    requests: PeopleRequests = request.app.state.people
    return requests


def _allowed_cache(request: Request) -> JobCache:
    """The cache of jobs, if this viewer may show faces."""
    if not _requests(request).allowed:
        raise HTTPException(
            403, "faces are shown and selected only in a viewer on a loopback address"
        )
    return cache_of(request)


async def _read_body(request: Request) -> bytes:
    _allowed_cache(request)
    return await read_json(request, MAX_REQUEST_BYTES)


def _post_people(request: Request) -> Response:
    cache, job_id = _allowed_cache(request), job_id_of(request)
    if reason := why_not_tracked(cache.status(job_id)):
        raise JobError(reason)
    _requests(request).request(cache.store, job_id)
    return JSONResponse({"state": "requested"}, 202, headers=NO_STORE)


def _post_look(request: Request, body: bytes) -> Response:
    job_id, look = job_id_of(request), look_of(body)
    store, queue = _allowed_cache(request).store, _requests(request).queue
    missing = next((s for s in look.stickers if not store.exists(keys.sticker(s))), None)
    if missing is not None:
        raise HTTPException(422, f"sticker {missing[:12]} is not stored: use `facepaint repaint`")
    try:
        added = repaint(store, queue, job_id, look)
    except UsageError as exc:
        raise HTTPException(422, str(exc)) from exc
    return JSONResponse({"look": added}, 201, headers=NO_STORE)


def look_of(body: bytes) -> Look:
    """The look that a page requests.

    Raises:
        HTTPException: 422, the body is no valid `LookRequest`, or it names a file. A page must not
            read files of this machine.
    """
    usage = "a look needs filters, and may name people in either `keep` or `only`"
    try:
        # Strict: "1" and true are no numbers of people.
        requested = _LOOK_REQUEST.validate_json(body, strict=True)
        # In order and without repetition, so that one selection gives one look id.
        selection = FaceSelection(
            keep=tuple(sorted(set(requested.keep))), only=tuple(sorted(set(requested.only)))
        )
        look = parse_look(requested.filters, selection)
    except ValidationError as exc:
        raise HTTPException(422, usage) from exc
    except UsageError as exc:
        raise HTTPException(422, str(exc)) from exc
    if requested.keep and requested.only:
        raise HTTPException(422, usage)
    if any(spec.path for spec in look.filters):
        raise HTTPException(422, "use `facepaint repaint` to add a sticker from a file")
    return look


def _filters() -> list[dict[str, Any]]:
    """The filters that a page can request: all but those that need a file."""
    return [
        {"name": kind.name, "summary": kind.summary, "redacts": kind.redacts}
        for kind in CATALOGUE.values()
        if kind.option("sha256") is None
    ]


def _people_json(cache: JobCache, job: VideoJob, people: People) -> list[dict[str, Any]]:
    clock = cache.clock(job)
    # One listing instead of a request for each person.
    portraits = {info.key for info in cache.store.list(keys.portraits(job.id))}
    return [
        {
            "number": person.number,
            "first_s": _seconds(clock, person.first),
            "last_s": _seconds(clock, person.last),
            "best_s": _seconds(clock, person.best_pts),
            "low_confidence": person.low_confidence,
            "has_portrait": keys.portrait(job.id, person.number) in portraits,
        }
        for person in people.people
    ]


def _seconds(clock: Clock, pts: int) -> float:
    """When the frame at ``pts`` is shown; the first frame is shown from 0 on."""
    return 0.0 if pts <= clock.start_pts else round(float(pts * clock.tick - clock.origin_s), 6)


def _face_json(video: VideoStream, face: TrackedFace) -> list[float]:
    """The person's number, and the visible part of the face's box as shares of the frame."""
    width, height = video.square_size
    left, right = (min(max(x / width, 0.0), 1.0) for x in face.box[::2])
    top, bottom = (min(max(y / height, 0.0), 1.0) for y in face.box[1::2])
    return [face.person, *(round(share, 4) for share in (left, top, right - left, bottom - top))]
