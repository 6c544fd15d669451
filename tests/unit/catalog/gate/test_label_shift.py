"""Labels that vanish or flood are refused by name; chance, rare labels and one seller's rows are not."""

from __future__ import annotations

import functools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ecclip.catalog.gate.before_publishing import ReleaseConfig
from ecclip.catalog.gate.history import LabelShare, NightFacts
from ecclip.catalog.gate.shift import shifts

CFG = ReleaseConfig.model_validate({}).shift
Row = tuple[str, frozenset[str]]
SELLERS = 12


@functools.cache
def listings(number: int, count: int) -> list[Row]:
    """Return an honest night: a flag of 4 %, three colours, two categories, labels of most listings."""
    chance = np.random.default_rng(number)
    drawn = zip(
        chance.choice(["home", "food", "rare"], count, p=[0.6, 0.395, 0.005]).tolist(),
        chance.choice(["red", "blue", "green", ""], count, p=[0.3, 0.3, 0.3, 0.1]).tolist(),
        (chance.random(count) < 0.04).tolist(),
        chance.integers(SELLERS, size=count).tolist(),
        strict=True,
    )
    rows = []
    for category, colour, restricted, seller in drawn:
        labels = ["labelled", f"label/category/{category}"]
        labels += ["label/attribute/color", f"label/attribute/color={colour}"] if colour else []
        rows.append((f"s{seller}", frozenset([*labels, "label/age_restricted"] if restricted else labels)))
    return rows


def facts_of(rows: list[Row], **more: Any) -> NightFacts:
    """Return the label shares as the catalog counts them."""
    total, sellers = len(rows), Counter(seller for seller, _ in rows)
    small = {seller: count for seller, count in sellers.items() if count <= 0.2 * total}
    by_label: dict[str, Counter[str]] = defaultdict(Counter)
    for seller, labels in rows:
        for label in labels:
            by_label[label][seller] += 1
    found = {"labelled": LabelShare(share=0, low=0, high=0)}
    for label, counts in by_label.items():
        most, rest = max(((counts[name], rows) for name, rows in small.items() if counts[name]), default=(0, 0))
        share = counts.total() / total
        low, high = (counts.total() - most) / (total - rest), counts.total() / (total - max(small.values(), default=0))
        found[label] = LabelShare(share=share, low=min(share, low), high=min(high, 1.0))
    plain: dict[str, Any] = {
        "fingerprint": str(more),
        "listings": total,
        "shares": {},
        "distributions": {},
        "prices": {},
    }
    return NightFacts.model_validate(plain | {"labels": {name: one.model_dump() for name, one in found.items()}} | more)


@functools.cache
def _night(number: int, count: int) -> NightFacts:
    return facts_of(listings(number, count))


def outside(tonight: list[Row], nights: int, count: int, **more: Any) -> set[str]:
    history = [_night(number, count).model_copy(update=more) for number in range(nights)]
    found = shifts(CFG, facts_of(tonight, fingerprint="tonight"), history)
    return {shift.name for shift in found if shift.name.startswith("label") and shift.outside}


def without(rows: list[Row], *gone: str, seller: str | None = None) -> list[Row]:
    return [(name, labels - set(gone) if seller in (None, name) else labels) for name, labels in rows]


@pytest.mark.parametrize("nights", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [300, 3000])
def test_honest_nights_pass(nights: int, count: int) -> None:
    for start in range(100, 106):
        assert outside(listings(start, count), nights, count) == set()


@pytest.mark.parametrize("nights", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [300, 3000])
@pytest.mark.parametrize(
    "label", ["label/age_restricted", "label/category/food", "label/attribute/color", "label/attribute/color=red"]
)
def test_a_label_that_vanishes_is_refused_by_its_name(label: str, nights: int, count: int) -> None:
    assert outside(without(listings(99, count), label), nights, count) == {label}


@pytest.mark.parametrize("nights", [1, 4])
def test_a_flag_that_every_listing_has_is_refused(nights: int) -> None:
    rows = [(seller, labels | {"label/age_restricted"}) for seller, labels in listings(99, 1000)]
    assert outside(rows, nights, 1000) == {"label/age_restricted"}


