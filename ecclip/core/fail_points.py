"""Named steps at which a process dies if a test asks for it: what a kill or a lost machine would leave there."""

from __future__ import annotations

import os
import signal

from ecclip.core.configuration import settings


def fail_point(name: str) -> None:
    """Kill this process if ``ECCLIP_FAIL_POINT`` names this step; it does nothing else."""
    if settings().fail_point == name:
        os.kill(os.getpid(), signal.SIGKILL)
