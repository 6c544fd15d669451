"""Term statistics of all listings: how rare words are, which facts they imply, how likely chance agreement is."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

BRAND, CATEGORY = "brand", "category"
# all chosen on sample seeds 1-4, 7, 11 and 13
_RARE_SHARE = 0.02  # of the listings: a word with a digit in more titles is a slogan or a size
_RARE_LISTINGS = 5  # the same limit where there are few listings
_TYPO_LETTERS = 5  # shorter words are too often one letter from another word
_TYPO_FREQUENCY = 3  # titles that make a word common enough to be the intended one
_SIZE_BRANDS = 3  # brands that write a number after one word before it counts as a size
_SIZE_SHARE = 1 / 3  # of a number's occurrences that must be like that
_IMPLIED_LISTINGS = 5  # listings that must state a fact together with a word
_IMPLIED_SHARE = 0.95  # of the listings with the word that must state it

Fact = tuple[str, str]


@dataclass(frozen=True)
class TermStatistics:
    """Counts over the listings of one night: pure functions of its rows.

    ``document_frequency`` counts the listings whose title has a word, for words of two listings and more.
    ``implied_facts`` are the facts that nearly every listing with a word states, so that a title states them where its
    listing does not; this needs no word list and no particular language. ``name_counts``, ``fact_counts`` and
    ``pair_counts`` say how many listings of the sample state a fact of that name, that fact, and both of two facts.
    ``sizes`` are words with a digit that several brands write after one word ("bottle 750ml"): they name no model.
    """

    listings: int
    document_frequency: Mapping[str, int]
    implied_facts: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    name_counts: Mapping[str, int] = field(default_factory=dict)
    fact_counts: Mapping[Fact, int] = field(default_factory=dict)
    pair_counts: Mapping[tuple[Fact, Fact], int] = field(default_factory=dict)
    sizes: frozenset[str] = frozenset()

    def weight(self, word: str) -> float:
        """Return the inverse document frequency of a word: ln(listings / listings that have it) (Spärck Jones, 1972).

        Words of a single listing are mostly misspellings, say nothing about pairs and weigh ln 2.
        """
        frequency = self.document_frequency.get(word, 1)
        return math.log(2) if frequency == 1 else math.log(self.listings / frequency)

    def names_model(self, word: str) -> bool:
        """Return whether a word has a digit and occurs in few titles; a frequent one is a slogan ("50%") or a size."""
        rare = self.document_frequency.get(word, 1) <= max(_RARE_LISTINGS, _RARE_SHARE * self.listings)
        return rare and has_digit(word) and word not in self.sizes

    def corrected(self, word: str) -> str:
        """Return the corrected word: one that occurs in a single title and is one typo from a common word becomes that
        word.

        A typo is a letter lost, added or changed, or two neighbours swapped (Damerau, 1964); words with digits stay.
        """
        if word in self.document_frequency or len(word) < _TYPO_LETTERS or not word.isalpha():
            return word
        meant = {common for form in _forms(word) for common in self._misspellings.get(form, ())}
        return max(meant, key=lambda common: (self.document_frequency[common], common), default=word)

    @cached_property
    def _misspellings(self) -> dict[str, list[str]]:
        # two words one typo apart share a form when each may lose a letter (symmetric deletion)
        found: dict[str, list[str]] = defaultdict(list)
        for word, frequency in self.document_frequency.items():
            if frequency >= _TYPO_FREQUENCY and len(word) >= _TYPO_LETTERS and word.isalpha():
                for form in _forms(word):
                    found[form].append(word)
        return dict(found)

    def surprisal(self, facts: Iterable[Fact]) -> float:
        """Return the surprisal in nats, -ln of the probability that a listing states all of ``facts``.

        A fact that follows from another (a kind of drink has one colour) adds nothing: its probability is the largest
        of its share among all listings and among those with one of the facts before it.
        """
        total, before = 0.0, list[Fact]()
        for fact in sorted(facts, key=lambda fact: (fact[0] != CATEGORY, fact[0] != BRAND, fact)):
            count = self.fact_counts.get(fact, 1)
            shares = [count / self.name_counts.get(fact[0], count)]
            shares += [
                self.pair_counts.get(_ordered(fact, other), 0) / self.fact_counts.get(other, 1) for other in before
            ]
            total -= math.log(min(1.0, max(shares)))
            before.append(fact)
        return total


def count_terms(listings: int, frequency: Mapping[str, int], sample: Iterable[Mapping[str, Any]]) -> TermStatistics:
    """Return the term statistics; ``sample`` holds rows with plain, brand, category and attributes."""
    stated: Counter[str] = Counter()
    values: Counter[Fact] = Counter()
    pairs: Counter[tuple[Fact, Fact]] = Counter()
    stated_with: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    coded: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in sample:
        facts = sorted(given_facts(row).items())
        stated.update(name for name, _ in facts)
        values.update(facts)
        pairs.update((one, two) for place, one in enumerate(facts) for two in facts[place + 1 :])
        words = row["plain"].split()
        for code in codes(words):
            coded[code][row["brand"] or ""] += 1
        for word in set(words):
            if word.isalpha():
                for name, value in facts:
                    stated_with[word, name][value] += 1
    return TermStatistics(listings, dict(frequency), _implied_facts(stated_with), stated, values, pairs, _sizes(coded))


def codes(words: list[str]) -> set[tuple[str, str]]:
    """Return the model codes of a title: a word followed by one with a digit ("orbit 513")."""
    return {(word, number) for word, number in itertools.pairwise(words) if word.isalpha() and has_digit(number)}


def has_digit(word: str) -> bool:
    """Return whether a word has a digit of any script."""
    return any(map(str.isdigit, word))


def given_facts(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that a listing states by name: brand, category and every attribute."""
    facts = {f"attribute {name}": value.lower() for name, value in (row["attributes"] or ()) if value}
    if row["brand"]:
        facts[BRAND] = row["brand"]
    if row["category"]:
        facts[CATEGORY] = row["category"]
    return facts


def _implied_facts(stated_with: Mapping[tuple[str, str], Counter[str]]) -> dict[str, tuple[Fact, ...]]:
    implied: dict[str, list[Fact]] = defaultdict(list)
    for (word, name), counts in sorted(stated_with.items()):
        value, most = max(counts.items(), key=lambda item: (item[1], item[0]))
        if most >= _IMPLIED_LISTINGS and most >= _IMPLIED_SHARE * counts.total():
            implied[word].append((name, value))
    return {word: tuple(facts) for word, facts in implied.items()}


def _sizes(coded: Mapping[tuple[str, str], Counter[str]]) -> frozenset[str]:
    every: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    for (_, number), brands in coded.items():
        every[number] += brands.total()
        shared[number] += brands.total() if len(brands.keys() - {""}) >= _SIZE_BRANDS else 0
    return frozenset(number for number, count in shared.items() if count and count >= _SIZE_SHARE * every[number])


def _forms(word: str) -> set[str]:
    return {word} | {word[:place] + word[place + 1 :] for place in range(len(word))}


def _ordered(one: Fact, two: Fact) -> tuple[Fact, Fact]:
    return (one, two) if one < two else (two, one)
