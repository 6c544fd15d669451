"""Reuse the memory of one training step for the next one."""

from __future__ import annotations

import ctypes

# options of mallopt(3)
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1  # the largest int: a threshold that is never reached


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory; return whether the process uses glibc.

    A step frees its activations and the next one takes as much again. glibc hands large blocks back to the system
    each time, and fresh pages cost more than what is computed on them: on a virtual machine a quarter to a half of a
    training step. Memory then stays at its peak until the process ends, so this is for processes that train.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # blocks from the heap alone, the heap never trimmed, one heap for all threads
    options = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _ARENA_MAX: 1}
    return all(mallopt(option, value) == 1 for option, value in options.items())
