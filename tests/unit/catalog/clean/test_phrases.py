"""Phrases at the edges of titles: invariants on any text, and what stays readable."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecclip.catalog.clean.phrases import edges_of, without_phrases, words_of
from ecclip.product_input import clean_text, spell_units

WORDS = ["free", "shipping", "sale", "mug", "nike", "무료배송", "머그", "送料無料", "हिन्दी"]
TITLES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).flatmap(
    lambda words: st.lists(st.sampled_from([" ", " - ", " [", "] ", "!", "/"]), min_size=7, max_size=7).map(
        lambda signs: "".join(sign + word for sign, word in zip(signs, words, strict=False)).strip() or "mug"
    )
)
PHRASES = st.sets(
    st.builds(
        lambda edge, words: edge + " ".join(words),
        st.sampled_from("<>"),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    )
)
FREE = {"<free shipping", "<sale", ">sale", ">official store", "<送料無料"}


@given(TITLES, PHRASES)
def test_taking_phrases_away_twice_changes_nothing_and_a_word_always_stays(title: str, phrases: set[str]) -> None:
    once = without_phrases(title, phrases, 3)
    assert without_phrases(once, phrases, 3) == once
    assert words_of(once)
    assert once in title
    assert not set(edges_of(once, 3)) & phrases


@given(st.text())
def test_titles_without_phrases_stay_as_they_are(title: str) -> None:
    assert without_phrases(title, set(), 5) == title.strip()


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("FREE SHIPPING! Nike Air - SALE", "Nike Air"),
        ("[Free Shipping] (New) Mug 50%", "(New) Mug 50%"),
        ("★Sale★ $5 Mug | Official Store", "$5 Mug"),
        ("【送料無料】マグカップ", "マグカップ"),
        ("Sale", "Sale"),
        ("Sale Free Shipping", "Free Shipping"),
        ("Sale mug (sale)", "mug"),
        ("Freedom shipping mug", "Freedom shipping mug"),
        ("sales mug", "sales mug"),
    ],
)
def test_what_is_left_reads_as_a_title(title: str, expected: str) -> None:
    assert without_phrases(title, FREE, 5) == expected


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_cleaning_any_text_twice_changes_nothing(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    if once is not None:
        assert once == once.strip()
        assert "\n" not in once
        assert unicodedata.is_normalized("NFC", once)
        assert spell_units(spell_units(once)) == spell_units(once)


@given(
    st.lists(st.sampled_from(["&amp;", "&lt;", "b", "&#38;", ">", "amp;", "\u200b", "Ã©", " "]), max_size=12).map(
        "".join
    )
)
def test_entities_of_entities_are_cleaned_to_the_end(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Juice 500ML", "Juice 500 ml"), ("Juice 500 ml", "Juice 500 ml"), ("Juice 1,5 L", "Juice 1.5 l"),
        ("Juice 0.75l", "Juice 0.75 l"), ("Rice 2KG bag", "Rice 2 kg bag"), ("Salt 500g", "Salt 500 g"),
        ("Disk 256GB", "Disk 256 GB"), ("60W lamp", "60 W lamp"), ("5000MAH", "5000 mAh"), ("쌀 10㎏", "쌀 10 kg"),
        # not amounts: a size, a network, a model, a thousand, a word
        ("Shirt 3L", "Shirt 3L"), ("Phone 5G", "Phone 5G"), ("Nova M 5", "Nova M 5"), ("1,500 pcs", "1,500 pcs"),
        ("A4ml", "A4ml"), ("100 Ah", "100 Ah"), ("2 men", "2 men"), ("1.2.3 kg", "1.2.3 kg"),
    ],
)  # fmt: skip
def test_amounts_have_one_spelling(text: str, expected: str) -> None:
    cleaned = clean_text(text)
    assert cleaned is not None
    assert spell_units(cleaned) == expected
