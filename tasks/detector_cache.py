"""Load the detector of a job: one that ships, or one that was stored with the job."""

import hashlib
import os
import tempfile
import time
from functools import lru_cache
from pathlib import Path

from facepaint.detectors.registry import MAX_BYTES
from facepaint.errors import InputError, ObjectDamaged, ObjectMissing, UsageError
from facepaint.files import write_bytes
from facepaint.records import keys
from facepaint.records.detector_card import DetectorCard
from facepaint.records.job import DetectorSpec
from facepaint.settings import cache_folder
from facepaint.store import Store
from models import DetectorModel, shipped_model
from models.providers import Runtime
from models.rotated import FaceSearch

MAX_CACHE_BYTES = 2**30
"""Size of the cache of fetched detectors; the least recently used are removed first."""


def card_of(spec: DetectorSpec) -> DetectorCard | None:
    """The card of a job's detector; None for a shipped one of an older version."""
    try:
        return spec.card or shipped_model(spec.name).card
    except UsageError:
        return None


def model_of(
    spec: DetectorSpec, store: Store, max_cache_bytes: int = MAX_CACHE_BYTES
) -> DetectorModel:
    """The detector of a job, fetched from the storage unless it ships or is in the cache.

    Args:
        max_cache_bytes: size of the cache after a fetch.

    Raises:
        UsageError: it does not ship and was not stored, or no folder for the cache is writable.
        InputError: the stored weights are missing or not those that the job names.
        StoreUnreachable: the storage does not answer.
    """
    if spec.card is None:
        return shipped_model(spec.name)
    sha256 = spec.card.sha256
    if not sha256:
        raise UsageError(f"the job's detector '{spec.card.name}' names no weights: upload it again")
    path = _cache_folder() / f"{sha256}.onnx"
    if not _is_intact(path, sha256):
        _fetch(store, spec.card, path)
        _make_room(path, max_cache_bytes)
    return DetectorModel(path, spec.card)


def enter_empty_folder() -> None:
    """Change to a folder without files, where ONNX Runtime would look for files that a network
    names.

    Raises:
        UsageError: no private folder is writable.
    """
    folder = _cache_folder() / "empty"
    folder.mkdir(mode=0o500, exist_ok=True)
    os.chdir(folder)


@lru_cache(maxsize=4)
def load_search(
    model: DetectorModel, min_face: float, frame_size: tuple[int, int], runtime: Runtime
) -> FaceSearch:
    """The search for upright frames of a size. Cached: a session takes longer to make than to
    use."""
    return FaceSearch(model, frame_size, min_face, runtime)


def _is_intact(path: Path, sha256: str) -> bool:
    """Whether a fetched detector is in the cache and complete. Marks it as used."""
    try:
        changed_ns = path.stat().st_mtime_ns
        # Most disks are mounted so that reading a file does not update its time of access.
        os.utime(path, ns=(time.time_ns(), changed_ns))
        return _sha256(path, changed_ns) == sha256
    except FileNotFoundError:
        return False


@lru_cache(maxsize=4)
def _sha256(path: Path, changed_ns: int) -> str:  # noqa: ARG001 - part of the cache key
    """The sha256 of a file, computed once for each time of change and not for every segment."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fetch(store: Store, card: DetectorCard, path: Path) -> None:
    # Anybody with access to the storage can write there, so size and sha256 are checked.
    try:
        data = store.get_verified(keys.detector(card.sha256), card.sha256, end=MAX_BYTES + 1)
    except ObjectMissing:
        raise InputError(
            f"the weights of detector '{card.label}' are not in the storage: upload again"
        ) from None
    except ObjectDamaged:
        raise InputError(
            f"the weights of detector '{card.label}' are damaged in the storage: upload again"
        ) from None
    write_bytes(path, data)


def _make_room(newest: Path, max_bytes: int) -> None:
    """Remove the least recently used detectors beyond ``max_bytes``, but never the newest."""
    used = []
    for path in newest.parent.glob("*.onnx"):
        try:
            used.append((path == newest, path.stat().st_atime_ns, path.stat().st_size, path))
        except FileNotFoundError:
            # Another process makes room as well.
            continue
    kept = 0
    for _, _, size, path in sorted(used, reverse=True):
        kept += size
        if kept > max_bytes and path != newest:
            path.unlink(missing_ok=True)


def _cache_folder() -> Path:
    """A folder for fetched detectors that only this user may write to."""
    shared = Path(tempfile.gettempdir()) / f"facepaint-{os.getuid()}"
    for folder in (cache_folder() / "jobs-detectors", shared):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            # In a container the home folder is often read-only.
            continue
        # A shared folder of temporary files may hold a folder that another user made first.
        if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
            return folder
    raise UsageError(
        f"no folder for fetched detectors can be written, neither {cache_folder()} nor {shared}"
    )
