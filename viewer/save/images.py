"""Save the painted images of a job under the names of their sources."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from facepaint.errors import JobError, UsageError
from facepaint.files import atomic_write
from facepaint.jobs.status import find_job
from facepaint.records.job import ImageJob
from facepaint.store import Store
from facepaint.text import unique_names
from viewer.follow import Gap, follow
from viewer.save.video import SaveOptions

LONGEST_NAME_BYTES = 200
"""What any file system accepts, with room for a number and a temporary suffix."""


def save_images(
    store: Store,
    job_id: str,
    look_id: str,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008 - frozen
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a job's painted images into ``folder``, waiting for those still being painted.

    The folder is created if needed. An image keeps the last part of its name; if two have the same
    name, the second gets a number.

    Returns:
        The files written, in the order of the job.

    Raises:
        UnknownJob, InputError: there is no such job or look.
        UsageError: the job is a video, a file is there already, or the folder cannot be written to.
        JobError: an image could not be painted and gaps are not allowed.
        StoreUnreachable: the storage was unreachable for too long.
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
            f"painting failed: {', '.join(gaps)}; the other images are in {folder}, "
            f"`facepaint resume {job_id}` retries"
        )
    return written


def safe_names(job: ImageJob) -> list[str]:
    """A unique file name for each image, without folders, that every file system accepts."""
    return unique_names(
        _safe(given) or f"image-{number}" for number, given in enumerate(job.images, 1)
    )


def _safe(given: str) -> str:
    # Names come from the uploader's machine, so both kinds of separators count, on any system.
    last = PurePosixPath(PureWindowsPath(given).name).name
    kept = "".join(letter for letter in last if letter.isprintable() and letter not in '<>:"/\\|?*')
    # Windows drops dots and spaces at the end; a dot at the start hides a file on Unix.
    path = PurePosixPath(kept.strip().lstrip(".").rstrip(". "))
    stem, suffix = path.stem, path.suffix
    while len((stem + suffix).encode()) > LONGEST_NAME_BYTES:
        stem, suffix = (stem[:-1], suffix) if stem else ("", suffix[:-1])
    return stem + suffix


def _check_folder(folder: Path, targets: list[Path], overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: images are saved into a folder")
    existing = [target.name for target in targets if target.exists() or target.is_symlink()]
    if existing and not overwrite:
        raise UsageError(
            f"{folder} already has {existing[0]}: name another folder, or use --overwrite"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{folder} cannot be created: {exc.strerror}") from exc


def _write(target: Path, data: bytes, overwrite: bool) -> None:
    """Write an image atomically; a symbolic link of that name is replaced, not followed."""
    try:
        with atomic_write(target) as draft:
            draft.write_bytes(data)
            # Checked again, because painting may have taken hours since.
            if not overwrite and (target.exists() or target.is_symlink()):
                raise UsageError(f"{target} was created by another program: name another folder")
    except OSError as exc:
        raise UsageError(f"{target} cannot be written: {exc.strerror}") from exc
