"""A reader of open values learnt from a shop's own titles, descriptions and specs, by distant matching.

A span of a listing's text that reads as one of its stated values is an example of the attribute (Mintz and others,
Distant supervision for relation extraction without labeled data, 2009); every other span is one of "no value", except
where it is known as a value of an attribute that the listing says nothing about: what is not stated teaches nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import softmax

from ecclip.tasks.attributes.features import first_features, inner_features, last_features
from ecclip.tasks.attributes.reader import Text, Uses, described, texts_of
from ecclip.tasks.attributes.tokens import key_of, spans_of, words_of

_LEAST_LISTINGS = 2  # that a feature must be seen in; of one listing it would be learnt by heart
_ONE_OF = 3  # of the spans without any sign of a value that are learnt from, at that weight; by judgment: time
_SELDOM = 0.05  # of listings in which values of two attributes share words: a slip of who wrote them; by judgment
_LEAST_WEIGHT = 2e-3  # of a feature that is kept; by judgment: forty of them change a probability by 0.02


@dataclass(frozen=True)
class Example:
    """A listing that teaches: its cleaned texts, its category, and by attribute the values that it states.

    No value stands for one that is known to be absent; an attribute that is not stated is left out.
    """

    title: str | None
    description: str | None
    category: str
    stated: Mapping[str, Sequence[str]]


@dataclass
class _Spans:
    """All spans that are learnt from: features as lists of numbers, by word and by span, and what they are."""

    first: list[list[int]] = field(default_factory=list)  # by word
    last: list[list[int]] = field(default_factory=list)
    inner: list[list[int]] = field(default_factory=list)
    whole: list[list[int]] = field(default_factory=list)  # by span
    places: list[tuple[int, int]] = field(default_factory=list)  # first word and the one behind, over all texts
    targets: list[tuple[int, ...]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    listings: list[int] = field(default_factory=list)  # where the spans of each listing begin
    stated: list[tuple[int, ...]] = field(default_factory=list)  # by listing: the attributes that it is asked about


def learn(examples: Sequence[Example], names: Sequence[str], strength: float, iterations: int) -> dict[str, Any]:
    """Return a model for :class:`~ecclip.tasks.attributes.reader.Reader` of the attributes ``names``.

    ``strength`` is scikit-learn's C, the inverse strength of the L2 penalty, ``iterations`` those of the solver.
    """
    uses = uses_of(examples, names)
    numbers, spans = _numbered(examples, names, uses)
    weights = _fit(spans, len(numbers), len(names) + 1, strength, iterations)
    kept = np.abs(weights).max(axis=1, initial=0.0) >= _LEAST_WEIGHT
    features = [name for name, is_kept in zip(numbers, kept, strict=True) if is_kept]
    return described(names, features, weights[kept], uses)


def uses_of(examples: Iterable[Example], names: Collection[str]) -> Uses:
    """Return as what the spans of the examples are known."""
    values: dict[str, Counter[str]] = defaultdict(Counter)
    for one in examples:
        for key, stated in _own(one, names).items():
            values[key].update(stated)
    seen: Counter[str] = Counter()
    for one in examples:
        texts = [words for _, words in texts_of(one.title, one.description)]
        seen.update({key for words in texts for span in spans_of(words) if (key := key_of(words, *span)) in values})
    return Uses({key: dict(sorted(found.items())) for key, found in sorted(values.items())}, dict(sorted(seen.items())))


def overlapping_pairs(examples: Iterable[Example], names: Collection[str]) -> list[list[str]]:
    """Return the pairs of ``names`` whose values share words in more than :data:`_SELDOM` of the listings with both.

    Values share words in a listing if no two places of them in its texts are apart.
    """
    both: Counter[tuple[str, str]] = Counter()
    shared: Counter[tuple[str, str]] = Counter()
    for one in examples:
        places = _places(one, names)
        for pair in combinations(sorted(places), 2):
            first, second = (places[name] for name in pair)
            both[pair] += 1
            shared[pair] += all(a < d and c < b for a, b in first for c, d in second)
    return [list(pair) for pair, count in sorted(shared.items()) if count > _SELDOM * both[pair]]


def _places(one: Example, names: Collection[str]) -> dict[str, list[tuple[int, int]]]:
    """Return where the stated values stand, by attribute: first word and the one behind, over all texts."""
    own, offset = _own(one, names), 0
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _, words in texts_of(one.title, one.description):
        for first, stop in spans_of(words):
            for name in own.get(key_of(words, first, stop), ()):
                found[name].append((offset + first, offset + stop))
        offset += len(words)
    return found


def _keys(values: Iterable[str]) -> set[str]:
    return {key_of(words, 0, len(words)) for words in map(words_of, values) if len(words)}


def _numbered(examples: Sequence[Example], names: Sequence[str], uses: Uses) -> tuple[list[str], _Spans]:
    """Return the features that are seen often enough, and the spans of all texts by their numbers."""
    counts: Counter[str] = Counter()
    for one in examples:
        counts.update({feature for rows in _seen(one, names, uses) for feature in rows})
    kept = sorted(name for name, count in counts.items() if count >= _LEAST_LISTINGS)
    numbers = {name: place for place, name in enumerate(kept)}
    return kept, _spans(examples, names, uses, numbers)


def _seen(one: Example, names: Sequence[str], uses: Uses) -> Iterable[list[str]]:
    own = _own(one, names)
    for source, words in texts_of(one.title, one.description):
        text = Text.of(source, words, uses)
        yield from first_features(words, one.category)
        yield from last_features(words, one.category)
        yield from inner_features(words)
        yield from (text.whole(number, one.category, uses, own.get(key, ())) for number, key in enumerate(text.keys))


def _own(one: Example, names: Collection[str]) -> dict[str, set[str]]:
    """Return the attributes that each of a listing's values is stated for, by the value's key."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in one.stated:
        for key in _keys(one.stated[name]) if name in names else ():
            found[key].add(name)
    return found


