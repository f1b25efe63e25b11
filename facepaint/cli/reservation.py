"""Reserve an output file, so that two commands do not write the same one."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from facepaint.errors import UsageError


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
    """The lock of a file, in the folder of temporary files: none is left beside the result."""
    folder = Path(tempfile.gettempdir()) / f"facepaint-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            return None
    except OSError:
        return None
    name = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:32]
    # A soft lock would outlive a killed process.
    return FileLock(folder / f"{name}.lock", fallback_to_soft=False)
