"""Time and memory: interleaved repetitions, and the peak resident size of a process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc(5): resets the peak to the present size


def taking_turns(
    steps: Mapping[str, Callable[[], object]], repetitions: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Return the seconds of every call by name; all are called once in every repetition.

    Other load on the machine then affects all of them alike. The order is reversed from one repetition to the next, so
    that no call always follows the same one.
    """
    for _ in range(warm_up):
        for step in steps.values():
            step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repetition in range(repetitions):
        names = list(steps) if repetition % 2 == 0 else list(steps)[::-1]
        for name in names:
            started = time.perf_counter()
            steps[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def processor_seconds(call: Callable[[], _T]) -> tuple[float, _T]:
    """Return the processor seconds of a call, all threads together, and what it returned."""
    before = os.times()
    value = call()
    after = os.times()
    return after.user + after.system - before.user - before.system, value


def resident_bytes() -> int:
    """Return the memory of this process that is resident now."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """Return the largest resident size since the start or the last :func:`reset_peak`."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Forget earlier peaks of this process."""
    _CLEAR.write_text(_RESET_PEAK, encoding="ascii")


def _status(name: str) -> int:
    lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii").splitlines())
    return int(lines[name].split()[0]) * 1024
