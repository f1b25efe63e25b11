"""Fetch the detectors of others that are known by name: whole and as they were when they were
chosen, or not at all."""

import hashlib
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from facepaint.detectors.registry import REMOTE_DETECTORS, RemoteDetector, fetched_path, is_intact
from facepaint.errors import InputError, ServiceError, UsageError
from facepaint.files import atomic_write
from facepaint.records.detector_card import DetectorCard

TIMEOUT_S = 30
"""Of each wait for the server, not of the whole."""

CHUNK = 1 << 16


def pull(name: str) -> tuple[Path, DetectorCard]:
    """Fetch a known detector into the cache, unless it is there; returns where it is, and its card.

    Raises:
        UsageError: no detector of that name can be fetched.
        ServiceError: its server does not answer, refuses, or breaks off.
        InputError: what came is not what was chosen: it is thrown away.
    """
    if name not in REMOTE_DETECTORS:
        names = ", ".join(REMOTE_DETECTORS)
        raise UsageError(f"no detector '{name}' can be fetched; there are {names}")
    known = REMOTE_DETECTORS[name]
    path = fetched_path(known)
    if is_intact(known):
        return path, known.card
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            sha256 = _download(known, draft)
            if sha256 != known.card.sha256:
                raise InputError(
                    f"{known.url} serves other bytes than expected (sha256 {sha256[:12]}..., not "
                    f"{known.card.sha256[:12]}...): nothing is kept; use a file of yours, PATH.onnx"
                )
    except OSError as exc:
        raise UsageError(
            f"{path.parent} cannot be written: {exc.strerror}; set FACEPAINT_HOME"
        ) from exc
    return path, known.card


def _download(known: RemoteDetector, draft: Path) -> str:
    """Write what a URL gives to a file, no more than it should be; returns its sha256."""
    digest, size = hashlib.sha256(), 0
    help_ = f"save it from elsewhere as {fetched_path(known)}"
    try:
        with (
            urllib.request.urlopen(known.url, timeout=TIMEOUT_S) as answer,  # noqa: S310 - ours
            draft.open("wb") as file,
        ):
            while size <= known.bytes and (chunk := answer.read(CHUNK)):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
    except urllib.error.HTTPError as exc:
        exc.close()
        raise ServiceError(
            f"{known.url} is not given: the server answers {exc.code} {exc.reason}; {help_}"
        ) from exc
    except (OSError, HTTPException) as exc:  # URLError among them
        why = getattr(exc, "reason", None) or exc
        raise ServiceError(
            f"{known.url} cannot be reached ({why}): is there a network? Else {help_}"
        ) from exc
    if size < known.bytes:
        raise ServiceError(
            f"{known.url} broke off after {size} of {known.bytes} bytes; try again, or {help_}"
        )
    return digest.hexdigest()
