"""The watch over a service: started again whenever it is gone, until the watch is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ecclip.core.log import get_logger
from ecclip.errors import EcclipError


def keep_up(
    name: str,
    ensure: Callable[[], object],
    runs: Callable[[], bool],
    stopped: threading.Event,
    *,
    every_s: float,
    longest_pause_s: float,
) -> None:
    """Call ``ensure`` every ``every_s`` seconds until ``stopped`` is set; it starts the service where that is gone.

    Nothing that can be mended outside ends the watch: what answers goes on answering, and the error is logged once.
    Where the service does not run after a failure, the pauses double up to ``longest_pause_s``.
    """
    pause, said = every_s, ""
    while not stopped.is_set():
        try:
            ensure()
            pause, said = every_s, ""
        except (EcclipError, OSError) as error:
            running = runs()
            pause = every_s if running else min(2 * pause, longest_pause_s)
            if str(error) != said:
                what = "a service runs and is not well" if running else "a service cannot be started"
                get_logger().error(what, service=name, error=str(error), again_in_s=pause)
            said = str(error)
        stopped.wait(pause)
