"""Term statistics of a night: misspellings, sizes, facts and chance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecclip.catalog.group.description import Describer
from ecclip.catalog.group.minhash import bands
from ecclip.catalog.group.term_statistics import TermStatistics, count_terms


def row(plain: str, brand: str | None = None, category: str | None = None, **attributes: str) -> dict[str, Any]:
    return {
        "plain": plain,
        "brand": brand,
        "category": category,
        "attributes": list(attributes.items()),
        "phash": None,
    }


@pytest.mark.parametrize("slip", ["lantrn", "lanterrn", "lantren", "lentern", "antern"])
def test_a_word_one_slip_from_a_common_one_is_that_one(slip: str) -> None:
    terms = TermStatistics(100, {"lantern": 9, "lanterns": 2, "oak": 50})
    assert terms.corrected(slip) == "lantern"
    assert terms.corrected("lanterns") == "lanterns"  # two titles have it: no slip
    assert terms.corrected("oka") == "oka"  # too short to tell
    assert terms.corrected("lantern7") == "lantern7"


def test_words_tell_facts_that_listings_do_not_state() -> None:
    colours = {"rot": ["red"] * 5, "roja": ["red"], "bleu": ["blue"] * 5}
    rows = [row(f"등불 {word}", "Hearth", "home", color=one) for word, some in colours.items() for one in some]
    terms = count_terms(len(rows), {}, rows)
    assert terms.implied_facts["rot"] == (("attribute color", "red"), ("brand", "Hearth"), ("category", "home"))
    assert "roja" not in terms.implied_facts  # once is not often
    told = Describer(terms).describe(row("lantern bleu"))
    assert "attribute color\x1fblue" in told.fact_texts
    both = Describer(terms).describe(row("lantern bleu rot"))
    assert not any("color" in fact for fact in both.fact_texts)


def test_a_number_of_several_brands_after_one_word_is_a_size_and_not_a_model() -> None:
    rows = [row("bottle 750ml merlot 41", "Roux"), row("bottle 750ml gamay", "Vinho"), row("bottle 750ml", "Harrow")]
    terms = count_terms(len(rows), {"bottle": 3, "750ml": 3}, rows)
    assert terms.sizes == {"750ml"}
    numbers = [len(Describer(terms).describe(one).numbers) for one in rows]
    assert numbers == [1, 0, 0]


def test_a_fact_that_follows_from_another_adds_nothing() -> None:
    rows = [row("x", "b", "drinks", kind=kind, color=color) for kind, color in [("rum", "black"), ("gin", "blue")] * 5]
    terms = count_terms(10, {}, rows)
    rum, black = ("attribute kind", "rum"), ("attribute color", "black")
    assert terms.surprisal([rum]) == pytest.approx(math.log(2))
    assert terms.surprisal([rum, black, ("brand", "b"), ("category", "drinks")]) == pytest.approx(math.log(2))


def test_a_description_does_not_depend_on_the_order_of_words() -> None:
    describer = Describer(TermStatistics(50, {"red": 9, "oak": 3, "chair": 20}))
    one, two = describer.describe(row("red oak chair 513")), describer.describe(row("chair red oak 513"))
    assert one.words == two.words
    assert one.loose_keys == two.loose_keys
    assert one.keys == two.keys
    assert one.codes != two.codes


@given(st.lists(st.text("abcdefgh", min_size=3, max_size=8), min_size=3, max_size=8, unique=True))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_bands_estimate_the_similarity_of_trigrams(words: list[str]) -> None:
    def rows(text: list[str]) -> np.ndarray[Any, Any]:
        return np.concatenate([np.frombuffer(band, np.uint32) for band in bands(text)])

    assert bands(words) == bands(words[::-1])
    grams = [{f" {w} "[i : i + 3] for w in some for i in range(len(w))} for some in (words, words[1:])]
    jaccard = len(grams[0] & grams[1]) / len(grams[0] | grams[1])
    equal = float((rows(words) == rows(words[1:])).mean())
    assert abs(equal - jaccard) < 4.5 * math.sqrt(0.25 / 24)
