"""Atomic file writes: a reader finds the old file or the whole new one, never a part of it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE_MODE = 0o600
"""Readable by the owner alone: for files that hold secrets."""

_PUBLIC_MODE = 0o666
"""What `open` asks for; the umask takes away from it."""


@contextmanager
def atomic_write(
    target: Path, *, mode: int | None = None, owner: tuple[int, int] | None = None
) -> Iterator[Path]:
    """Yield the path of an empty draft in the target's folder; on success it becomes the target.

    The draft reaches the disk before it takes the target's name, and is deleted on any error. A
    symbolic link at ``target`` is replaced, not followed.

    Args:
        target: its folder must exist.
        mode: permission bits; by default those of the file that is replaced, or the umask's.
        owner: user and group id; by default this process's.

    Raises:
        OSError: the draft cannot be created, synced or renamed.
    """
    # Not derived from the target's name, which may already be as long as the file system allows.
    draft = target.with_name(f".{secrets.token_hex(8)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    descriptor = os.open(draft, flags, _PUBLIC_MODE if mode is None else mode)
    try:
        try:
            if mode is None:
                _copy_mode(target, draft)
            if owner is not None:
                os.fchown(descriptor, *owner)
        finally:
            os.close(descriptor)
        yield draft
        _sync(draft)
        draft.replace(target)
        _sync_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def require_writable(target: Path) -> None:
    """Check that a file can be written, without leaving anything behind.

    Raises:
        OSError: its name is too long, or its folder does not exist or is not writable.
    """
    # `stat` of a name that is too long fails; whether the file exists does not matter.
    target.exists()
    draft = target.with_name(f".{secrets.token_hex(8)}.part")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE))
    draft.unlink()


def write_bytes(
    target: Path,
    data: bytes,
    *,
    mode: int | None = None,
    owner: tuple[int, int] | None = None,
) -> None:
    """Write a file atomically; arguments and errors are those of `atomic_write`."""
    with atomic_write(target, mode=mode, owner=owner) as draft:
        draft.write_bytes(data)


def write_text(
    target: Path,
    text: str,
    *,
    mode: int | None = None,
    owner: tuple[int, int] | None = None,
) -> None:
    """Write a file as UTF-8 with ``text``'s line ends; otherwise as `write_bytes`."""
    write_bytes(target, text.encode(), mode=mode, owner=owner)


def _copy_mode(source: Path, draft: Path) -> None:
    if source.is_file() and not source.is_symlink():
        draft.chmod(source.stat().st_mode & 0o777)


def _sync(file: Path) -> None:
    # Windows syncs only what is open for writing; elsewhere a read-only file must do as well.
    with file.open("rb" if os.name == "posix" else "rb+") as opened:
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems refuse to sync a folder; the file itself is safe by then.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
