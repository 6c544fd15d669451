"""The one place that reads the wall clock, and the one meaning of *night*."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from ecclip.core.configuration import settings
from ecclip.errors import ConfigError


def now() -> datetime:
    """Return the current time in UTC; ``ECCLIP_CLOCK`` (ISO 8601 with offset) overrides it in tests."""
    fixed = os.environ.get("ECCLIP_CLOCK")
    return datetime.fromisoformat(fixed).astimezone(UTC) if fixed else datetime.now(UTC)


def night_of(interval_start: datetime) -> str:
    """Return the night (ISO date) of a data interval: its start in ``ECCLIP_TIMEZONE``, whatever the machine's."""
    if interval_start.tzinfo is None:
        raise ConfigError(
            "the data interval has no time zone",
            value=interval_start.isoformat(),
            next_step="give it one, such as +00:00",
        )
    return interval_start.astimezone(ZoneInfo(settings().timezone)).date().isoformat()


def parse_night(night: str) -> str:
    """Return ``night`` if it is written YYYY-MM-DD; a night has one spelling, since folders are named after it.

    Raises:
        ConfigError: it is not a date, or is one in another ISO spelling (20261101, 2026-W44-7); the message names the
            right one.
    """
    try:
        spelled = date.fromisoformat(night).isoformat()
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "a night is an ISO date", value=repr(night), limit="YYYY-MM-DD", next_step="write the date as 2026-11-01"
        ) from error
    if spelled != night:
        raise ConfigError("a night is an ISO date", value=night, limit="YYYY-MM-DD", next_step=f"write {spelled}")
    return spelled
