"""Open values read out of a text: which span of the title or description is the value of an attribute, if any.

The model is log-linear in the features of a span (``ecclip.tasks.attributes.features``): how much better each attribute
is than "no value". Of an attribute the spans of a listing, and none of them, share the probability. Weights have 11
significant bits, so that their sums in double precision are exact in any order: equal bytes come out wherever it runs.
Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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
from ecclip.tasks.attributes.tokens import Words, key_of, spans_of, words_of

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


class Reader:
    """Finds values of ``names`` by a model as :func:`described` puts it down."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self.names: list[str] = list(model["names"])
        features = model["features"]
        packed = np.frombuffer(base64.b64decode(model["weights"]), dtype="<f2")
        self._weights = packed.reshape(len(features), len(self.names) + 1)
        self._places = {name: place for place, name in enumerate(features)}
        self._uses = Uses(model["uses"], model["seen"])

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
        places = [(text, span) for text in texts for span in text.spans]
        found = {}
        for place, name in asked:
            better = logits[:, place] - logits[:, 0]
            row, top = int(np.argmax(better)), max(float(better.max()), 0.0)
            text, span = places[row]
            score = np.exp(better[row] - top) / (np.exp(better - top).sum() + np.exp(-top))
            found[name] = Found(text.words.span(*span), text.source, float(score))
        return found

    def logits(self, text: Text, category: str) -> np.ndarray:
        """Return float64 [S, K + 1] of the spans of a text: of no value, and of each attribute."""
        firsts = self._sums(first_features(text.words, category))
        lasts = self._sums(last_features(text.words, category))
        inner = np.cumsum(self._sums(inner_features(text.words)), axis=0)
        inner = np.concatenate([np.zeros((1, inner.shape[1])), inner])
        whole = self._sums([text.whole(number, category, self._uses) for number in range(len(text.spans))])
        first, stop = np.array(text.spans).T
        result: np.ndarray = firsts[first] + lasts[stop - 1] + (inner[stop] - inner[first]) + whole
        return result

    def _sums(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        """Return the sums [N, K + 1] of the weights of each row's features; one that training never saw counts 0."""
        sums = np.zeros((len(rows), self._weights.shape[1]))
        for number, row in enumerate(rows):
            known = [self._places[name] for name in row if name in self._places]
            if known:
                sums[number] = self._weights[known].astype(np.float64).sum(axis=0)
        return sums


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
        spans = list(spans_of(words))
        keys = [key_of(words, *span) for span in spans]
        if source != TITLE:
            numbered = [any(map(str.isdigit, word)) for word in words.folded]
            kept = [
                (span, key)
                for span, key in zip(spans, keys, strict=True)
                if key in uses.values or (span[1] - span[0] <= _WORDS_OF_AN_AMOUNT and numbered[span[0]])
            ]
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
            *whole_features(self.words, span, category),
            *known_as(key, uses.values, uses.seen, own),
            *beside(span, uses.values.get(key, {}), self.known),
        ]


def described(names: Sequence[str], features: Sequence[str], weights: np.ndarray, uses: Uses) -> dict[str, Any]:
    """Return a model as it stands in heads.json: ``weights`` [F, K + 1], those of "no value" first."""
    return {
        "names": list(names),
        "features": list(features),
        "weights": base64.b64encode(weights.astype("<f2").tobytes()).decode(),
        "uses": {key: dict(found) for key, found in uses.values.items()},
        "seen": dict(uses.seen),
    }
