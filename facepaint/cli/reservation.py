"""Reserve an output file, so that two commands do not write the same one."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from facepaint.errors import UsageError
from facepaint.settings import cache_folder


@contextmanager
def reserved(targets: Iterable[Path]) -> Iterator[None]:
    """Reserve output files until the block ends, or the process does.

    Raises:
        UsageError: another command of this user writes one of them.
    """
    with ExitStack() as stack:
        for target in targets:
            lock = _lock_of(target)
            if lock is None:
                continue
            try:
                stack.enter_context(lock.acquire(timeout=0))
            except Timeout:
                raise UsageError(
                    f"{target} is being written by another command: name another file"
                ) from None
            except (OSError, NotImplementedError):
                # Without locks, the last writer wins, as with any other program.
                continue
        yield


def _lock_of(target: Path) -> FileLock | None:
    """The lock of a file, in this user's cache: none is left beside the result."""
    folder = cache_folder() / "outputs"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    name = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:32]
    # A soft lock would outlive a killed process.
    return FileLock(folder / f"{name}.lock", fallback_to_soft=False)
