"""Makes responses: content in ranges, errors as JSON, and cache headers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

NO_STORE = {"Cache-Control": "no-store"}
NO_CACHE = {"Cache-Control": "no-cache"}

CACHE_LONG = "private, max-age=86400, immutable"
CACHE_REVALIDATED = "private, no-cache"

ReadBytes = Callable[[int, int], bytes]
"""Reads the bytes ``[first, stop)``."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a response sends, whole or in a range. ``immutable`` content never changes."""

    size: int
    read: ReadBytes
    etag: str
    mime: str
    immutable: bool = True


def send(request: Request, content: Content) -> Response:
    """Respond with the content or one range of it, or with 304 if the browser has it already."""
    etag = f'"{content.etag}"'
    headers = {
        "ETag": etag,
        "Cache-Control": CACHE_LONG if content.immutable else CACHE_REVALIDATED,
        "Accept-Ranges": "bytes",
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    requested = request.headers.get("range")
    # If-Range with another ETag: the browser's part is of older content, so it gets the whole.
    if requested is None or request.headers.get("if-range", etag) != etag:
        return Response(content.read(0, content.size), media_type=content.mime, headers=headers)
    span = parse_range(requested, content.size)
    if span is None:
        headers["Content-Range"] = f"bytes */{content.size}"
        return Response(status_code=416, headers=headers)
    first, stop = span
    headers["Content-Range"] = f"bytes {first}-{stop - 1}/{content.size}"
    return Response(content.read(first, stop), 206, media_type=content.mime, headers=headers)


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes ``[first, stop)`` of a Range header, or None if it is malformed or empty.

    Of several ranges the first is served, which RFC 9110 leaves to the server.
    """
    match = re.match(r"bytes=(\d{0,15})-(\d{0,15})", header)
    if match is None or not (match[1] or match[2]):
        return None
    first, stop = 0, size
    if not match[1]:
        first = max(0, size - int(match[2]))
    else:
        first = int(match[1])
        if match[2]:
            stop = min(size, int(match[2]) + 1)
    return (first, stop) if first < stop else None


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
