"""Metrics of a training on the local disk: append-only JSON lines.

The training writes and waits for its own disk only; another process reads what was written and sends it.
Standard library only, so that training can use it anywhere.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

DELIVERY: ContextVar[tuple[str, ...]] = ContextVar("DELIVERY", default=())
"""The command that delivers a spool while it grows; ``<folder> --parent <process id>`` is added to it.

Set by the caller of a training, since training itself does not know the registry. Empty: the spool is delivered later.
"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line: values after a step, or a new status of the training.

    ``time`` is in milliseconds since 1970, ``end`` is the offset in bytes behind the line.
    """

    time: int
    end: int
    step: int = 0
    values: dict[str, float] = field(default_factory=dict)
    status: Status | None = None


class Spool:
    """The writer, of one process at a time; it continues what a killed process left.

    An incomplete last line is cut off. Every name has every step at most once: a training that resumes repeats steps
    with equal values, of which the first is kept. So the steps of a name must ascend.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._last: dict[str, int] = {}
        for entry in read_spool(path):
            self._last.update(dict.fromkeys(entry.values, entry.step))
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._descriptor, _whole_bytes(self._descriptor))
        self._waiting: list[bytes] = []
        self.error: OSError | None = None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Append what was measured after ``step`` steps; what is there already and what is not finite is left out.

        A disk error does not end a training: the lines are kept and retried with the next ones, and ``error`` holds the
        error.
        """
        new = {
            name: float(value)
            for name, value in values.items()
            if step > self._last.get(name, -1) and math.isfinite(value)
        }
        if new:
            self._last.update(dict.fromkeys(new, step))
            self._append({"step": step, "values": new})

    def next_step(self, name: str) -> int:
        """Return the step that a name may have next."""
        return self._last.get(name, -1) + 1

    def mark(self, status: Status) -> None:
        """Append the new status of the training."""
        self._append({"status": status})

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps({"time": time.time_ns() // 1_000_000, **record}, separators=(",", ":"))
        self._waiting.append(line.encode() + b"\n")
        payload = b"".join(self._waiting)
        size = os.fstat(self._descriptor).st_size  # a worker may have written since
        try:
            if os.write(self._descriptor, payload) < len(payload):
                raise OSError("the disk took half a line")
        except OSError as error:
            os.ftruncate(self._descriptor, size)
            self.error = error
            return
        self._waiting.clear()
        self.error = None


def read_spool(path: Path, offset: int = 0) -> Iterator[Entry]:
    """Yield the entries behind an offset in bytes; a line without its end is not there yet.

    A line that is not an entry (zeros after a loss of power) counts as not written.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            entry = _entry(line, offset)
            if entry is not None:
                yield entry


def _entry(line: bytes, end: int) -> Entry | None:
    try:
        record = json.loads(line)
        values = {str(name): float(value) for name, value in record.get("values", {}).items()}
        step, status = int(record.get("step", 0)), record.get("status")
        return Entry(time=int(record["time"]), end=end, step=step, values=values, status=status)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _whole_bytes(descriptor: int) -> int:
    """Return the offset behind the last whole line."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 65536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
