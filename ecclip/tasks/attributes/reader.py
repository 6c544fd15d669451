"""Open values read out of a text: which span of the title or description is the value of an attribute, if any.

The model is log-linear in the features of a span (``ecclip.tasks.attributes.features``): how much better each attribute
is than "no value". Of an attribute the spans of a listing, and none of them, share the probability; attributes whose
values share no words choose in turns (``ecclip.tasks.attributes.turns``). Weights have 11
significant bits, so that their sums in double precision are exact in any order: equal bytes come out wherever it runs.
Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ecclip.tasks.attributes.features import (
    beside,
    first_features,
    inner_features,
    known_as,
    last_features,
    whole_features,
)
from ecclip.tasks.attributes.tokens import MOST_WORDS, Words, key_of, spans_of, words_of
from ecclip.tasks.attributes.turns import Spans, each_for_itself, in_turns

DESCRIPTION_CHARACTERS = 1000  # of a description that are read; by judgment: what stands first says what it is
_WORDS_OF_AN_AMOUNT = 2  # a number and its unit
TITLE, DESCRIPTION = "title", "description"


@dataclass(frozen=True)
class Found:
    """A value as it stands in a text, the text that it stands in, and the probability that it is one."""

    value: str
    source: str
    score: float


@dataclass(frozen=True)
class Uses:
    """What spans are known as: listings by key and attribute whose value it is, and by key that have it in a text."""

    values: Mapping[str, Mapping[str, int]]
    seen: Mapping[str, int]

    @cached_property
    def longest(self) -> int:
        """Words of the longest value that stands in a text: no longer span is taken for one."""
        return max((key.count(" ") + 1 for key in self.seen), default=MOST_WORDS)

    @cached_property
    def first_words(self) -> frozenset[str]:
        """The words that values begin with."""
        return frozenset(key.partition(" ")[0] for key in self.values)


class Reader:
    """Finds values of ``names`` by a model as :func:`described` puts it down."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self.names: list[str] = list(model["names"])
        features = model["features"]
        packed = np.frombuffer(base64.b64decode(model["weights"]), dtype="<f2")
        self._weights = packed.reshape(len(features), len(self.names) + 1)
        self._places = {name: place for place, name in enumerate(features)}
        self._uses = Uses(model["uses"], model["seen"])
        pairs = model.get("overlapping")  # None: attributes are read each for itself
        self._overlapping = None if pairs is None else _symmetric(pairs, self.names)

    def read(
        self, title: str | None, description: str | None, category: str, names: Collection[str]
    ) -> dict[str, Found]:
        """Return for each of ``names`` that the model knows its likeliest span; none of texts without a word."""
        asked = [(place, name) for place, name in enumerate(self.names, 1) if name in names]
        texts = [Text.of(source, words, self._uses) for source, words in texts_of(title, description)]
        texts = [text for text in texts if text.spans]
        if not texts or not asked:
            return {}
        logits = np.concatenate([self.logits(text, category) for text in texts])
        rows, scores = self._chosen(logits[:, [place for place, _ in asked]] - logits[:, :1], texts, asked)
        places = [(text, span) for text in texts for span in text.spans]
        found = {}
        for (_, name), row, score in zip(asked, rows.tolist(), scores.tolist(), strict=True):
            text, span = places[row]
            found[name] = Found(text.words.span(*span), text.source, score)
        return found

    def _chosen(
        self, better: np.ndarray, texts: Sequence[Text], asked: Sequence[tuple[int, str]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return for each attribute asked about the number of its span [A], and the probability of that [A]."""
        if self._overlapping is None or len(asked) == 1:
            return each_for_itself(better)
        columns = np.array([place - 1 for place, _ in asked])
        begins = np.cumsum([0, *(len(text.words) for text in texts[:-1])])
        spans = np.concatenate([np.array(text.spans) + begin for text, begin in zip(texts, begins, strict=True)])
        return in_turns(better, Spans(*spans.T), self._overlapping[np.ix_(columns, columns)])

    def logits(self, text: Text, category: str) -> np.ndarray:
        """Return float64 [S, K + 1] of the spans of a text: of no value, and of each attribute."""
        begins, ends = {span[0] for span in text.spans}, {span[1] - 1 for span in text.spans}
        words = (
            first_features(text.words, category, begins),
            last_features(text.words, category, ends),
            inner_features(text.words, {place for span in text.spans for place in range(*span)}),
        )
        spans = [text.whole(number, category, self._uses) for number in range(len(text.spans))]
        sums, count = self._sums([row for part in (*words, spans) for row in part]), len(text.words)
        firsts, lasts, inner, whole = np.split(sums, [count, 2 * count, 3 * count])
        inner = np.concatenate([np.zeros((1, inner.shape[1])), np.cumsum(inner, axis=0)])
        first, stop = np.array(text.spans).T
        result: np.ndarray = firsts[first] + lasts[stop - 1] + (inner[stop] - inner[first]) + whole
        return result

    def _sums(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        """Return the sums [N, K + 1] of the weights of each row's features; one that training never saw counts 0."""
        places = self._places
        known = [[places[name] for name in row if name in places] for row in rows]
        counts = np.array([len(row) for row in known], dtype=np.int64)
        sums, filled = np.zeros((len(rows), self._weights.shape[1])), np.flatnonzero(counts)
        if len(filled):
            weights = self._weights[[place for row in known for place in row]].astype(np.float64)
            sums[filled] = np.add.reduceat(weights, (np.cumsum(counts) - counts)[filled], axis=0)
        return sums


def _symmetric(pairs: Sequence[Sequence[str]], names: Sequence[str]) -> np.ndarray:
    """Return bool [K, K]: which of ``names`` are a pair."""
    place = {name: number for number, name in enumerate(names)}
    found = np.zeros((len(names), len(names)), dtype=bool)
    for one, other in pairs:
        found[place[one], place[other]] = found[place[other], place[one]] = True
    return found


def texts_of(title: str | None, description: str | None) -> list[tuple[str, Words]]:
    """Return the words of a listing's texts by what they are; of a description only the beginning."""
    given = ((TITLE, title), (DESCRIPTION, (description or "")[:DESCRIPTION_CHARACTERS]))
    return [(source, words_of(text)) for source, text in given if text]


@dataclass(frozen=True)
class Text:
    """A text with its spans that may be a value and their keys; ``known`` are (first, stop, attribute) of those that
    several listings state.
    """

    source: str
    words: Words
    spans: list[tuple[int, int]]
    keys: list[str]
    known: list[tuple[int, int, str]]

    @classmethod
    def of(cls, source: str, words: Words, uses: Uses) -> Text:
        """Return a text: of a title all spans, of a description values that are known and short amounts.

        A description has a hundred times the spans of a title, nearly all of them plain talk.
        """
        if source == TITLE:
            kept = [(span, key_of(words, *span)) for span in spans_of(words, [uses.longest] * len(words))]
        else:
            amounts = _amounts(words)
            longest = [
                MOST_WORDS if word in uses.first_words else amount
                for word, amount in zip(words.folded, amounts, strict=True)
            ]
            every = ((span, key_of(words, *span)) for span in spans_of(words, longest))
            kept = [one for one in every if one[1] in uses.values or one[0][1] - one[0][0] <= amounts[one[0][0]]]
        spans, keys = [span for span, _ in kept], [key for _, key in kept]
        known = [
            (*span, name)
            for span, key in zip(spans, keys, strict=True)
            for name, count in uses.values.get(key, {}).items()
            if count > 1
        ]
        return cls(source, words, spans, keys, known)

    def whole(self, number: int, category: str, uses: Uses, own: Collection[str] | None = None) -> list[str]:
        """Return the features of a span as a whole; ``own`` as ``known_as`` has it."""
        span, key = self.spans[number], self.keys[number]
        return [
            f"in={self.source}",
            *whole_features(self.words, span, key, category),
            *known_as(key, uses.values, uses.seen, own),
            *beside(span, uses.values.get(key, {}), self.known),
        ]


def _amounts(words: Words) -> list[int]:
    """Return by first word how many words an amount may have that begins with it."""
    return [_WORDS_OF_AN_AMOUNT if any(map(str.isdigit, word)) else 0 for word in words.folded]


def described(names: Sequence[str], features: Sequence[str], weights: np.ndarray, uses: Uses) -> dict[str, Any]:
    """Return a model as it stands in heads.json: ``weights`` [F, K + 1], those of "no value" first."""
    return {
        "names": list(names),
        "features": list(features),
        "weights": base64.b64encode(weights.astype("<f2").tobytes()).decode(),
        "uses": {key: dict(found) for key, found in uses.values.items()},
        "seen": dict(uses.seen),
    }
