"""Supervision of a service: it is restarted whenever it is gone, until the supervision is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ecclip.core.log import get_logger
from ecclip.errors import EcclipError


def supervise(
    name: str,
    ensure: Callable[[], object],
    runs: Callable[[], bool],
    stopped: threading.Event,
    *,
    every_s: float,
    longest_pause_s: float,
) -> None:
    """Call ``ensure``, which starts the service if it is gone, every ``every_s`` seconds until ``stopped`` is set.

    Errors do not end the supervision, since an operator may fix their cause: each is logged once, and a service that
    still answers goes on answering. While it does not run, the pauses double up to ``longest_pause_s`` seconds.
    """
    pause, logged = every_s, ""
    while not stopped.is_set():
        try:
            ensure()
            pause, logged = every_s, ""
        except (EcclipError, OSError) as error:
            running = runs()
            pause = every_s if running else min(2 * pause, longest_pause_s)
            if str(error) != logged:
                what = "a service runs but is unhealthy" if running else "a service cannot be started"
                get_logger().error(what, service=name, error=str(error), retry_in_s=pause)
            logged = str(error)
        stopped.wait(pause)
