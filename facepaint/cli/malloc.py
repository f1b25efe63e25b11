"""Settings of the C library's memory allocator."""

import ctypes
import sys

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""Constants of glibc's malloc.h."""

MMAP_THRESHOLD_BYTES = 128 * 1024
"""glibc's initial threshold. Without a fixed value it grows to 32 MiB as blocks are freed."""

MAX_ARENAS = 2
"""Heaps shared by all threads. By default each thread has one, which keeps its largest size."""


def give_back_large_blocks() -> None:
    """Make glibc return every large block to the system as soon as it is freed.

    The index of a long video is tens of megabytes in a few growing blocks. In the heap they would
    be copied when they grow, and the holes would stay with the process. Does nothing with other C
    libraries.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_ARENA_MAX, MAX_ARENAS)
