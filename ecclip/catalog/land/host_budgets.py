"""Time budgets for fetching photos: one per night, one per host; a dead host is given up."""

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
    """Tracks time and failures per host, by a monotonic clock in seconds."""

    def __init__(self, cfg: FetchConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._cfg, self._clock = cfg, clock
        self._night_ends = clock() + cfg.night_s
        self._hosts: dict[str, _Host] = {}

    def refusal(self, host: str) -> str | None:
        """Return why a host is no longer used tonight, or None. Its time begins with the first call."""
        now = self._clock()
        if now >= self._night_ends:
            return OUT_OF_TIME
        known = self._hosts.setdefault(host, _Host(now + self._cfg.host_s))
        if known.failures >= self._cfg.host_failures:
            return UNREACHABLE
        return TOO_SLOW if now >= known.ends else None

    def remaining_s(self, host: str) -> float:
        """Return the seconds left for a host, at least 0."""
        now = self._clock()
        ends = self._hosts.setdefault(host, _Host(now + self._cfg.host_s)).ends
        return max(0.0, min(ends, self._night_ends) - now)

    def failed(self, host: str) -> None:
        """Count one more consecutive failure."""
        self._hosts[host].failures += 1

    def answered(self, host: str) -> None:
        """Reset the failures: the host has answered. A host that was given up stays given up."""
        if self._hosts[host].failures < self._cfg.host_failures:
            self._hosts[host].failures = 0
