"""What a request to stop does to whoever has started services: it unwinds, and what is being stopped is stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ecclip.core.display import Terminal

_Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def signals_raise() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the block like Ctrl-C, so that services are stopped."""

    def stop(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    with _handled((signal.SIGTERM, signal.SIGHUP), stop):
        yield


@contextmanager
def signals_held() -> Iterator[None]:
    """Let no request to stop interrupt the block: who presses Ctrl-C twice would leave services behind."""

    def wait(_: int, __: FrameType | None) -> None:
        Terminal(stderr=True).print("stopping already; a moment")

    with _handled((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), wait):
        yield


@contextmanager
def _handled(numbers: tuple[signal.Signals, ...], handler: _Handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
