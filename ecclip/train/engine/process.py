"""What training changes in its process, and puts back: SIGTERM, determinism, threads."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch


class Termination:
    """Whether SIGTERM came; a second one changes nothing, the checkpoint is written first."""

    requested = False

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        """Record the signal."""
        self.requested = True


@contextmanager
def catch_termination() -> Iterator[Termination]:
    """Defer SIGTERM until the current step is done; no effect outside the main thread."""
    termination = Termination()
    if threading.current_thread() is not threading.main_thread():
        yield termination
        return
    previous = signal.signal(signal.SIGTERM, termination.ask)
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def deterministic(threads: int, device: torch.device) -> Iterator[None]:
    """Make equal inputs give equal bits: deterministic kernels and a fixed number of threads."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # costs time and changes none of our results
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = fill
        torch.set_num_threads(before[1])