def _spans(examples: Sequence[Example], names: Sequence[str], uses: Uses, numbers: Mapping[str, int]) -> _Spans:
    """Return the spans of all texts, listing by listing."""
    spans, chance = _Spans(), np.random.default_rng(0)
    place = {name: number for number, name in enumerate(names, 1)}

    def known(rows: Iterable[Sequence[str]]) -> list[list[int]]:
        return [[numbers[name] for name in row if name in numbers] for row in rows]

    for one in examples:
        own, begin = _own(one, names), len(spans.places)
        for source, words in texts_of(one.title, one.description):
            offset = len(spans.first)
            text = Text.of(source, words, uses)
            for number, (span, key) in enumerate(zip(text.spans, text.keys, strict=True)):
                stated = own.get(key, ())
                target, weight = _taught(key, stated, one, uses, place, chance)
                if weight:
                    spans.places.append((offset + span[0], offset + span[1]))
                    spans.whole += known([text.whole(number, one.category, uses, stated)])
                    spans.targets.append(target)
                    spans.weights.append(weight)
            spans.first += known(first_features(words, one.category))
            spans.last += known(last_features(words, one.category))
            spans.inner += known(inner_features(words))
        if len(spans.places) > begin:
            spans.listings.append(begin)
            spans.stated.append(tuple(place[name] for name in one.stated if name in place))
    return spans


def _taught(
    key: str, stated: Collection[str], one: Example, uses: Uses, place: Mapping[str, int], chance: np.random.Generator
) -> tuple[tuple[int, ...], float]:
    """Return the classes that a span is an example of, 0 of no value, and its weight; 0 where it teaches nothing."""
    if stated:
        return tuple(sorted(place[name] for name in stated)), 1.0
    values = uses.values.get(key, {})
    if any(name not in one.stated for name in values):
        return (0,), 0.0
    if values:
        return (0,), 1.0
    return (0,), float(_ONE_OF) * (chance.random() < 1 / _ONE_OF)


def _fit(spans: _Spans, features: int, classes: int, strength: float, iterations: int) -> np.ndarray:
    """Return weights [F, C] of least penalised cross entropy, by L-BFGS."""
    problem = _Problem(spans, features, classes, strength)
    found = minimize(
        problem.objective,
        np.zeros(features * classes),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxcor": 5, "ftol": 1e-5},
    )
    result: np.ndarray = found.x.reshape(features, classes)
    return result


