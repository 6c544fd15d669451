"""How much memory this process and the Python processes below it take from a moment on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil


class MemoryPeaks:
    """Begins to measure: the peaks that living processes have had are forgotten."""

    def __init__(self) -> None:
        self._had: dict[psutil.Process, int] = {}
        for process in _processes():
            with _that_may_end():
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # proc(5): VmHWM starts again
                self._had[process] = _kib(process, "VmRSS")

    def grown(self) -> dict[str, int]:
        """Return the most KiB that each living process has had beyond what it had; a new one had nothing."""
        found = {}
        for process in _processes():
            with _that_may_end():
                found[f"{process.name()} {process.pid}"] = _kib(process, "VmHWM") - self._had.get(process, 0)
        return found


def _processes() -> list[psutil.Process]:
    """Return this process and those below it that run Python."""
    me = psutil.Process()
    found = [me]  # whatever pytest-xdist has named it
    for child in me.children(recursive=True):
        with _that_may_end():
            if "python" in child.name() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def _kib(process: psutil.Process, name: str) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _that_may_end() -> suppress:
    """Pass over a process that ends while it is looked at."""
    return suppress(psutil.NoSuchProcess, OSError, StopIteration)
