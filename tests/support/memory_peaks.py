"""How much memory this process and the Python processes below it take from a moment on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil


class MemoryPeaks:
    """Begins to measure: the peaks that living processes have had are forgotten."""

    def __init__(self) -> None:
        self._had: dict[psutil.Process, int] = {}
        for process in _processes():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # proc(5): VmHWM starts again
            self._had[process] = _kib(process, "VmRSS")

    def grown(self) -> dict[str, int]:
        """Return the most KiB that each living process has had beyond what it had; a new one had nothing."""
        return {
            f"{process.name()} {process.pid}": _kib(process, "VmHWM") - self._had.get(process, 0)
            for process in _processes()
        }


def _processes() -> Iterator[psutil.Process]:
    me = psutil.Process()
    yield from (one for one in (me, *me.children(recursive=True)) if "java" not in one.name())


def _kib(process: psutil.Process, name: str) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
