"""The budgets of hosts and of the night, by a clock that stands still until it is moved."""

from __future__ import annotations

from ecclip.catalog.land.host_budgets import HostBudgets
from ecclip.catalog.land.stage import LandConfig


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def hosts(clock: Clock, **options: float) -> HostBudgets:
    limits = {"host_s": 100, "night_s": 1000, "host_failures": 3}
    return HostBudgets(LandConfig.model_validate({"fetch": {**limits, **options}}).fetch, clock)


def test_a_host_is_given_up_after_failures_in_a_row_and_stays_so() -> None:
    found = hosts(Clock())
    for _ in range(2):
        assert found.refusal("a") is None
        found.failed("a")
    found.answered("a")
    for _ in range(3):
        assert found.refusal("a") is None
        found.failed("a")
    assert found.refusal("a") == "host_unreachable"
    found.answered("a")  # one that was still under way
    assert found.refusal("a") == "host_unreachable"
    assert found.refusal("b") is None


def test_the_time_of_a_host_begins_with_its_first_photo() -> None:
    clock = Clock()
    found = hosts(clock)
    assert found.remaining_s("a") == 100
    clock.now += 60
    assert (found.remaining_s("a"), found.remaining_s("b")) == (40, 100)
    clock.now += 40
    assert (found.refusal("a"), found.remaining_s("a")) == ("host_too_slow", 0)
    assert found.refusal("b") is None


def test_when_the_night_is_over_no_host_is_asked() -> None:
    clock = Clock()
    found = hosts(clock, host_s=10_000)
    assert found.remaining_s("a") == 1000
    clock.now += 1000
    assert found.refusal("a") == found.refusal("b") == "out_of_time"
    assert found.remaining_s("b") == 0
