"""Which detector a job's faces are found with: one that ships, or one that was stored with the
job."""

import hashlib
import os
import tempfile
import time
from functools import lru_cache
from pathlib import Path

from facepaint.detectors.registry import MAX_BYTES
from facepaint.errors import InputError, ObjectMissing, UsageError
from facepaint.files import write_bytes
from facepaint.records import keys
from facepaint.records.detector_card import DetectorCard
from facepaint.records.job import DetectorSpec
from facepaint.settings import cache_folder
from facepaint.store import Store
from models import DetectorModel, shipped_model
from models.detector import Detector, size_for
from models.providers import Runtime

MOST_KEPT_BYTES = 2**30
"""What the fetched detectors on this machine may take; those unused for longest go first."""


def card_of(spec: DetectorSpec) -> DetectorCard | None:
    """The card of a job's detector; None for one that shipped once and does no more."""
    try:
        return spec.card or shipped_model(spec.name).card
    except UsageError:
        return None


def model_of(spec: DetectorSpec, store: Store) -> DetectorModel:
    """The detector of a job, fetched from the storage unless it ships or is here already.

    Raises:
        UsageError: it is none of those that ship, and was not stored.
        InputError: what is stored is something else than the job names.
        StoreUnreachable: the storage does not answer.
    """
    if spec.card is None:
        return shipped_model(spec.name)
    sha256 = spec.card.sha256
    if not sha256:
        raise UsageError(f"the job's detector '{spec.card.name}' names no weights: upload it again")
    path = _kept_folder() / f"{sha256}.onnx"
    if not _is_intact(path, sha256):
        _fetch(store, spec.card, path)
    return DetectorModel(path, spec.card)


@lru_cache(maxsize=4)
def load_detector(
    model: DetectorModel, min_face: float, width: int, height: int, runtime: Runtime
) -> Detector:
    """The detector for upright frames of a size; remembered, because making one takes longer than
    using it."""
    return Detector(model, size_for(model, width, height, min_face), runtime)


def _is_intact(path: Path, sha256: str) -> bool:
    """Whether a fetched detector is here, whole; from now on it is the one last used."""
    try:
        changed_ns = path.stat().st_mtime_ns
        os.utime(path, ns=(time.time_ns(), changed_ns))
        return _sha256(path, changed_ns) == sha256
    except FileNotFoundError:
        return False


@lru_cache(maxsize=4)
def _sha256(path: Path, changed_ns: int) -> str:  # noqa: ARG001 - tells one content from another
    """The sha256 of a file that was changed last then: computed once, not for every segment."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fetch(store: Store, card: DetectorCard, path: Path) -> None:
    try:
        data = store.get(keys.detector(card.sha256), end=MAX_BYTES + 1)
    except ObjectMissing:
        raise InputError(
            f"the weights of detector '{card.label}' are not in the storage: upload again"
        ) from None
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise InputError(
            f"the weights of detector '{card.label}' are damaged in the storage: upload again"
        )
    write_bytes(path, data)
    _make_room(path)


def _make_room(newest: Path) -> None:
    """Remove the detectors unused for longest beyond `MOST_KEPT_BYTES`; other processes may be
    doing the same."""
    found = []
    for path in newest.parent.glob("*.onnx"):
        try:
            found.append((path == newest, path.stat().st_atime_ns, path.stat().st_size, path))
        except FileNotFoundError:
            continue
    kept = 0
    for _, _, size, path in sorted(found, reverse=True):
        kept += size
        if kept > MOST_KEPT_BYTES and path != newest:
            path.unlink(missing_ok=True)


def _kept_folder() -> Path:
    """A folder for fetched detectors that nobody else may write to; in a container, the cache often
    cannot be."""
    shared = Path(tempfile.gettempdir()) / f"facepaint-{os.getuid()}"
    for folder in (cache_folder() / "jobs-detectors", shared):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
            return folder
    raise UsageError(
        f"no folder for fetched detectors can be written, neither {cache_folder()} nor {shared}"
    )
