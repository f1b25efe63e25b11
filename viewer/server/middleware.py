"""What every answer of the viewer gets: a check of the name it was asked under, and headers that
keep pages ours."""

import ipaddress
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware. ``host`` is the address the server listens on.

    A page of a stranger may have its own name resolve to 127.0.0.1 and then read what is served
    there as its own (DNS rebinding). Its name still stands in the Host header, so on loopback only
    loopback names are answered.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._loopback_only = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if self._loopback_only and not is_loopback(host_name(Headers(scope=scope).get("host", ""))):
            refusal = JSONResponse(
                {"error": "this viewer answers under 127.0.0.1 and localhost only"}, 421
            )
            await refusal(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def host_name(header: str) -> str:
    """The name in a Host header, without port and brackets; '' if it is malformed."""
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?", header)
    return (match[1] or match[2] or "") if match else ""


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
