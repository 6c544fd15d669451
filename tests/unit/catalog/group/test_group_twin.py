"""Two nights of a random small market in Spark against plain Python: evidence, marks, groups and ids."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cleaned import edges, group_night, listing
from group_twin import Twin

from ecclip.catalog.group.stage import GroupConfig

pytestmark = [pytest.mark.spark, pytest.mark.heavy]

CFG = {
    "max_group_size": 3,
    "max_block_size": 6,
    "same_code": {"max_listings": 4},
    "catalog_id": {"max_listings": 4},
    "chance": 8.0,
}
KINDS = {
    "catalog_id", "same_photo_and_title", "same_code", "same_photo", "near_photo_and_title", "near_title", "same_facts",
}  # fmt: skip
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


def test_two_nights_with_evidence_of_every_kind_are_those_of_the_slow_twin(tmp_path: Path) -> None:
    chance = random.Random(3)
    rows = market(chance, 60)
    later = next_night(chance, rows)
    chance.shuffle(later)
    before = Twin(GroupConfig.model_validate(CFG), rows)
    after = Twin(GroupConfig.model_validate(CFG), later, before)
    for twin in (before, after):
        assert {edge[2] for edge in twin.edges} == KINDS
        assert set(twin.marks.values()) == {"cut", "ambiguous"}
        assert max(Counter(twin.groups.values()).values()) > 2

    found = group_night(tmp_path / "1", rows, files=1, **CFG)
    assert evidence(tmp_path / "1") == twin_evidence(before)
    assert found == before.groups
    (tmp_path / "1" / "snapshot" / "snapshot.json").unlink()  # as snapshots were before they named their schema
    found = group_night(tmp_path / "2", later, tmp_path / "1" / "snapshot", files=3, parts=3, **CFG)
    assert evidence(tmp_path / "2") == twin_evidence(after)
    assert found == after.groups
    here = {row["listing_id"] for row in later}
    assert all(edge[0] in here and edge[1] in here for edge in evidence(tmp_path / "2"))
