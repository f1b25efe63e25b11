"""The viewer's server: pages, the JSON that they load, and the media of `viewer.server.media`.

Endpoints are plain functions, which Starlette runs in its thread pool, because the storage's client
is synchronous.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from facepaint.errors import (
    FacepaintError,
    InputError,
    JobError,
    ObjectMissing,
    ServiceError,
    UnreadableMedia,
    UsageError,
)
from facepaint.settings import Settings
from facepaint.store import Store
from viewer.server import faces, media
from viewer.server.api import job_json, jobs_json
from viewer.server.cache import JobCache
from viewer.server.middleware import SecurityMiddleware, is_loopback
from viewer.server.request import cache_of, check_look_id, job_id_of
from viewer.server.response import NO_CACHE, NO_STORE, error_json, http_error

STATIC = Path(__file__).parents[1] / "static"

STATUS_OF: dict[type[Exception], int] = {
    UnreadableMedia: 422,
    InputError: 404,
    ObjectMissing: 404,
    UsageError: 404,
    ServiceError: 503,
    JobError: 409,
}
"""HTTP status by error, the first that matches; any other `FacepaintError` is a 500."""


def make_app(settings: Settings, store: Store | None = None) -> Starlette:
    """The ASGI app.

    If its address is a loopback address, it accepts requests to loopback host names only.
    """
    cache = JobCache(store or Store(settings))
    # In a container the server listens on all addresses; who reaches it depends on where its port
    # is published.
    host = settings.viewer_published_on or settings.viewer_host

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        cache.close()

    app = Starlette(
        routes=_routes(),
        lifespan=lifespan,
        middleware=[Middleware(SecurityMiddleware, host=host)],
        exception_handlers={FacepaintError: facepaint_error, HTTPException: http_error},
    )
    app.state.cache = cache
    app.state.people = faces.PeopleRequests(settings, allowed=is_loopback(host))
    return app


class NumberConvertor(Convertor[int]):
    """A number in a path. Six digits at most: no job has a million segments, and Python refuses to
    read numbers of thousands of digits."""

    regex = "[0-9]{1,6}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", NumberConvertor())


def _routes() -> list[Route | Mount]:
    return [
        Route("/", index_page),
        Route("/healthz", healthz),
        Route("/jobs/{job}", job_page),
        Route("/jobs/{job}/download", media.download),
        Route("/jobs/{job}/{look}/master.m3u8", media.playlist_master),
        Route("/jobs/{job}/{look}/video.m3u8", media.playlist_video),
        Route("/jobs/{job}/{look}/init.mp4", media.hls_init),
        Route("/jobs/{job}/{look}/{index:number}.m4s", media.hls_segment),
        Route("/jobs/{job}/{look}/audio-{track:number}.m3u8", media.playlist_audio),
        Route("/jobs/{job}/{look}/audio-{track:number}-init.mp4", media.hls_audio_init),
        Route("/jobs/{job}/{look}/audio-{track:number}-{index:number}.m4s", media.hls_audio),
        Route("/api/jobs", api_jobs),
        Route("/api/jobs/{job}", api_job),
        Route("/api/jobs/{job}/looks/{look}/segments/{index:number}", media.segment),
        Route("/api/jobs/{job}/audio/{track:number}/{index:number}", media.audio),
        Route("/api/jobs/{job}/looks", faces.post_look, methods=["POST"]),
        Route("/api/jobs/{job}/people", faces.people, methods=["GET"]),
        Route("/api/jobs/{job}/people", faces.post_people, methods=["POST"]),
        Route("/api/jobs/{job}/people/{person:number}/portrait", faces.portrait),
        Route("/api/jobs/{job}/tracks/{index:number}", faces.tracked_segment),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


def facepaint_error(_: Request, exc: Exception) -> Response:
    """A `FacepaintError` as JSON."""
    return error_json(exc, STATUS_OF)


def index_page(_: Request) -> Response:
    """The list of jobs."""
    return FileResponse(STATIC / "index.html", headers=NO_CACHE)


def job_page(request: Request) -> Response:
    """The page of a job. It is sent even for an error, because its script shows what is wrong."""
    status = 200
    try:
        cache_of(request).status(job_id_of(request))
    except FacepaintError as exc:
        status = facepaint_error(request, exc).status_code
    return FileResponse(STATIC / "job.html", status, headers=NO_CACHE)


def healthz(request: Request) -> Response:
    """200 if the storage answers."""
    # There is no such object: the answer shows that endpoint, bucket and credentials are right.
    cache_of(request).store.exists("healthz")
    return JSONResponse({"status": "ok"}, headers=NO_STORE)


def api_jobs(request: Request) -> Response:
    """The newest jobs."""
    return _uncached_json(jobs_json(cache_of(request)))


def api_job(request: Request) -> Response:
    """The state of one job: see `viewer.server.api.job_json`."""
    look = request.query_params.get("look")
    state = job_json(
        cache_of(request),
        job_id_of(request),
        check_look_id(look) if look else None,
        _number(request, "from") or 0,
        _number(request, "wait"),
    )
    return _uncached_json(state)


def _number(request: Request, name: str) -> int | None:
    """A segment number of the query string, or None."""
    # Up to six digits: no job has a million segments.
    text = request.query_params.get(name, "")
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _uncached_json(content: dict[str, Any]) -> Response:
    return JSONResponse(content, headers=NO_STORE)
