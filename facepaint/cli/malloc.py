"""How the C library keeps memory that was freed."""

import ctypes
import sys

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""Of glibc's malloc.h."""

LARGE_BYTES = 128 * 1024
"""Where glibc itself begins; left alone it moves this up to 32 MiB, by what is freed."""


ARENAS = 2
"""Heaps that all threads share; left alone each thread has one of its own, which keeps what it once
needed."""


def give_back_large_blocks() -> None:
    """Have glibc give every large block back to the system as soon as it is freed.

    A video's index is tens of megabytes in a few blocks that grow. Kept in the heap they are copied
    each time, and the holes they leave stay with the process. Does nothing where the C library is
    another.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
            mallopt(M_ARENA_MAX, ARENAS)
