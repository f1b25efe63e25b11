"""Give the painted pictures of a job back under the names they came with."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from facepaint.errors import JobError, UsageError
from facepaint.files import atomic_write
from facepaint.jobs.status import find_job
from facepaint.records.job import ImageJob
from facepaint.store import Store
from facepaint.text import unique_names
from viewer.follow import Gap, follow
from viewer.save.save import SaveOptions

LONGEST_NAME_BYTES = 200
"""What any file system takes, with room for a number and a temporary suffix."""


def save_images(
    store: Store,
    job_id: str,
    look_id: str,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008 - frozen
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a job's painted images into ``folder``, waiting for what is still painted.

    The folder is made if needed. An image keeps the last part of its name; if two have the same
    name, the second gets a number.

    Returns:
        The files written, in the order of the job.

    Raises:
        UnknownJob, InputError: there is no such job or look.
        UsageError: the job is a video, a file is there already, or the folder cannot be written to.
        JobError: a picture was given up and gaps are not allowed.
        StoreUnreachable: the storage was away for too long.
    """
    job = find_job(store, job_id)
    if not isinstance(job, ImageJob):
        raise UsageError(f"job {job_id} is a video: save it as a file")
    targets = [folder / name for name in safe_names(job)]
    _check_folder(folder, targets, options.overwrite)
    written = []
    gaps = []
    for item in follow(store, job_id, look_id, options=options.following):
        if isinstance(item, Gap):
            gaps.append(f"{job.images[item.index]} ({item.reason})")
        else:
            _write(targets[item.index], item.data, options.overwrite)
            written.append(targets[item.index])
        if on_progress:
            on_progress(item.index + 1, len(targets))
    if gaps and not options.allow_gaps:
        raise JobError(
            f"given up: {', '.join(gaps)}; the others are in {folder}, `facepaint resume "
            f"{job_id}` tries again"
        )
    return written


def safe_names(job: ImageJob) -> list[str]:
    """A file name for each picture: no folders, nothing a file system refuses or hides, no two the
    same."""
    return unique_names(
        _safe(given) or f"picture-{number}" for number, given in enumerate(job.images, 1)
    )


def _safe(given: str) -> str:
    last = PurePosixPath(PureWindowsPath(given).name).name
    kept = "".join(letter for letter in last if letter.isprintable() and letter not in '<>:"/\\|?*')
    path = PurePosixPath(kept.strip().lstrip(".").rstrip(". "))
    stem, suffix = path.stem, path.suffix
    while len((stem + suffix).encode()) > LONGEST_NAME_BYTES:
        stem, suffix = (stem[:-1], suffix) if stem else ("", suffix[:-1])
    return stem + suffix


def _check_folder(folder: Path, targets: list[Path], overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: pictures are saved into a folder")
    there = [target.name for target in targets if target.exists() or target.is_symlink()]
    if there and not overwrite:
        raise UsageError(
            f"{folder} already has {there[0]}: name another folder, or use --overwrite"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{folder} cannot be made: {exc.strerror}") from exc


def _write(target: Path, data: bytes, overwrite: bool) -> None:
    """Put the picture in place whole; a link of that name is replaced, not followed."""
    try:
        with atomic_write(target) as draft:
            draft.write_bytes(data)
            if not overwrite and (target.exists() or target.is_symlink()):
                raise UsageError(f"{target} was created by another program: name another folder")
    except OSError as exc:
        raise UsageError(f"{target} cannot be written: {exc.strerror}") from exc
