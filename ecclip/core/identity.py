"""The identity of a process: pids are reused, but pid and start time together are unique."""

from __future__ import annotations

import os

import psutil

_SAME_S = 1.0  # start times are in ticks after a boot time that is rounded to the second


def started_at(pid: int | None = None) -> float:
    """Return when a process, this one by default, started, in seconds since 1970.

    Raises:
        psutil.NoSuchProcess: there is none of that pid.
    """
    return float(psutil.Process(os.getpid() if pid is None else pid).create_time())


def find_process(pid: int, started: float) -> psutil.Process | None:
    """Return the process of that pid if it is the one that started then and has not ended, else None."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < _SAME_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
