"""Which attributes have open values, and how they are read: chosen, learnt and proven as the heads are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecclip.formats.sampling import smallest_hashes
from ecclip.tasks.attributes.opened import OpenValue, OpenValues
from ecclip.tasks.attributes.reader import texts_of
from ecclip.tasks.attributes.teaching import Example, learn, overlapping_pairs
from ecclip.tasks.attributes.tokens import key_of, spans_of, words_of
from ecclip.tasks.config import AutoConfig, OpenValuesConfig
from ecclip.tasks.rows import THRESHOLDS
from ecclip.tasks.scores import EVEN_CHANCE
from ecclip.tasks.thresholds import Answers, thresholds_of

_OWN_LEAST = 100  # validation answers from which on an attribute has a least score of its own; by judgment


@dataclass(frozen=True)
class Labelled:
    """Listings and what they state: texts as tasks read them, categories, values by attribute, None without specs.

    A category is one that is given with every question, empty where it is not. ``asked`` are the attributes that a
    listing is asked about at once, those that it states among them; None stands for all. ``groups`` [N] are numbers of
    products, ``split`` [N] as of :class:`ecclip.tasks.rows.Rows`.
    """

    listing_ids: Sequence[str]
    titles: Sequence[str]
    descriptions: Sequence[str | None]
    categories: Sequence[str]
    stated: Sequence[Mapping[str, Sequence[str]] | None]
    asked: Sequence[Collection[str] | None]
    groups: np.ndarray
    split: np.ndarray

    def example(self, row: int) -> Example:
        """Return a listing as it teaches a reader."""
        return Example(self.titles[row], self.descriptions[row], self.categories[row], self.stated[row] or {})


@dataclass(frozen=True)
class Read:
    """Answers about one attribute to M listings: their rows, scores, whether right, and whether a value is stated."""

    rows: np.ndarray
    said: list[OpenValue]
    scores: np.ndarray
    right: np.ndarray
    present: np.ndarray

    @classmethod
    def of(cls, found: Sequence[tuple[int, OpenValue, bool, bool]]) -> Read:
        """Return answers with their rows, whether they are right, and whether there is a value."""
        rows, said, right, present = zip(*found, strict=True) if found else ((), (), (), ())
        scores = [one.score or 0.0 for one in said]
        return cls(np.array(rows, int), list(said), np.array(scores), np.array(right, bool), np.array(present, bool))

    def listed(self) -> list[tuple[int, OpenValue, bool, bool]]:
        """Return them one by one, as :meth:`of` takes them."""
        columns = (self.rows.tolist(), self.said, self.right.tolist(), self.present.tolist())
        return list(zip(*columns, strict=True))

    def answers(self, listings: Labelled) -> Answers:
        """Return them as what thresholds are proven with: one class, and another truth where one is wrong."""
        wrong = (~self.right).astype(np.int64)
        return Answers(self.scores, np.zeros(len(self.rows), np.int64), wrong, listings.groups[self.rows])


def learn_open_values(
    listings: Labelled, closed: Sequence[str], cfg: OpenValuesConfig, auto: AutoConfig
) -> dict[str, Any]:
    """Return the part ``open`` of heads.json, empty where no attribute but the ``closed`` ones can be read.

    Split train teaches; of the strengths of the penalty, of reading attributes each for itself or in turns, and of the
    scores from which on a value is said, those with the best F1 on validation are kept; split thresholds proves from
    which score on an answer needs no review.
    """
    taught = rows_with_specs(listings, "train", cfg.max_listings)
    examples = [listings.example(row) for row in taught]
    names = readable_names(examples, closed, cfg)
    if not names:
        return {}
    held_out = rows_with_specs(listings, "validation", cfg.max_listings)
    best: tuple[float, dict[str, Any]] = (-1.0, {})
    in_turns, spelling = {"overlapping": overlapping_pairs(examples, names)}, _spelling(examples)
    for strength in cfg.strengths if len(held_out) else cfg.strengths[:1]:
        reader = learn(examples, names, strength, cfg.max_iterations)
        for more in ({}, in_turns) if len(held_out) else ({},):
            found = {"reader": reader | more, "auto": {}, "spelling": spelling}
            f1, found["least"] = _least(found, listings, held_out)
            best = max(best, (f1, found), key=lambda one: one[0])
    described = best[1]
    described["auto"] = _proven(described, listings, cfg, auto)
    return described


def readable_names(examples: Sequence[Example], closed: Sequence[str], cfg: OpenValuesConfig) -> list[str]:
    """Return the names, most frequent first, whose stated values stand in the texts often enough to be learnt."""
    stated: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for one in examples:
        keys = {key_of(words, *span) for _, words in texts_of(one.title, one.description) for span in spans_of(words)}
        for name, values in one.stated.items():
            stated[name] += bool(values)
            found[name] += any(key_of(words, 0, len(words)) in keys for words in map(words_of, values) if len(words))
    names = [
        name
        for name, count in found.items()
        if name not in closed and count >= cfg.min_count and count >= cfg.min_found * stated[name]
    ]
    return sorted(names, key=lambda name: (-found[name], name))[: cfg.max_names]


def is_right(answer: OpenValue, values: Sequence[str]) -> bool:
    """Return whether an answer is one of the stated values, whatever its case, or "not present" where there is none."""
    if answer.value is None:
        return not values
    return _key(answer.value) in {_key(value) for value in values}


def _key(value: str) -> str:
    words = words_of(value)
    return key_of(words, 0, len(words))


def rows_with_specs(listings: Labelled, split: str, most: int) -> list[int]:
    """Return the listings of a split that have specs, at most ``most`` of the smallest hashes of their ids."""
    chosen = [row for row in np.flatnonzero(listings.split == split).tolist() if listings.stated[row] is not None]
    kept = smallest_hashes([str(listings.listing_ids[row]) for row in chosen], most)
    return sorted(chosen[place] for place in kept)


def _spelling(examples: Sequence[Example]) -> dict[str, str]:
    """Return how each value is written most often, by its key."""
    written: dict[str, Counter[str]] = defaultdict(Counter)
    for one in examples:
        for values in one.stated.values():
            for value in values:
                written[_key(value)][value] += 1
    return {key: min(found, key=lambda value: (-found[value], value)) for key, found in sorted(written.items())}


def _least(found: dict[str, Any], listings: Labelled, rows: Sequence[int]) -> tuple[float, dict[str, float]]:
    """Return F1 on the ``rows``, and by name the score from which on a value is said: that of the best F1.

    An attribute with few answers has the score of all together: its own would be one of chance.
    """
    names = found["reader"]["names"]
    read = answers_of(OpenValues(found | {"least": dict.fromkeys(names, 0.0)}), listings, rows)
    pooled = best_least(Read.of([one for each in read.values() for one in each.listed()]))
    least = {name: best_least(one) if len(one.rows) >= _OWN_LEAST else pooled for name, one in read.items()}
    said = {name: one.scores >= least[name] for name, one in read.items()}
    hits = sum(int((one.right & said[name]).sum()) for name, one in read.items())
    both = sum(int(one.present.sum() + said[name].sum()) for name, one in read.items())
    return 2 * hits / max(both, 1), least


def best_least(read: Read) -> float:
    """Return the score from which on values have the best F1.

    Of none that is right it is an even chance, above which nothing is said.
    """
    order = np.argsort(-read.scores, kind="stable")
    hits, said = np.cumsum(read.right[order]), np.arange(1, len(order) + 1)
    if not len(order) or not hits[-1]:
        return EVEN_CHANCE
    place = int(np.argmax(2 * hits / (said + read.present.sum())))
    below = read.scores[order][place + 1] if place + 1 < len(order) else 0.0
    return round(float(read.scores[order][place] + below) / 2, 6)


def answers_of(values: OpenValues, listings: Labelled, rows: Sequence[int]) -> dict[str, Read]:
    """Return what is answered to those of the ``rows`` that state a value or its absence, by attribute.

    A listing is asked as a service would: about all of its attributes at once.
    """
    found: dict[str, list[tuple[int, OpenValue, bool, bool]]] = {name: [] for name in values.names}
    for row in rows:
        one = listings.example(row)
        for name, answer in values.answer(one.title, one.description, one.category, listings.asked[row]).items():
            if name in one.stated:
                found[name].append((row, answer, is_right(answer, one.stated[name]), bool(one.stated[name])))
    return {name: Read.of(answers) for name, answers in found.items()}


def _proven(described: dict[str, Any], listings: Labelled, cfg: OpenValuesConfig, auto: AutoConfig) -> dict[str, float]:
    """Return by name the score from which on an answer needs no review."""
    values = OpenValues(described)
    held_out, chosen_on = (
        answers_of(values, listings, rows_with_specs(listings, split, cfg.max_listings))
        for split in (THRESHOLDS, "validation")
    )
    found = {}
    for name in values.names:
        proven = thresholds_of(held_out[name].answers(listings), chosen_on[name].answers(listings), auto)
        found[name] = (proven.classes or {}).get(0, proven.score)
    return found
