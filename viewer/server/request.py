"""Reads requests: the ids in their path, and the JSON in their body."""

from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from facepaint.errors import UsageError
from facepaint.records.keys import LOOK_ID, check_job_id
from viewer.server.cache import JobCache


def cache_of(request: Request) -> JobCache:
    """The app's cache of jobs."""
    cache: JobCache = request.app.state.cache
    return cache


def job_id_of(request: Request) -> str:
    """The job id in the path, checked because it becomes part of a key."""
    return check_job_id(request.path_params["job"])


def check_look_id(text: str) -> str:
    """Return ``text`` if it is a look id, else raise `UsageError`: it becomes part of a key."""
    if not LOOK_ID.fullmatch(text):
        raise UsageError(f"'{text}' is not a look id; `facepaint status` lists a job's looks")
    return text


async def read_json(request: Request, max_bytes: int) -> bytes:
    """The body of a request that changes something.

    Requests that another site's page makes the browser send are refused (cross-site request
    forgery): by the Origin header, and by Sec-Fetch-Site (W3C Fetch Metadata) where the browser
    sends it. Only JSON is accepted, which HTML forms cannot send.

    Raises:
        HTTPException: the request is refused (403), is not JSON (415) or is too large (413).
    """
    origin = request.headers.get("origin")
    # "null", which sandboxed frames send, has no host and so differs from ours.
    is_foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if is_foreign or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "jobs are changed from the viewer's own pages only")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if media_type != "application/json":
        raise HTTPException(415, "the request body must be JSON")
    # The bytes are counted, as Content-Length may be missing or wrong.
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, f"the request body exceeds {max_bytes >> 10} KiB")
    return bytes(body)
