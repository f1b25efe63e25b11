"""What the server's modules share: static files, how answers may be kept, errors as JSON, request
bodies."""

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
    """One of our errors as JSON: its message is a plain sentence. The first kind that fits gives
    the status, or 500."""
    status = next((code for kind, code in status_of.items() if isinstance(exc, kind)), 500)
    return JSONResponse({"error": str(exc)}, status, headers=NO_STORE)


def http_error(_: Request, exc: Exception) -> Response:
    """A path or method that is not there, as JSON."""
    assert isinstance(exc, HTTPException)
    return JSONResponse(
        {"error": exc.detail}, exc.status_code, headers={**NO_STORE, **(exc.headers or {})}
    )


async def asked_json(request: Request, what: str, max_bytes: int) -> bytes:
    """The body of a request that changes something; ``what`` is changed, in words for the refusal.

    Refused is what another site's page has the browser ask for: browsers name the asking page's
    origin, and newer ones how it stands to ours (Origin; Sec-Fetch-Site of W3C's Fetch Metadata).
    Only JSON is taken, which no form can send.
    """
    origin = request.headers.get("origin")
    elsewhere = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if elsewhere or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, f"{what} are changed by their own page only")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, f"{what} are changed by JSON")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            size = f"{max_bytes >> 20} MiB" if max_bytes >> 20 else f"{max_bytes >> 10} KiB"
            raise HTTPException(413, f"{what} are changed by at most {size} at once")
    return bytes(body)