class _Problem:
    """The objective: ``strength`` * the summed cross entropy + the squared weights / 2, and its gradient.

    Two questions are asked at once: what a span is, and which span is the value that a listing states.
    """

    def __init__(self, spans: _Spans, features: int, classes: int, strength: float) -> None:
        first, stop = np.array(spans.places, dtype=np.int64).reshape(-1, 2).T
        rows, words = np.arange(len(first)), len(spans.first)
        lengths = stop - first
        inner = np.repeat(first, lengths) + np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self._parts = [  # spans by words, words by features
            (_ones(rows, first, words), _matrix(spans.first, features)),
            (_ones(rows, stop - 1, words), _matrix(spans.last, features)),
            (_ones(np.repeat(rows, lengths), inner, words, len(rows)), _matrix(spans.inner, features)),
        ]
        self._whole = _matrix(spans.whole, features)
        self._weights = np.array(spans.weights, dtype=np.float32)[:, None]
        self._targets = np.zeros((len(rows), classes), dtype=np.float32)
        for row, target in enumerate(spans.targets):
            self._targets[row, list(target)] = 1.0 / len(target)
        self._listings = np.array(spans.listings, dtype=np.int64)
        self._asked = np.zeros((len(spans.listings), classes - 1), dtype=np.float32)
        for listing, stated in enumerate(spans.stated):
            self._asked[listing, [one - 1 for one in stated]] = 1.0
        self._strength, self._shape = strength, (features, classes)

    def objective(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the objective and its gradient [F * C] at ``values`` [F * C]."""
        weights = values.reshape(self._shape).astype(np.float32)
        logits = self._whole @ weights
        for by_word, by_feature in self._parts:
            logits += by_word @ (by_feature @ weights)
        shares = softmax(logits, axis=1)
        loss = -float((self._weights * self._targets * np.log(np.maximum(shares, 1e-30))).sum(dtype=np.float64))
        errors = self._weights * (shares - self._targets)
        more, gradient_of_choices = self._choices(logits)
        loss, errors = loss + more, errors + gradient_of_choices
        gradient = self._whole.T @ errors
        for by_word, by_feature in self._parts:
            gradient += by_feature.T @ (by_word.T @ errors)
        total = self._strength * loss + float(values @ values) / 2
        return total, self._strength * gradient.astype(np.float64).ravel() + values

    def _choices(self, logits: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss of choosing a listing's span for each attribute it is asked about, or none; and its gradient.

        What is chosen among are the spans of the listing, each as good as it is better than "no value", and none.
        """
        better = logits[:, 1:] - logits[:, :1]
        lengths = np.diff(np.append(self._listings, len(better)))
        top = np.maximum(np.maximum.reduceat(better, self._listings), 0.0)
        powers = self._weights * np.exp(better - np.repeat(top, lengths, axis=0))
        true = powers * (self._targets[:, 1:] > 0)
        total = np.add.reduceat(powers, self._listings) + np.exp(-top)
        right = np.add.reduceat(true, self._listings)
        is_there = right > 0
        mass = np.where(is_there, right, np.exp(-top))
        loss = float((self._asked * (np.log(total) - np.log(mass))).sum(dtype=np.float64))
        shares = powers * np.repeat(self._asked / total, lengths, axis=0)
        shares -= true * np.repeat(np.where(is_there, self._asked / np.maximum(right, 1e-30), 0.0), lengths, axis=0)
        return loss, np.concatenate([-shares.sum(axis=1, keepdims=True), shares], axis=1)


def _ones(rows: np.ndarray, columns: np.ndarray, width: int, height: int | None = None) -> csr_matrix:
    return csr_matrix(
        (np.ones(len(rows), np.float32), (rows, columns)), shape=(len(rows) if height is None else height, width)
    )


def _matrix(rows: Sequence[Sequence[int]], width: int) -> csr_matrix:
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    columns = np.array([number for row in rows for number in row], dtype=np.int64)
    return csr_matrix(
        (np.ones(len(columns), np.float32), columns, np.append(0, np.cumsum(counts))), shape=(len(rows), width)
    )
