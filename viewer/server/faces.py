"""Who is in a video, for its page: the people with their portraits, where each face is, and new
looks that name people.

Portraits are of the source, and a new look may show what another one hides: all of this is answered
only by a viewer on this machine's own address, to its own page.
"""

from dataclasses import dataclass
from functools import cached_property, partial
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
from facepaint.records.tracks import Person, TrackedFace, TrackedSegment
from facepaint.settings import Settings
from facepaint.store import Store
from viewer.server.cache import Board
from viewer.server.clock import Clock
from viewer.server.media import board_of, job_id_of
from viewer.server.pages import NO_STORE, asked_json

if TYPE_CHECKING:
    # Only named here: Celery is slow to import, and most viewers send nothing.
    from facepaint.queue import Queue

MAX_ASK_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Wish:
    """The look that a page asks for: filters as `parse_look` reads them, people by number."""

    filters: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    keep: Annotated[tuple[int, ...], Field(max_length=1000)] = ()
    only: Annotated[tuple[int, ...], Field(max_length=1000)] = ()


_WISH = TypeAdapter(Wish)


class Desk:
    """Takes what pages ask for, if it is ``open`` at all. The queue is made when something is first
    asked for."""

    def __init__(self, settings: Settings, *, open: bool) -> None:
        self._settings = settings
        self.open = open
        self._asked: dict[str, float] = {}
        """When the people of a job are to be asked for again, should they not be known by then."""

    def ask(self, store: Store, job_id: str) -> None:
        """Request the people of a job. Raises as `request_people`."""
        request_people(store, self.queue, job_id)
        self._asked[job_id] = monotonic() + self._settings.requeue_after_s

    def is_asked(self, store: Store, job_id: str, *, at_work: bool) -> bool:
        """Whether somebody has asked; what the broker may have lost since is asked for again."""
        if at_work:
            self._asked.setdefault(job_id, monotonic() + self._settings.requeue_after_s)
        if monotonic() >= self._asked.get(job_id, inf):
            self.ask(store, job_id)
        return job_id in self._asked

    def answered(self, job_id: str) -> None:
        """The people of a job are known: who they are may be forgotten and asked for anew."""
        self._asked.pop(job_id, None)

    @cached_property
    def queue(self) -> "Queue":
        """The queue; showing jobs needs none, and Celery is slow to import."""
        from facepaint.queue import Queue

        return Queue(self._settings)


def people(request: Request) -> Response:
    """Who is in a video. ``state`` is "made", "ready" to be asked for or "asked"; else ``why``
    tells.

    Of a person who is not ``portrayed`` there is no portrait (yet): they come last.
    """
    board, job_id = _own_board(request), job_id_of(request)
    status = board.status(job_id)
    told: dict[str, Any] = {
        "people": [],
        "filters": _filters(),
        "why": "",
        "workers": len(board.workers()),
    }
    try:
        found = find_people(board.store, job_id)
    except JobError as exc:
        return JSONResponse({**told, "state": "failed", "why": str(exc)}, headers=NO_STORE)
    if found is not None and isinstance(status.job, VideoJob):
        _desk(request).answered(job_id)
        clock = board.clock(status.job)
        portraits = {info.key for info in board.store.list(keys.portraits(job_id))}
        told["state"] = "made"
        told["people"] = [
            _person(clock, person, portrayed=keys.portrait(job_id, person.number) in portraits)
            for person in found.people
        ]
    elif why := why_not_tracked(status):
        told |= {"state": "waiting", "why": why}
    else:
        asked = _desk(request).is_asked(
            board.store, job_id, at_work="track-000000" in status.claims
        )
        told["state"] = "asked" if asked else "ready"
    return JSONResponse(told, headers=NO_STORE)


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
    """A person's portrait, a JPEG of the source: kept by no browser."""
    board, number = _own_board(request), int(request.path_params["person"])
    data = board.store.get(keys.portrait(job_id_of(request), number))
    return Response(data, media_type="image/jpeg", headers=NO_STORE)


