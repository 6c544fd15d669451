"""Titles say what a product is in many ways, and mostly truthfully."""

from __future__ import annotations

import re
from random import Random

import pytest

from ecclip.sample import SampleConfig
from ecclip.sample.titles import description_of, title_of, with_typo
from ecclip.sample.words import COLOR_KOREAN, COLOR_SYNONYMS, LEAVES
from ecclip.sample.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(SampleConfig(listings=600))


def test_sellers_of_one_product_word_it_differently(world: World) -> None:
    listings = world.listings(0, 600, 0, "2026-11-01")
    titles: dict[int, list[str]] = {}
    for listing in listings:
        titles.setdefault(listing.product, []).append(title_of(world, listing))
    several = [named for named in titles.values() if len(named) > 1]
    assert sum(len(set(named)) == len(named) for named in several) > 0.9 * len(several)


def test_titles_mostly_name_category_and_colour(world: World) -> None:
    listings = world.listings(0, 600, 0, "2026-11-01")
    nouns = colors = colored = korean = 0
    for listing in listings:
        title, appearance = title_of(world, listing).lower(), world.product(listing.product).appearance
        leaf = LEAVES[appearance.leaf]
        nouns += any(noun.lower() in title for noun in (*leaf.nouns, *leaf.korean))
        korean += re.search("[가-힣]", title) is not None
        if not leaf.kinds:
            colored += 1
            colors += any(word in title for word in (*COLOR_SYNONYMS[appearance.color], COLOR_KOREAN[appearance.color]))
    assert nouns > 0.9 * len(listings)
    assert colors > 0.85 * colored
    assert 0.05 < korean / len(listings) < 0.6


@pytest.mark.parametrize("seed", range(30))
def test_a_typo_changes_the_title(seed: int) -> None:
    assert with_typo("Norvik Red Cotton T-Shirt", Random(seed)) != "Norvik Red Cotton T-Shirt"


def test_some_descriptions_are_html_and_some_are_missing(world: World) -> None:
    told = [description_of(world, listing) for listing in world.listings(0, 600, 0, "2026-11-01")]
    assert 0.15 < told.count(None) / len(told) < 0.35
    assert 0.1 < sum("<p>" in text for text in told if text) / len(told) < 0.6
