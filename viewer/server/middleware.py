"""Checks of every request's host name, and security headers of every response."""

import ipaddress
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        # The video element plays a MediaSource through a blob URL.
        "media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityMiddleware:
    """ASGI middleware that adds `HEADERS` and refuses DNS rebinding.

    A foreign page can let its own host name resolve to 127.0.0.1 and then read this server as its
    own origin (DNS rebinding). Such requests carry the foreign name in the Host header. So a server
    whose address ``host`` is a loopback address accepts loopback names only.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._loopback_only = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    # Media have a stricter policy of their own.
                    headers.setdefault(name, value)
            await send(message)

        if self._loopback_only and not is_loopback(host_name(Headers(scope=scope).get("host", ""))):
            # 421 Misdirected Request (RFC 9110): not a server of that name.
            refusal = JSONResponse(
                {"error": "this viewer accepts the host names 127.0.0.1 and localhost only"}, 421
            )
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def host_name(header: str) -> str:
    """The name in a Host header without port and brackets, or '' if it is malformed."""
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?", header)
    return (match[1] or match[2] or "") if match else ""


def is_loopback(host: str) -> bool:
    """Whether a name or address is a loopback address."""
    # No other name: any of them may resolve to a loopback address.
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