def tracked(request: Request) -> Response:
    """Where the faces of a segment are: of each frame when it is shown, in seconds of the clock,
    and its faces.

    A face is the person's number and left, top, width, height as shares of the picture's.
    """
    board, job_id = _own_board(request), job_id_of(request)
    job = board.status(job_id).job
    if isinstance(job, ImageJob):
        raise InputError(f"job {job_id} is of pictures; only the faces of videos are followed")
    record = board.store.get_record(
        keys.tracked(job_id, int(request.path_params["index"])), TrackedSegment
    )
    clock, place = board.clock(job), partial(_place, job.video)
    frames = [
        [_seconds(clock, frame.pts), [place(face) for face in frame.faces]]
        for frame in record.frames
    ]
    return JSONResponse({"index": record.index, "frames": frames}, headers=NO_STORE)


async def ask_people(request: Request) -> Response:
    """Request the people of a job."""
    await _body(request)
    return await run_in_threadpool(_ask_people, request)


async def ask_look(request: Request) -> Response:
    """Have a job painted with another look, of ``filters``, and ``keep`` or ``only`` with the
    numbers of people."""
    return await run_in_threadpool(_ask_look, request, await _body(request))


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.faces
    return desk


def _own_board(request: Request) -> Board:
    """The board, where this viewer is for its own machine alone."""
    if not _desk(request).open:
        raise HTTPException(
            403, "faces are shown and chosen only in a viewer on this machine's own address"
        )
    return board_of(request)


async def _body(request: Request) -> bytes:
    _own_board(request)
    return await asked_json(request, "jobs", MAX_ASK_BYTES)


def _ask_people(request: Request) -> Response:
    board, job_id = _own_board(request), job_id_of(request)
    if why := why_not_tracked(board.status(job_id)):
        raise JobError(why)
    _desk(request).ask(board.store, job_id)
    return JSONResponse({"state": "asked"}, 202, headers=NO_STORE)


def _ask_look(request: Request, body: bytes) -> Response:
    job_id, look = job_id_of(request), look_of(body)
    try:
        added = repaint(_own_board(request).store, _desk(request).queue, job_id, look)
    except UsageError as exc:
        raise HTTPException(422, str(exc)) from exc
    return JSONResponse({"look": added}, 201, headers=NO_STORE)


def look_of(body: bytes) -> Look:
    """The look that a page asks for.

    Raises:
        HTTPException: 422, it is none, or names a file: the files of this machine are not the
            page's to name.
    """
    shape = "a look is filters, and the numbers of people to keep or to paint only"
    try:
        wish = _WISH.validate_json(body, strict=True)
        selection = FaceSelection(
            keep=tuple(sorted({*wish.keep})), only=tuple(sorted({*wish.only}))
        )
        look = parse_look(wish.filters, selection)
    except ValidationError as exc:
        raise HTTPException(422, shape) from exc
    except UsageError as exc:
        raise HTTPException(422, str(exc)) from exc
    if wish.keep and wish.only:
        raise HTTPException(422, shape)
    if any(spec.path for spec in look.filters):
        raise HTTPException(422, "a sticker of your own comes by `facepaint repaint`")
    return look


def _filters() -> list[dict[str, Any]]:
    """The filters that a page can ask for: all but those that need a file."""
    return [
        {"name": kind.name, "summary": kind.summary, "redacts": kind.redacts}
        for kind in CATALOGUE.values()
        if kind.option("sha256") is None
    ]


def _person(clock: Clock, person: Person, *, portrayed: bool) -> dict[str, Any]:
    return {
        "number": person.number,
        "first_s": _seconds(clock, person.first),
        "last_s": _seconds(clock, person.last),
        "best_s": _seconds(clock, person.best_pts),
        "low_confidence": person.low_confidence,
        "portrayed": portrayed,
    }


def _seconds(clock: Clock, pts: int) -> float:
    """When the frame at ``pts`` is shown: the first of all from 0 on."""
    return 0.0 if pts <= clock.start_pts else round(float(pts * clock.tick - clock.origin_s), 6)


def _place(video: VideoStream, face: TrackedFace) -> list[float]:
    """The person, and what is in the picture of the face's box."""
    across, down = video.upright_size
    left, right = (min(max(x / across, 0.0), 1.0) for x in face.box[::2])
    top, bottom = (min(max(y / down, 0.0), 1.0) for y in face.box[1::2])
    return [face.person, *(round(share, 4) for share in (left, top, right - left, bottom - top))]
