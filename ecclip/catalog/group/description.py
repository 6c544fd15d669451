"""One listing as numbers that compare quickly: weighted words, facts and blocking keys."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from ecclip.catalog.group.minhash import bands
from ecclip.catalog.group.term_statistics import BRAND, CATEGORY, Fact, TermStatistics, codes, given_facts, has_digit

SCALE = 1024  # a weight of 1.0 as a whole number: sums of whole numbers do not depend on their order
WEIGHT_BITS = 16  # of a packed word hold its weight: ln of a billion listings is 20.7, times SCALE
_KEY_FACTS = 4  # the rarest facts that make blocking keys; chosen on sample seeds 1-4, 7, 11, 13
_PHOTO_BITS = 64  # of the perceptual hash


class Description(NamedTuple):
    """What grouping compares of a listing.

    ``words`` hold hash and weight of a word in one number; ``numbers`` are the words that may name its model, the
    likeliest first; ``named`` and ``facts`` are hashes of a fact's name, and of its name and value; ``fact_texts``
    are the facts as text. ``codes``, ``keys`` and ``loose_keys`` are blocking keys: listings that share one are
    candidates, those of ``loose_keys`` only where one of the two names no model.
    """

    words: list[int]
    total: int
    numbers: list[int]
    named: list[int]
    facts: list[int]
    fact_texts: list[str]
    codes: list[int]
    keys: list[int]
    loose_keys: list[int]


class Describer:
    """Describes listings by the term statistics of their night."""

    def __init__(self, terms: TermStatistics) -> None:
        self._terms = terms
        self._word = lru_cache(1 << 17)(self._packed)

    def describe(self, row: Mapping[str, Any]) -> Description:
        """Return the description of a row with plain, brand, category, attributes and phash."""
        terms = self._terms
        words = [terms.corrected(word) for word in row["plain"].split()]
        distinct = sorted(set(words))
        packed = [self._word(word) for word in distinct]
        named = [word for word in distinct if terms.names_model(word)]
        # the rarest names the model, then the longest; the others are uncommon sizes and years
        numbers = sorted(named, key=lambda word: (terms.document_frequency.get(word, 1), -len(word), word))
        facts = self._facts(row, distinct)
        # the category is compared separately, because sellers often disagree about it
        compared = [fact for fact in facts if fact[0] != CATEGORY]
        lettered = [word for word in distinct if not has_digit(word)]
        return Description(
            words=packed,
            total=sum(word & ((1 << WEIGHT_BITS) - 1) for word in packed),
            numbers=[_hash("number", word) for word in numbers],
            named=[_hash("name", name) for name, _ in compared],
            facts=[_hash("fact", *fact) for fact in compared],
            fact_texts=["\x1f".join(fact) for fact in facts],
            codes=[_hash("code", word, number) for word, number in sorted(codes(words)) if number in numbers[:1]],
            keys=[*_tagged(lettered, numbers[:1]), *_photo_keys(row)],
            loose_keys=[*_tagged(lettered, [""]), *self._fact_keys(dict(facts))],
        )

    def _packed(self, word: str) -> int:
        weight = min(max(round(self._terms.weight(word) * SCALE), 0), (1 << WEIGHT_BITS) - 1)
        return (_hash("word", word) >> WEIGHT_BITS << WEIGHT_BITS) | weight

    def _facts(self, row: Mapping[str, Any], words: Iterable[str]) -> list[Fact]:
        facts = given_facts(row)
        said: dict[str, set[str]] = {}
        for word in words:
            for name, value in self._terms.implied_facts.get(word, ()):
                said.setdefault(name, set()).add(value)
        # words that imply different values ("black lace dress", "black friday") imply none
        facts |= {name: min(values) for name, values in said.items() if len(values) == 1 and name not in facts}
        return sorted(facts.items())

    def _fact_keys(self, facts: dict[str, str]) -> list[int]:
        if BRAND not in facts or CATEGORY not in facts:
            return []
        rest = [fact for fact in facts.items() if fact[0] not in (BRAND, CATEGORY)]
        rarest = sorted(rest, key=lambda fact: (self._terms.fact_counts.get(fact, 1), fact))[:_KEY_FACTS]
        place = (facts[BRAND], facts[CATEGORY])
        chosen = [*itertools.combinations(sorted(rarest), 1), *itertools.combinations(sorted(rarest), 2)]
        return [_hash("facts", *place, *itertools.chain(*some)) for some in chosen]


def _tagged(words: list[str], tags: list[str]) -> list[int]:
    if not words:
        return []
    return [_hash("title", tag, str(place), band.hex()) for tag in tags for place, band in enumerate(bands(words))]


def _photo_keys(row: Mapping[str, Any]) -> list[int]:
    if row["phash"] is None:
        return []
    bits = row["phash"] & ((1 << _PHOTO_BITS) - 1)
    wide = [_hash("photo", "16", str(place), str(bits >> place * 16 & 0xFFFF)) for place in range(4)]
    if not row["brand"] or not row["category"]:
        return wide
    place = (row["category"], row["brand"])
    return wide + [_hash("photo", "8", str(byte), str(bits >> byte * 8 & 0xFF), *place) for byte in range(8)]


def _hash(*parts: str) -> int:
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