def test_listings_without_any_label_are_refused_and_more_labels_never() -> None:
    rows = listings(99, 1000)
    assert outside([(seller, frozenset()) for seller, _ in rows], 1, 1000) >= {"labelled", "label/age_restricted"}
    full = [(seller, labels | {"label/attribute/color", "label/attribute/new=1"}) for seller, labels in rows]
    assert outside(full, 4, 1000) == set()


@pytest.mark.parametrize("nights", [1, 4])
@pytest.mark.parametrize("count", [300, 3000])
def test_one_sellers_rows_refuse_no_night(nights: int, count: int) -> None:
    rows, everything = listings(99, count), {label for _, labels in listings(99, count) for label in labels}
    assert outside(without(rows, *everything, seller="s3"), nights, count) == set()
    flooded = [(name, labels | everything if name == "s3" else labels) for name, labels in rows]
    assert outside(flooded, nights, count) == set()
    more = [*rows, *[("s3", frozenset({"labelled", "label/category/rare", "label/age_restricted"}))] * (count // 12)]
    assert outside(more, nights, count) == set()


def test_a_label_that_one_seller_alone_had_may_go_with_the_seller() -> None:
    def sold_by_one(number: int) -> list[Row]:
        plain = without(listings(number, 1000), "label/age_restricted")
        return [(name, labels | {"label/age_restricted"} if name == "s3" else labels) for name, labels in plain]

    history = [facts_of(sold_by_one(number)) for number in range(4)]
    tonight = facts_of([row for row in sold_by_one(9) if row[0] != "s3"], fingerprint="tonight")
    assert not any(shift.outside for shift in shifts(CFG, tonight, history) if shift.name.startswith("label"))


def test_the_one_seller_of_a_shop_is_not_left_out() -> None:
    own = [[("shop", labels) for _, labels in listings(number, 1000)] for number in range(3)]
    tonight = facts_of(without(own[2], "label/age_restricted"), fingerprint="tonight")
    found = shifts(CFG, tonight, [facts_of(rows) for rows in own[:2]])
    assert [shift.name for shift in found if shift.name.startswith("label") and shift.outside] == [
        "label/age_restricted"
    ]


def test_a_rare_category_is_not_judged_alone_and_nights_of_before_are_no_history() -> None:
    assert outside(without(listings(99, 3000), "label/category/rare"), 5, 3000) == set()
    bare = without(listings(99, 3000), "label/age_restricted")
    assert outside(bare, 5, 3000, labels={}) == set()
    history = [facts_of(listings(0, 3000)), facts_of(listings(1, 3000), labels={})]
    found = {shift.name: shift for shift in shifts(CFG, facts_of(bare, fingerprint="tonight"), history)}
    assert found["label/age_restricted"].nights == 1
    assert found["label/age_restricted"].outside


# The limits once more, with the numbers of the configuration written out.


def night_of(rows: int, name: str, share: float, low: float, high: float) -> NightFacts:
    other = {"share": 1.0, "low": 1.0, "high": 1.0}
    labels = {"label/attribute/other": other} | {name: {"share": share, "low": low, "high": high}}
    plain = {"fingerprint": "", "listings": rows, "shares": {}, "distributions": {}, "prices": {}, "labels": labels}
    return NightFacts.model_validate(plain)


def reach(series: Sequence[float], least: float, sampling: float) -> float:
    centre = statistics.median(series)
    spread = 1.4826 * statistics.median(abs(one - centre) for one in series)
    return 6.0 * max((3.0 if len(series) < 3 else 1.0) * max(spread, least), sampling)


def expected_limits(rows: int, history: list[tuple[float, float, float]]) -> tuple[float | None, float]:
    """Return the lowest and the highest share that a night of so many rows may have."""
    usual = statistics.median(share for share, _, _ in history)

    def logarithm(share: float) -> float:
        return math.log((share * rows + 0.5) / (rows + 1))

    def share_of(value: float) -> float:
        return max(0.0, (math.exp(min(value, 0.0)) * (rows + 1) - 0.5) / rows)

    def limits(series: list[float], sampling: float, least: float = 0.1) -> tuple[float, float]:
        centre, far = statistics.median(series), reach(series, least, sampling)
        return centre - far, centre + far

    sampling, highest = 1 / math.sqrt(usual * rows + 0.5), [high for _, _, high in history]
    low = share_of(limits([logarithm(one) for _, one, _ in history], sampling)[0])
    surge = share_of(limits([logarithm(one) for one in highest], sampling)[1])
    linear = limits(highest, math.sqrt(usual * (1 - usual) / rows), least=0.01)[1]
    without = limits([logarithm(1 - one) for one in highest], 1 / math.sqrt((1 - usual) * rows + 0.5))[0]
    return (round(low, 6) if low else None), round(min(max(surge, linear), 1 - share_of(without), 1.0), 6)


HISTORIES = [
    [(0.04, 0.03, 0.05)],
    [(0.5, 0.45, 0.55), (0.6, 0.5, 0.62), (0.52, 0.5, 0.53)],
    [(0.02, 0.01, 0.03), (0.03, 0.0, 0.06), (0.01, 0.01, 0.02), (0.05, 0.04, 0.05)],
    [(1.0, 1.0, 1.0), (0.99, 0.98, 1.0), (0.98, 0.97, 0.99)],
    [(0.9, 0.85, 0.9)] * 3,
    [(0.04, 0.03, 0.05)] * 3,
    [(0.02, 0.02, 0.02)] * 3,
]


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("rows", [1, 300, 100_000])
def test_a_label_may_be_as_far_as_the_formula_says(rows: int, history: list[tuple[float, float, float]]) -> None:
    name = "label/age_restricted"
    nights = [night_of(500, name, *one) for one in history]
    found = {one.name: one for one in shifts(CFG, night_of(rows, name, 0.3, 0.25, 0.35), nights)}
    shift, usual = found[name], statistics.median(share for share, _, _ in history)
    low, high = expected_limits(rows, history)
    assert (shift.low, shift.high) == (
        None if low is None else pytest.approx(low, abs=1e-6),
        pytest.approx(high, abs=1e-6),
    )
    assert shift.value == min(max(usual, 0.25), 0.35), "the share nearest to the usual one"
    assert shift.nights == len(history)


@pytest.mark.parametrize(
    ("name", "may_surge"),
    [
        ("labelled", True), ("label/attribute/color", True), ("label/attribute/color=red", False),
        ("label/category/a", False), ("label/category/a=b", False), ("label/age_restricted", False),
    ],
)  # fmt: skip
def test_more_listings_may_have_a_label_at_all(name: str, may_surge: bool) -> None:
    nights = [night_of(1000, name, 0.5, 0.45, 0.5)] * 3
    found = {one.name: one for one in shifts(CFG, night_of(1000, name, 0.5, 0.5, 0.5), nights)}
    assert (found[name].high is None) == may_surge
    assert found[name].low == pytest.approx(expected_limits(1000, [(0.5, 0.45, 0.5)] * 3)[0], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "share", "judged"),
    [
        ("label/category/a", 0.01, True), ("label/category/a", 0.0099, False), ("label/attribute/a=b", 0.0099, False),
        ("label/age_restricted", 0.001, True), ("labelled", 0.001, True),
    ],
)  # fmt: skip
def test_a_label_of_one_percent_is_judged_alone_and_a_rarer_one_is_not(name: str, share: float, judged: bool) -> None:
    nights = [night_of(1000, name, share, share, share)] * 3
    found = {one.name for one in shifts(CFG, night_of(1000, name, 0.5, 0.5, 0.5), nights)}
    assert (name in found) == judged
    assert "label/attribute/other" in found


def test_a_label_that_is_new_has_no_history_and_one_that_is_gone_is_zero() -> None:
    nights = [night_of(1000, "label/category/gone", 0.5, 0.4, 0.5)] * 3
    found = {one.name: one for one in shifts(CFG, night_of(1000, "label/category/new", 0.5, 0.5, 0.5), nights)}
    assert "label/category/new" not in found
    assert found["label/category/gone"].value == 0.0
    assert found["label/category/gone"].outside


def test_nights_without_labels_are_no_history_for_the_ones_that_follow() -> None:
    """A metric whose history begins anew with such a night is not judged; those after it by name are."""
    gone = night_of(1000, "label/category/a", 0.5, 0.5, 0.5)
    bare = gone.model_copy(update={"labels": {}, "accepted": ["label/attribute/other"]})
    found = {one.name: one.nights for one in shifts(CFG, gone, [gone, bare])}
    assert {name: nights for name, nights in found.items() if name.startswith("label")} == {"label/category/a": 1}
    assert not any(one.name.startswith("label") for one in shifts(CFG, bare, [gone, gone]))
