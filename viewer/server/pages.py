"""Shared by the server's modules: static files, cache headers, errors as JSON, request bodies."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

STATIC = Path(__file__).parents[1] / "static"

NO_STORE = {"Cache-Control": "no-store"}
NO_CACHE = {"Cache-Control": "no-cache"}


def error_json(exc: Exception, status_of: Mapping[type[Exception], int]) -> Response:
    """An error's message as JSON; the first class in ``status_of`` that matches gives the
    status."""
    status = next((code for cls, code in status_of.items() if isinstance(exc, cls)), 500)
    return JSONResponse({"error": str(exc)}, status, headers=NO_STORE)


def http_error(_: Request, exc: Exception) -> Response:
    """An `HTTPException` as JSON, such as one for an unknown path or method."""
    assert isinstance(exc, HTTPException)
    return JSONResponse(
        {"error": exc.detail}, exc.status_code, headers={**NO_STORE, **(exc.headers or {})}
    )


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
