"""What a host of photos may cost: a night has so much time, each host so much of it, and a dead one is given up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ecclip.catalog.land.fetched import FetchConfig

OUT_OF_TIME, TOO_SLOW, UNREACHABLE = "out_of_time", "host_too_slow", "host_unreachable"


@dataclass
class _Host:
    ends: float
    failures: int = 0


class HostBudgets:
    """Keeps count of the hosts that are asked, by a clock in seconds that never goes back."""

    def __init__(self, cfg: FetchConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._cfg, self._clock = cfg, clock
        self._night_ends = clock() + cfg.night_s
        self._hosts: dict[str, _Host] = {}

    def refusal(self, host: str) -> str | None:
        """Return why a host is not asked (again) tonight; None where it is. Its time begins with the first call."""
        now = self._clock()
        if now >= self._night_ends:
            return OUT_OF_TIME
        known = self._hosts.setdefault(host, _Host(now + self._cfg.host_s))
        if known.failures >= self._cfg.host_failures:
            return UNREACHABLE
        return TOO_SLOW if now >= known.ends else None

    def left(self, host: str) -> float:
        """Return the seconds that a host may still be asked for, not below 0."""
        now = self._clock()
        ends = self._hosts.setdefault(host, _Host(now + self._cfg.host_s)).ends
        return max(0.0, min(ends, self._night_ends) - now)

    def failed(self, host: str) -> None:
        """Count a photo or an attempt that failed, one more in a row."""
        self._hosts[host].failures += 1

    def answered(self, host: str) -> None:
        """Begin a new row: the host has answered. One that was given up stays so."""
        if self._hosts[host].failures < self._cfg.host_failures:
            self._hosts[host].failures = 0
