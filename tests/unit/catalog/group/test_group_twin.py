"""Two nights of random small markets in Spark against plain Python: evidence, marks, groups and ids."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cleaned import edges, group_night, listing
from group_twin import Twin
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ecclip.catalog.group.stage import GroupConfig

pytestmark = [pytest.mark.spark, pytest.mark.heavy]

CFG = {
    "max_group_size": 3,
    "max_block_size": 6,
    "same_code": {"max_listings": 4},
    "catalog_id": {"max_listings": 4},
    "chance": 8.0,
}
BRANDS = ["Arvo", "Belmo Sun", None]
NOUNS = {"mug": ["home", "mugs"], "lamp": ["home", "lamps"]}
COLOURS = ["red", "블루", "green"]


def market(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Return listings of few products with few words, so that evidence of every kind meets in small components."""
    return [_offer(chance, f"l{number:02d}") for number in range(count)]


def _offer(chance: random.Random, name: str) -> dict[str, Any]:
    number = chance.randrange(8)
    product = random.Random(number // 2)  # two models look the same
    brand, noun, colour = product.choice(BRANDS), product.choice(list(NOUNS)), product.choice(COLOURS)
    model, price = f"Nova {100 + number}", product.choice([10.0, 18.0])
    given_model = chance.random() < 0.6
    words = [brand or "Arvo", model if given_model else "", colour, chance.choice(["", "sale", "shiny"]), noun]
    photo = chance.choice([None, product.randrange(1 << 63), product.randrange(1 << 63) ^ chance.choice([1, 3, 255])])
    return listing(
        name,
        " ".join(word for word in words if word) + chance.choice(["", "", "!", " (new)"]),
        brand=chance.choice([brand, None]),
        category=chance.choice([NOUNS[noun], NOUNS[noun], None]),
        attributes=chance.choice([{"color": colour}, {"color": colour, "kind": noun}, None]),
        price=chance.choice([price, round(price * 1.1, 2), None]),
        currency=chance.choice(["EUR", "EUR", "USD", None]),
        catalog_id=chance.choice([f"c{product.randrange(3)}", *[None] * 4]),
        image_sha256=None if photo is None else f"{photo % 7:064x}",
        image_phash=None if photo is None else f"{photo:016x}",
        image_error=chance.choice([None, None, None, "placeholder"]) if photo is not None else None,
    )


def next_night(chance: random.Random, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the night after: some listings gone, some changed, some new, most as they were."""
    kept = [row for row in rows if chance.random() > 0.15]
    changed = [_offer(chance, row["listing_id"]) if chance.random() < 0.2 else row for row in kept]
    return [*changed, *(_offer(chance, f"n{number}") for number in range(chance.randrange(6)))]


def evidence(folder: Path) -> list[tuple[str, str, str, float, str | None]]:
    return [tuple(edge.values()) for edge in edges(folder)]  # type: ignore[misc]


def twin_evidence(twin: Twin) -> list[tuple[str, str, str, float, str | None]]:
    return [(*edge, twin.marks.get(edge)) for edge in twin.edges]


@given(st.integers(0, 10_000))
# a smaller seed is no simpler market: nothing to shrink
@settings(max_examples=3, deadline=None, derandomize=True, phases=[Phase.generate])
def test_two_nights_are_those_of_the_slow_twin(seed: int) -> None:
    chance = random.Random(seed)
    rows = market(chance, 36)
    later = next_night(chance, rows)
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name) / "1", Path(name) / "2"
        found = group_night(first, rows, files=1, **CFG)
        before = Twin(GroupConfig.model_validate(CFG), rows)
        assert evidence(first) == twin_evidence(before)
        assert found == before.groups
        chance.shuffle(later)
        found = group_night(second, later, first / "snapshot", files=3, parts=3, **CFG)
        after = Twin(GroupConfig.model_validate(CFG), later, before)
        assert evidence(second) == twin_evidence(after)
        assert found == after.groups
        here = {row["listing_id"] for row in later}
        assert all(edge[0] in here and edge[1] in here for edge in evidence(second))


def test_the_random_markets_have_evidence_of_every_kind_and_mark() -> None:
    twins = [Twin(GroupConfig.model_validate(CFG), market(random.Random(seed), 36)) for seed in range(12)]
    assert {edge[2] for twin in twins for edge in twin.edges} == {
        "catalog_id", "same_photo_and_title", "same_code", "same_photo", "near_photo_and_title", "near_title",
        "same_facts",
    }  # fmt: skip
    assert {mark for twin in twins for mark in twin.marks.values()} == {"cut", "ambiguous"}
    assert max(len({name for name, group in twin.groups.items() if group == own}) for twin in twins
               for own in twin.groups.values()) > 2  # fmt: skip
