"""Wait for a condition, however slow or busy the machine is; the limit only ends what would hang for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import psutil

HANG_S = 600.0  # below pytest-timeout's, so that the message says what never came
_POLL_S = 0.02
Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], what: str, limit_s: float = HANG_S, every_s: float = _POLL_S) -> Found:
    """Return what ``condition`` returns as soon as that is true; ``what`` completes "waited in vain for ...".

    ``every_s`` spares a condition that costs a server something.
    """
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what} ({limit_s:g} s)"
        time.sleep(every_s)
    return found


def wait_ended(processes: Iterable[psutil.Process], what: str) -> None:
    """Wait until none of the processes runs; a zombie that nobody collects has ended."""
    waiting = list(processes)
    wait_until(lambda: not any(map(lives, waiting)), f"the end of {what}")


def lives(process: psutil.Process) -> bool:
    """Return whether a process runs; a killed orphan may stay as a zombie until the first process collects it."""
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
