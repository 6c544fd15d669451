"""Shift tests: limits follow from the history, honest noise passes, a change shows, an accepted one is remembered."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from ecclip.catalog.gate.history import NightFacts
from ecclip.catalog.gate.shift import Shift, ShiftConfig, accepted_names, shifts

CFG = ShiftConfig.model_validate({})


def night(number: int, listings: int = 10_000, **more: Any) -> NightFacts:
    """Return an honest night: sampled shares, categories and prices around fixed values."""
    chance = np.random.default_rng(number)
    leaves = chance.multinomial(listings, [0.4, 0.3, 0.2, 0.1])
    prices = 10 ** chance.normal(1.5, 0.4, listings)
    facts: dict[str, Any] = {
        "fingerprint": f"f{number}",
        "listings": round(listings * 1.02**number),
        "shares": {
            "missing/brand": chance.binomial(listings, 0.2) / listings,
            "dropped/bad_price": chance.binomial(listings, 0.003) / listings,
            "repeated/title": chance.binomial(listings, 0.1) / listings,
        },
        "distributions": {"category": {f"c{at}": int(count) for at, count in enumerate(leaves) if count}},
        "prices": {
            "EUR": {
                "listings": listings,
                "log10_quantiles": {str(q): float(np.log10(np.quantile(prices, q))) for q in (0.05, 0.5, 0.95)},
            }
        },
    }
    return NightFacts.model_validate(facts | more)


def outside(found: list[Shift]) -> set[str]:
    return {
        shift.name
        for shift in found
        if (shift.low is not None and shift.value < shift.low) or (shift.high is not None and shift.value > shift.high)
    }


def moved(facts: NightFacts, **more: Any) -> NightFacts:
    return NightFacts.model_validate(facts.model_dump() | more)


POISONS = {
    "volume": lambda facts: moved(facts, listings=facts.listings // 10),
    "missing/brand": lambda facts: moved(facts, shares=facts.shares | {"missing/brand": 0.9}),
    "dropped/bad_price": lambda facts: moved(facts, shares=facts.shares | {"dropped/bad_price": 0.3}),
    "dropped/missing_title": lambda facts: moved(facts, shares=facts.shares | {"dropped/missing_title": 0.3}),
    "repeated/title": lambda facts: moved(facts, shares=facts.shares | {"repeated/title": 0.9}),
    "category_shift": lambda facts: moved(facts, distributions={"category": {"c3": 9000, "c0": 500, "c1": 500}}),
    "price_shift/EUR": lambda facts: moved(
        facts,
        prices={
            "EUR": {
                "listings": facts.listings,
                "log10_quantiles": {q: value + 2 for q, value in facts.prices["EUR"].log10_quantiles.items()},
            }
        },
    ),
    "resent_dump": lambda facts: moved(facts, fingerprint="f0"),
}


@pytest.mark.parametrize("nights", [1, 2, 3, 6, 14])
@pytest.mark.parametrize("listings", [300, 10_000])
def test_honest_nights_pass_whatever_the_length_of_the_history(nights: int, listings: int) -> None:
    for start in range(5):
        history = [night(start + number, listings) for number in range(nights)]
        assert outside(shifts(CFG, night(start + nights, listings), history)) == set()


@pytest.mark.parametrize("name", POISONS)
@pytest.mark.parametrize("nights", [1, 2, 6])
@pytest.mark.parametrize("listings", [300, 10_000])
def test_a_poison_is_told_by_its_own_metric_alone(name: str, nights: int, listings: int) -> None:
    history = [night(number, listings) for number in range(nights)]
    assert outside(shifts(CFG, POISONS[name](night(nights, listings)), history)) == {name}


def test_the_first_night_has_no_shifts() -> None:
    assert shifts(CFG, night(0), []) == []


def test_limits_are_tighter_with_a_longer_and_a_calmer_history() -> None:
    def high(history: list[NightFacts]) -> float:
        found = {shift.name: shift.high for shift in shifts(CFG, night(9), history)}["volume"]
        assert found is not None
        return found

    calm = [moved(night(0), listings=10_000 + number) for number in range(6)]
    wild = [moved(night(0), listings=listings) for listings in (4_000, 16_000, 8_000, 12_000, 6_000, 10_000)]
    assert high(calm) < high(calm[:2]) < high(wild)


def test_one_bad_night_in_the_history_does_not_move_the_limits() -> None:
    history = [night(number) for number in range(7)]
    spoiled = [*history[:3], POISONS["missing/brand"](history[3]), *history[4:]]
    for name in ("missing/brand", "category_shift", "price_shift/EUR"):
        before, after = (
            {shift.name: shift.high for shift in shifts(CFG, night(8), nights)}[name] for nights in (history, spoiled)
        )
        assert before is not None
        assert after == pytest.approx(before, abs=0.05)


def test_fewer_bad_rows_are_never_refused() -> None:
    history = [POISONS["dropped/bad_price"](night(number)) for number in range(4)]
    assert outside(shifts(CFG, night(5), history)) == set()


def test_the_order_of_names_and_nights_does_not_matter() -> None:
    history = [night(number) for number in range(5)]
    first = shifts(CFG, night(6), history)
    random.Random(0).shuffle(history)
    assert shifts(CFG, night(6), history) == first
    assert [shift.name for shift in first] == sorted(shift.name for shift in first)


def test_an_accepted_shift_begins_a_new_history_for_its_metric_alone() -> None:
    cfg = ShiftConfig.model_validate({"accepted": {"f4": ["volume", "price_shift/*"]}})
    names = ["volume", "price_shift/EUR", "price_shift/USD", "category_shift"]
    assert accepted_names(cfg, "f4", names) == names[:3]
    assert accepted_names(cfg, "f5", names) == []
    doubled = [moved(night(number), listings=30_000, accepted=["volume"] * (number == 4)) for number in (4, 5)]
    history = [*[night(number) for number in range(4)], *doubled]
    found = {shift.name: shift for shift in shifts(CFG, moved(night(6), listings=31_000), history)}
    assert found["volume"].nights == 2
    assert found["category_shift"].nights == 6
    assert outside(list(found.values())) == set()
    assert outside(shifts(CFG, night(6), history)) == {"volume"}, "what was before is a shift now"
