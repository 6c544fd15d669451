"""Promotion words and sellers' phrases are found from the data: on a known market, and against a plain Python twin."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from ecclip.catalog.clean.boilerplate import boilerplate
from ecclip.catalog.clean.phrases import edges_of, words_of
from ecclip.catalog.clean.stage import CleanConfig
from ecclip.catalog.spark.session import spark_session

pytestmark = pytest.mark.spark

CFG = CleanConfig().boilerplate
SCHEMA = "seller_id string, title string, category array<string>, brand string, attributes map<string,string>"
BRANDS = ["Arvo", "Belmo", "Cint", "Dorw"]
PLACES = [["home", "mugs"], ["home", "lamps"], ["fashion", "shoes"], ["food", "drinks"]]
COLOURS = ["red", "blue"]


def market(chance: random.Random, sellers: int = 9, titles: int = 30) -> list[dict[str, Any]]:
    rows = []
    for seller in range(sellers):
        for _ in range(titles):
            place, brand, colour = chance.choice(PLACES), chance.choice(BRANDS), chance.choice(COLOURS)
            if seller == 1:
                brand = "Arvo"  # the shop of one brand
            if seller == 2:
                place = PLACES[2]  # the shop of one category
            words = [colour, brand, str(chance.randrange(100, 999)), place[-1][:-1]]
            if seller == 0 and chance.random() < 0.8:
                words = ["Best", "Price", "Shop", "-", *words]
            if seller == 1:
                words = ["Arvo", "original", *words]
            if seller == 2:
                words = ["Shoes", "of", "quality", *words]
            if chance.random() < 0.3:
                words = [*words, chance.choice(["SALE!", "무료 배송"])]
            rows.append(
                {
                    "seller_id": None if seller == 8 else f"s{seller}",
                    "title": " ".join(words),
                    "category": place,
                    "brand": brand,
                    "attributes": {"color": colour},
                }
            )
    return rows


def found(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    spark = spark_session(2)
    frame = spark.createDataFrame([tuple(row.values()) for row in rows], SCHEMA)
    return sorted(
        (one.seller_id or "", one.phrase, one.kind, one.listings, one.categories, one.brands)
        for one in boilerplate(CFG, frame)
    )


def twin(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return the same by dictionaries, word for word as the module's docstring has it."""
    titles: Counter[str] = Counter(row["seller_id"] or "" for row in rows)
    judged = {seller: count for seller, count in titles.items() if count >= CFG.phrase_listings}
    uses: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        for phrase in edges_of(row["title"], CFG.phrase_words):
            if any(sign.isalpha() for sign in phrase):
                uses[phrase].append(row)
    own, shared = {}, {}
    places = len({tuple(row["category"]) for row in rows})
    for phrase, used in uses.items():
        by_seller = Counter(row["seller_id"] or "" for row in used if (row["seller_id"] or "") in judged)
        for seller, count in by_seller.items():
            mine = [row for row in used if (row["seller_id"] or "") == seller]
            if count >= CFG.seller_phrase_share * judged[seller] and _spread(phrase, mine):
                own[seller, phrase] = mine
        many = {seller for seller, count in by_seller.items() if count >= CFG.promotion_phrase_share * judged[seller]}
        needed = max(CFG.promotion_sellers, CFG.promotion_seller_share * len(judged))
        wide = len({tuple(row["category"]) for row in used}) >= CFG.promotion_category_share * places
        if len(many) >= needed and wide and _spread(phrase, used):
            shared[phrase] = (used, sum(by_seller[seller] for seller in many))
    kept = []
    for (seller, phrase), mine in own.items():
        longer = sum(len(other) for (one, text), other in own.items() if one == seller and _shorter(text) == phrase)
        if len(mine) - longer >= CFG.seller_phrase_share * judged[seller]:
            kept.append((seller, phrase, "seller", len(mine), *_counts(mine)))
    for phrase, (used, count) in shared.items():
        longer = sum(other for text, (_, other) in shared.items() if _shorter(text) == phrase)
        if count - longer >= count / 2:
            kept.append(("", phrase, "promotion", count, *_counts(used)))
    return sorted(kept)


def _facts(row: dict[str, Any]) -> list[str]:
    return [row["brand"], *row["category"], *row["attributes"].values()]


def _shorter(phrase: str) -> str:
    words = phrase[1:].split(" ")
    return phrase[0] + " ".join(words[:-1] if phrase[0] == "<" else words[1:])


def _counts(rows: list[dict[str, Any]]) -> tuple[int, int]:
    return len({tuple(row["category"]) for row in rows}), len({row["brand"] for row in rows})


def _spread(phrase: str, rows: list[dict[str, Any]]) -> bool:
    places, brands = _counts(rows)
    words = {word.text for word in words_of(phrase)}
    told = [words & {word.text for text in _facts(row) for word in words_of(text)} for row in rows]
    facts = sum(map(bool, told)) / len(rows)
    return places >= CFG.phrase_categories and brands >= CFG.phrase_brands and facts < CFG.phrase_facts


def test_what_sellers_write_around_names_is_found_and_nothing_that_names_a_product() -> None:
    rows = market(random.Random(1), titles=60)
    phrases = {(seller, phrase) for seller, phrase, *_ in found(rows)}
    assert phrases == {("s0", "<best price shop"), ("", ">sale"), ("", ">무료 배송")}


def test_spark_and_plain_python_agree_whatever_the_order() -> None:
    for seed in range(2):
        rows = market(random.Random(seed), sellers=7 + seed)
        expected = twin(rows)
        assert found(rows) == expected
        random.Random(seed).shuffle(rows)
        assert found(rows) == expected
        assert expected
