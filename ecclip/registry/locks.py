"""A lock between processes that is waited for a bounded time and dies with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecclip.core import ServiceError

_POLL_S = 0.05


@contextmanager
def locked(path: Path, what: str, wait_s: float = 60.0) -> Iterator[None]:
    """Hold the lock file ``path``; ``what`` names the work in the error of the one who waits too long.

    Raises:
        ServiceError: another process held the lock for the whole of ``wait_s`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with path.open("a+") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() >= deadline:
                file.seek(0)
                raise ServiceError(
                    f"another process holds the lock of {what}",
                    value=f"{path} (process {file.read().strip() or 'unknown'})",
                    limit=f"{wait_s:g} s",
                    next_step="wait for that process or end it, then run again",
                )
            time.sleep(_POLL_S)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
