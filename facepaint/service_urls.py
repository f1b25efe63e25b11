"""Checks the URLs of broker and storage. No message shows a URL, which may contain a password."""

import re
from urllib.parse import quote, unquote

SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
"""The broker's schemes, and those by which Celery knows them."""

_HOST = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?"
_ADDRESS = re.compile(_HOST + r"(/(?P<database>[0-9]*))?")
_ENDPOINT = re.compile(r"https?://" + _HOST + r"(/[^?#\s]*)?")


def broker_url(text: str) -> str:
    """A broker's URL with a scheme of Celery, and user and password percent-encoded.

    Up to the last ``@`` any character may be in the password, encoded or not.

    Raises:
        ValueError: the URL is not that of one Redis or Valkey server.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise ValueError(_scheme_fault(scheme if separator else ""))
    login, at, address = rest.rpartition("@")
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"] or 0) > 65535:
        raise ValueError(
            "must be redis://USER:PASSWORD@HOST:PORT/DATABASE, where DATABASE is a number and only "
            "HOST is required"
        )
    user, colon, password = (_encoded(part) for part in login.partition(":"))
    colon = ":" if colon else ""
    port = f":{match['port']}" if match["port"] else ""
    database = match["database"] or "0"
    return (
        f"{SCHEMES[scheme.lower()]}://{user}{colon}{password}{at}{match['host']}{port}/{database}"
    )


def without_login(url: str) -> str:
    """A broker's URL without user name and password, for messages."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def storage_url(text: str) -> str:
    """The URL of an object storage, without spaces around it.

    Raises:
        ValueError: it is no HTTP URL of a server, or has a user name or a query.
    """
    url = text.strip()
    match = _ENDPOINT.fullmatch(url)
    if match is None or int(match["port"] or 0) > 65535:
        raise ValueError(
            "must be http://HOST:PORT or https://HOST:PORT; FACEPAINT_S3_ACCESS_KEY and "
            "FACEPAINT_S3_SECRET_KEY are the login"
        )
    return url


def _scheme_fault(scheme: str) -> str:
    if scheme == "sentinel":
        return "Sentinel is not supported: give the URL of the primary, redis://HOST:PORT/0"
    return "must begin with redis://, rediss://, valkey:// or valkeys://"


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="")
