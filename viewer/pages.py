"""What the pages' servers have in common: their files, how their answers may be kept, errors as JSON."""

from collections.abc import Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

STATIC = Path(__file__).parent / "static"

NO_STORE = {"Cache-Control": "no-store"}
NO_CACHE = {"Cache-Control": "no-cache"}


def error_json(exc: Exception, status_of: Mapping[type[Exception], int]) -> Response:
    """One of our errors as JSON: its message is a plain sentence. The first kind that fits gives the status, or 500."""
    status = next((code for kind, code in status_of.items() if isinstance(exc, kind)), 500)
    return JSONResponse({"error": str(exc)}, status, headers=NO_STORE)


def http_error(_: Request, exc: Exception) -> Response:
    """A path or method that is not there, as JSON."""
    assert isinstance(exc, HTTPException)
    return JSONResponse({"error": exc.detail}, exc.status_code, headers={**NO_STORE, **(exc.headers or {})})
