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
_RARE_SHARE = 0.02  # of the listings; chosen on sample seeds 1-4, 7, 11, 13
_RARE_LISTINGS = 5  # likewise
_SLIP_LETTERS = 5  # shorter words are too often one letter from another word
_SLIP_SEEN = 3  # titles that make a word common enough to be the one that was meant
_SIZE_BRANDS = 3  # likewise
_SIZE_SHARE = 1 / 3  # likewise
_SAID_LISTINGS = 5  # likewise
_SAID_SHARE = 0.95  # likewise

Fact = tuple[str, str]


@dataclass(frozen=True)
class TermStatistics:
    """Counts over the listings of one night: pure functions of its rows.

    ``seen`` counts the listings whose title has a word, for words of two listings and more. ``says`` are the facts that
    nearly every listing with a word states, so that a title states them where its listing does not; this needs no word
    list and no particular language. ``stated``, ``values`` and ``pairs`` count how many listings of the sample state a
    fact by that name, with that value, and two facts together. ``sizes`` are words with a digit that several brands
    write after one word ("bottle 750ml"): they do not name a model.
    """

    listings: int
    seen: Mapping[str, int]
    says: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    stated: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[Fact, int] = field(default_factory=dict)
    pairs: Mapping[tuple[Fact, Fact], int] = field(default_factory=dict)
    sizes: frozenset[str] = frozenset()

    def weight(self, word: str) -> float:
        """Return the inverse document frequency of a word: ln(listings / listings that have it) (Spärck Jones, 1972).

        Words of a single listing are mostly misspellings, say nothing about pairs and weigh ln 2.
        """
        seen = self.seen.get(word, 1)
        return math.log(2) if seen == 1 else math.log(self.listings / seen)

    def names_model(self, word: str) -> bool:
        """Return whether a word has a digit and occurs in few titles; a frequent one is a slogan ("50%") or a size."""
        rare = self.seen.get(word, 1) <= max(_RARE_LISTINGS, _RARE_SHARE * self.listings)
        return rare and has_digit(word) and word not in self.sizes

    def corrected(self, word: str) -> str:
        """Return the corrected word: one that occurs in a single title and is one typo from a common word becomes that
        word.

        A typo is a letter lost, added or changed, or two neighbours swapped (Damerau, 1964); words with digits stay.
        """
        if word in self.seen or len(word) < _SLIP_LETTERS or not word.isalpha():
            return word
        meant = {common for form in _forms(word) for common in self._misspellings.get(form, ())}
        return max(meant, key=lambda common: (self.seen[common], common), default=word)

    @cached_property
    def _misspellings(self) -> dict[str, list[str]]:
        # two words one typo apart share a form when each may lose a letter (symmetric deletion)
        found: dict[str, list[str]] = defaultdict(list)
        for word, seen in self.seen.items():
            if seen >= _SLIP_SEEN and len(word) >= _SLIP_LETTERS and word.isalpha():
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
            count = self.values.get(fact, 1)
            shares = [count / self.stated.get(fact[0], count)]
            shares += [self.pairs.get(_ordered(fact, other), 0) / self.values.get(other, 1) for other in before]
            total -= math.log(min(1.0, max(shares)))
            before.append(fact)
        return total


def count_terms(listings: int, seen: Mapping[str, int], sample: Iterable[Mapping[str, Any]]) -> TermStatistics:
    """Return the term statistics; ``sample`` holds rows with plain, brand, category and attributes."""
    stated: Counter[str] = Counter()
    values: Counter[Fact] = Counter()
    pairs: Counter[tuple[Fact, Fact]] = Counter()
    told: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
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
                    told[word, name][value] += 1
    return TermStatistics(listings, dict(seen), _says(told), stated, values, pairs, _sizes(coded))


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


def _says(told: Mapping[tuple[str, str], Counter[str]]) -> dict[str, tuple[Fact, ...]]:
    says: dict[str, list[Fact]] = defaultdict(list)
    for (word, name), counts in sorted(told.items()):
        value, most = max(counts.items(), key=lambda item: (item[1], item[0]))
        if most >= _SAID_LISTINGS and most >= _SAID_SHARE * counts.total():
            says[word].append((name, value))
    return {word: tuple(facts) for word, facts in says.items()}


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
