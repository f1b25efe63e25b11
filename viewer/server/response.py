"""Makes responses: content in ranges, errors as JSON, and cache headers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

NO_STORE = {"Cache-Control": "no-store"}
NO_CACHE = {"Cache-Control": "no-cache"}

CACHE_SHORT = "private, max-age=600, immutable"
CACHE_REVALIDATED = "private, no-cache"

MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
"""The types of stored results by suffix. No other is ever sent: a forged name must not become a
page of this origin."""

SANDBOX = {"Content-Security-Policy": "sandbox; default-src 'none'"}
"""For media: opened as a page, they may run nothing."""

ReadBytes = Callable[[int, int], bytes]
"""Reads the bytes ``[first, stop)``."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a response sends, whole or in a range.

    ``immutable`` content never changes. ``private`` content is of a redacting look: no browser may
    keep it, so that it is gone with its job.
    """

    size: int
    read: ReadBytes
    etag: str
    mime: str
    immutable: bool = True
    private: bool = False


def send(request: Request, content: Content) -> Response:
    """Respond with the content or one range of it, or with 304 if the browser has it already."""
    etag = f'"{content.etag}"'
    headers = {
        **SANDBOX,
        **(NO_STORE if content.private else {"Cache-Control": _caching(content)}),
        "ETag": etag,
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


def _caching(content: Content) -> str:
    return CACHE_SHORT if content.immutable else CACHE_REVALIDATED


def media_type(name: str) -> str:
    """The media type of a stored result by its name."""
    return MEDIA_TYPES.get(PurePath(name).suffix.lower(), "application/octet-stream")


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
