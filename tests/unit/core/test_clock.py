"""The night is the date of the interval's start in UTC, or in the zone that is set, whatever the local zone does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from ecclip.core import ConfigError, night_of, now, parse_night, settings


@pytest.mark.fault(8)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "America/New_York", "Europe/Berlin"])
@pytest.mark.parametrize("day", ["2026-03-08", "2026-03-29", "2026-11-01", "2016-12-31"])
def test_the_night_is_the_same_in_every_zone_on_daylight_saving_and_leap_second_days(zone: str, day: str) -> None:
    start = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    assert night_of(start.astimezone(ZoneInfo(zone))) == day
    assert night_of(start.astimezone(timezone(timedelta(hours=1)))) == day


@pytest.mark.parametrize("zone", ["Berlin", "../../etc/passwd", "", "/etc/localtime"])
def test_a_zone_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("ECCLIP_TIMEZONE", zone)
    with pytest.raises(ValueError, match="such as Europe/Berlin"):
        settings()


def test_an_interval_without_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        night_of(datetime(2026, 11, 1))


def test_the_clock_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECCLIP_CLOCK", "2026-11-01T09:00:00+09:00")
    assert now().isoformat() == "2026-11-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "night", ["yesterday", "", "2026-11-31", "2026-11-01T00:00", "2026-11-01\n", " 2026-11-01", None]
)
def test_what_is_no_date_is_refused_with_its_value(night: str) -> None:
    with pytest.raises(ConfigError, match=r"ISO date.*YYYY-MM-DD") as refused:
        parse_night(night)
    assert repr(night) in str(refused.value)


@pytest.mark.parametrize("night", ["20261101", "2026-W44-7", "2026W447"])
def test_another_spelling_of_a_date_is_refused_with_the_right_one(night: str) -> None:
    with pytest.raises(ConfigError, match="write 2026-11-01"):
        parse_night(night)
    assert parse_night("2026-11-01") == "2026-11-01"
