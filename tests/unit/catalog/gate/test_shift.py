"""Shift tests: limits follow from the history, honest noise passes, a change shows, an accepted one is remembered."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ecclip.catalog.gate.before_publishing import ReleaseConfig
from ecclip.catalog.gate.history import NightFacts
from ecclip.catalog.gate.shift import Shift, accepted_names, shifts

CFG = ReleaseConfig.model_validate({}).shift


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
    cfg = CFG.model_validate({"accepted": {"f4": ["volume", "price_shift/*"]}})
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


# The limits once more, from the text at the top of the module: with the numbers of the configuration written out.


def reach(series: Sequence[float], least: float, sampling: float, nights: int | None = None) -> float:
    """Return how far from the median of a history a value may be."""
    centre = statistics.median(series) if series else 0.0
    spread = 1.4826 * statistics.median(abs(one - centre) for one in series) if series else 0.0
    factor = 3.0 if (len(series) if nights is None else nights) < 3 else 1.0
    return 6.0 * max(factor * spread, factor * least, sampling)


def plain_night(listings: int = 1000, **more: Any) -> NightFacts:
    facts = {"fingerprint": "", "listings": listings, "shares": {}, "distributions": {}, "prices": {}}
    return NightFacts.model_validate(facts | more)


def judged(tonight: NightFacts, history: list[NightFacts], cfg: Any = CFG) -> dict[str, Shift]:
    """Return what is judged beside the volume and the number of repetitions."""
    return {one.name: one for one in shifts(cfg, tonight, history) if one.name not in ("volume", "resent_dump")}


@pytest.mark.parametrize("counts", [[0], [1], [500, 2000], [1000, 1000, 1000], [900, 1000, 1300, 1000, 5000]])
@pytest.mark.parametrize("tonight", [0, 1, 777, 1_000_000])
def test_the_volume_may_be_as_far_in_logarithms_as_the_formula_says(tonight: int, counts: list[int]) -> None:
    series = [math.log(max(count, 1)) for count in counts]
    far = reach(series, 0.03, 1 / math.sqrt(max(tonight, 1)))
    middle = statistics.median(series)
    found = [one for one in shifts(CFG, plain_night(tonight), [plain_night(n) for n in counts]) if one.name == "volume"]
    low, high = round(math.exp(middle - far), 1), round(math.exp(middle + far), 1)
    assert found == [Shift("volume", tonight, low, high, len(counts))]
    assert found[0].outside == (not low <= tonight <= high)


@pytest.mark.parametrize("listings", [0, 1, 400, 10_000_000])
@pytest.mark.parametrize("series", [[0.2], [0.001, 0.003], [0.2, 0.2, 0.2], [0.19, 0.26, 0.2, 0.24], [0.99, 1.0, 0.98]])
def test_a_share_may_be_as_far_as_the_formula_says_and_stays_between_0_and_1(
    listings: int, series: list[float]
) -> None:
    middle, rows = statistics.median(series), max(listings, 1)
    likely = (middle * rows + 1) / (rows + 2)
    far = reach(series, 0.01, math.sqrt(likely * (1 - likely) / rows))
    history = [plain_night(shares={"missing/brand": one, "dropped/no": one}) for one in series]
    tonight = plain_night(listings, shares={"missing/brand": 0.5, "dropped/no": 0.25})
    low, high = round(max(middle - far, 0.0), 6), round(min(middle + far, 1.0), 6)
    assert judged(tonight, history) == {
        "missing/brand": Shift("missing/brand", 0.5, low, high, len(series)),
        "dropped/no": Shift("dropped/no", 0.25, None, high, len(series)),
    }


def test_a_share_that_a_night_does_not_name_is_zero_for_bad_rows_and_photos_and_unknown_for_others() -> None:
    history = [plain_night(shares={"a/unknown": 0.5, "bad_photo/old": 0.2, "repeated/title": 0.1}), plain_night()]
    found = judged(plain_night(shares={"bad_photo/new": 0.3, "dropped/new": 0.3, "repeated/title": 0.1}), history)
    assert {name: (one.value, one.nights) for name, one in found.items()} == {
        "bad_photo/new": (0.3, 2), "bad_photo/old": (0.0, 2), "dropped/new": (0.3, 2), "repeated/title": (0.1, 1),
    }  # fmt: skip
    assert {name for name, one in found.items() if one.low is not None} == set()


def js_distance(one: dict[str, float], other: dict[str, float]) -> float:
    """Return the square root of the Jensen-Shannon divergence in bits."""

    def divergence(of: dict[str, float]) -> float:
        middle = {name: (one.get(name, 0) + other.get(name, 0)) / 2 for name in of}
        return sum(share * math.log2(share / middle[name]) for name, share in of.items() if share)

    return math.sqrt((divergence(one) + divergence(other)) / 2)


def shares_of(*nights: dict[str, int]) -> dict[str, float]:
    """Return the mean of the shares of each night."""
    names = {name for night in nights for name in night}
    return {name: statistics.mean(night.get(name, 0) / sum(night.values()) for night in nights) for name in names}


KINDS = [{"a": 60, "b": 40}, {"a": 50, "b": 40, "c": 10}, {"a": 300, "b": 100}, {"a": 1, "b": 1, "d": 2}]


@pytest.mark.parametrize("nights", [1, 2, 3, 4])
@pytest.mark.parametrize("counts", [{"a": 7, "c": 3}, {"a": 60_000, "b": 40_000}, {"z": 1}])
def test_a_distribution_is_as_far_from_the_mean_of_the_nights_as_the_formula_says(
    counts: dict[str, int], nights: int
) -> None:
    before = KINDS[:nights]
    rest = [[one for other, one in enumerate(before) if other != at] for at in range(nights)]
    own = [js_distance(shares_of(before[at]), shares_of(*rest[at])) for at in range(nights)] if nights > 1 else []
    kinds = len({*counts, *(name for night in before for name in night)})
    sampling = math.sqrt((kinds - 1) / (8 * math.log(2) * sum(counts.values())))
    far = reach(own, 0.03, sampling, nights) + (statistics.median(own) if own else 0.0)
    empty = {"b_empty": {}, "a_new": {"x": 1}}
    history = [plain_night(distributions={"category": one, "b_empty": {"x": 1}}) for one in before]
    found = judged(plain_night(distributions={**empty, "category": counts}), [plain_night(), *history])
    assert list(found) == ["category_shift"]
    shift = found["category_shift"]
    assert shift.value == pytest.approx(js_distance(shares_of(counts), shares_of(*before)), abs=1e-6)
    assert shift.high == pytest.approx(far, abs=1e-6)
    assert shift.value == round(shift.value, 6)
    assert shift.high == round(shift.high, 6)
    assert (shift.low, shift.nights) == (None, nights)


def prices(listings: int, *quantiles: float) -> dict[str, Any]:
    return {"listings": listings, "log10_quantiles": dict(zip(("0.05", "0.5", "0.95"), quantiles, strict=True))}


PRICES = [prices(30, 1.0, 1.5, 2.0), prices(500, 1.1, 1.5, 2.6), prices(40, 0.9, 1.7, 2.0), prices(90, 1.0, 1.5, 2.1)]


@pytest.mark.parametrize("nights", [1, 2, 3, 4])
@pytest.mark.parametrize("listings", [30, 10_000_000])
def test_prices_are_as_far_from_the_median_quantiles_as_the_formula_says(listings: int, nights: int) -> None:
    def far_from(one: dict[str, Any], others: list[dict[str, Any]]) -> float:
        return max(
            abs(value - statistics.median(other["log10_quantiles"][share] for other in others))
            for share, value in one["log10_quantiles"].items()
        )

    before, now = PRICES[:nights], prices(listings, 1.3, 1.5, 1.9)
    own = [far_from(one, before[:at] + before[at + 1 :]) for at, one in enumerate(before)] if nights > 1 else []
    far = reach(own, 0.03, 0.6 / math.sqrt(listings), nights) + (statistics.median(own) if own else 0.0)
    few = prices(29, 1.0, 2.0, 3.0)
    history = [plain_night(prices={"A": one, "B": few, "EUR": one}) for one in before]
    tonight = plain_night(prices={"A": few, "B": now, "C": now, "EUR": now})
    found = judged(tonight, [plain_night(), plain_night(prices={"EUR": few}), *history])
    assert list(found) == ["price_shift/EUR"]
    shift = found["price_shift/EUR"]
    assert (shift.value, shift.high) == pytest.approx((far_from(now, before), far), abs=1e-6)
    assert (shift.value, shift.high) == (round(shift.value, 6), round(shift.high or 0.0, 6))
    assert (shift.low, shift.nights) == (None, nights)


@pytest.mark.parametrize(
    ("tonight", "times"),
    [
        ({"fingerprint": "f1", "rows": "new", "new_photos": 9}, 1),
        ({"fingerprint": "new", "rows": "r", "new_photos": 0}, 2),
        ({"fingerprint": "new", "rows": "r", "new_photos": 1}, 0),
        ({"fingerprint": "new", "rows": "other", "new_photos": 0}, 0),
        ({"fingerprint": "new", "rows": "", "new_photos": 0}, 0),
    ],
)
def test_a_dump_is_sent_again_if_its_rows_are_and_no_photo_is_new(tonight: dict[str, Any], times: int) -> None:
    history = [plain_night(fingerprint=f"f{number}", rows=rows) for number, rows in enumerate(["r", "r", ""])]
    found = [one for one in shifts(CFG, plain_night(**tonight), history) if one.name == "resent_dump"]
    assert found == [Shift("resent_dump", times, None, 0.0, 3)]
    assert found[0].outside == (times > 0)


def test_a_value_at_a_limit_is_inside() -> None:
    places = {0.9: True, 1.0: False, 2.0: False, 2.1: True}
    assert {value: Shift("", value, 1.0, 2.0, 1).outside for value in places} == places
    assert not Shift("", 5.0, None, None, 1).outside


def test_a_history_begins_with_the_last_night_that_was_accepted() -> None:
    """For each kind of metric; the accepted night itself is part of it."""
    day: dict[str, Any] = {
        "shares": {"missing/brand": 0.1}, "distributions": {"category": {"a": 1}}, "prices": {"EUR": PRICES[0]},
        "labels": {"labelled": {"share": 0.5, "low": 0.5, "high": 0.5}},
    }  # fmt: skip
    names = ["category_shift", "labelled", "missing/brand", "price_shift/EUR", "volume"]
    history = [plain_night(**day, accepted=names * (number in (1, 3))) for number in range(6)]
    found = {one.name: one.nights for one in shifts(CFG, plain_night(**day), history)}
    assert found == {**dict.fromkeys(names, 3), "resent_dump": 6}


def test_a_pattern_accepts_by_the_case_and_a_name_by_itself() -> None:
    cfg = CFG.model_validate({"accepted": {"f": ["label/attribute/a[1]", "price_shift/*"]}})
    names = ["label/attribute/a[1]", "label/attribute/a1", "price_shift/EUR", "PRICE_SHIFT/EUR", "volume"]
    assert accepted_names(cfg, "f", names) == names[:3]
