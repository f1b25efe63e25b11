"""Downloads third parties' detectors, complete and with the expected checksum, or not at all."""

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
"""Of each wait for the server, not of the whole download."""

CHUNK = 1 << 16


def pull(name: str) -> tuple[Path, DetectorCard]:
    """Download a detector into the cache unless it is there; returns its path and card.

    Raises:
        UsageError: no detector of that name can be downloaded, or the cache is not writable.
        ServiceError: the server does not answer, refuses, or breaks off.
        InputError: the checksum is wrong; the file is discarded.
    """
    if name not in REMOTE_DETECTORS:
        names = ", ".join(REMOTE_DETECTORS)
        raise UsageError(f"unknown detector '{name}'; available for download: {names}")
    remote = REMOTE_DETECTORS[name]
    path = fetched_path(remote)
    if is_intact(remote):
        return path, remote.card
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            sha256 = _download(remote, draft)
            if sha256 != remote.card.sha256:
                raise InputError(
                    f"{remote.url} serves other bytes than expected (sha256 {sha256[:12]}..., not "
                    f"{remote.card.sha256[:12]}...): nothing is kept; use your own file, PATH.onnx"
                )
    except OSError as exc:
        raise UsageError(
            f"{path.parent} cannot be written: {exc.strerror}; set FACEPAINT_HOME"
        ) from exc
    return path, remote.card


def _download(remote: RemoteDetector, draft: Path) -> str:
    """Download a file, no more than its expected size; returns its sha256."""
    digest, size = hashlib.sha256(), 0
    help_ = f"save it from elsewhere as {fetched_path(remote)}"
    try:
        with (
            urllib.request.urlopen(remote.url, timeout=TIMEOUT_S) as answer,  # noqa: S310 - ours
            draft.open("wb") as file,
        ):
            # One byte too many proves that the file is wrong; a server cannot fill the disk.
            while size <= remote.bytes and (chunk := answer.read(CHUNK)):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
    except urllib.error.HTTPError as exc:
        exc.close()
        raise ServiceError(
            f"{remote.url} is not given: the server answers {exc.code} {exc.reason}; {help_}"
        ) from exc
    except (OSError, HTTPException) as exc:  # URLError among them
        why = getattr(exc, "reason", None) or exc
        raise ServiceError(
            f"{remote.url} cannot be reached ({why}): is there a network? Else {help_}"
        ) from exc
    if size < remote.bytes:
        raise ServiceError(
            f"{remote.url} broke off after {size} of {remote.bytes} bytes; try again, or {help_}"
        )
    return digest.hexdigest()
