"""Structured logs that name night, stage and run; progress for people and for logs; the last words of a command."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

import structlog
from rich.progress import track as rich_track
from rich.text import Text

from ecclip.atomic import lack_of_space
from ecclip.core.display import Terminal, shown, shown_in_log
from ecclip.core.private import keep_private
from ecclip.errors import CheckpointError, EcclipError

T = TypeVar("T")
_OBJECTS = 100_000  # between two looks for garbage; by measurement: imports make a million, which all stay
_PROGRESS_EVERY_S = 5.0  # between two lines of progress; by judgment


def configure_logging(**context: str) -> None:
    """Send logs to stderr (JSON lines, or coloured text on a terminal) with ``context`` in every line."""
    terminal = sys.stderr.isatty()
    # JSON already escapes control characters
    last: list[Any] = (
        [shown_in_log, structlog.dev.ConsoleRenderer()] if terminal else [structlog.processors.JSONRenderer()]
    )
    level = logging.getLevelNamesMapping()[os.environ.get("ECCLIP_LOG_LEVEL", "INFO").upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # looked up with each line: what stood there when this was called may be closed by then
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    bind(**context)


def bind(**context: str) -> None:
    """Add names (night, stage, run) to every later line of this process."""
    structlog.contextvars.bind_contextvars(**context)


def bound(**context: str) -> AbstractContextManager[None]:
    """Add names to the lines of a block."""
    return structlog.contextvars.bound_contextvars(**context)


def get_logger() -> Any:
    """Return the structured logger."""
    return structlog.get_logger()


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield ``items``; show a progress bar on a terminal, else log a line every few seconds."""
    console = Terminal(stderr=True)
    if console.is_terminal:
        yield from rich_track(items, description=what, total=total, console=console, transient=True)
        return
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last > _PROGRESS_EVERY_S:
            last = time.monotonic()
            get_logger().info("progress", what=what, done=done, total=total)


def run_command(command: Callable[[], object]) -> None:
    """Run a command line; an error raised on purpose is one line and exit status 1."""
    gc.set_threshold(_OBJECTS)
    configure_logging()
    sys.excepthook = _print_traceback
    try:
        keep_private()
        command()
    except Exception as error:
        known = error if isinstance(error, CheckpointError) else lack_of_space(error) or error
        if not isinstance(known, EcclipError):
            raise
        text = Text.assemble((type(known).__name__, "red"), f": {shown(known, lines=True)}")
        Terminal(stderr=True).print(text, soft_wrap=True)
        sys.exit(1)


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an unexpected error as Python does, escaped: its text may come from a dump."""
    sys.stderr.write(shown("".join(traceback.format_exception(kind, error, trace)), lines=True))
