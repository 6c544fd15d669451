"""Open values read out of a text: which span of the title or description is the value of an attribute, if any.

The model is log-linear in the features of a span (``ecclip.tasks.attributes.features``): a softmax over the attributes
and "no value". Weights have 11 significant bits, so that their sums in double precision are exact in any order: equal
bytes come out wherever it runs. Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecclip.tasks.attributes.features import first_features, inner_features, known_as, last_features, whole_features
from ecclip.tasks.attributes.tokens import Words, key_of, spans_of, words_of
from ecclip.tasks.scores import probabilities

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
        best: dict[str, Found] = {}
        for source, words in texts_of(title, description):
            spans = candidates(words, source, self._uses)
            if not spans or not asked:
                continue
            scores = probabilities(self.logits(words, spans, category, source), "softmax")
            for place, name in asked:
                row = int(np.argmax(scores[:, place]))
                score = float(scores[row, place])
                if name not in best or score > best[name].score:
                    best[name] = Found(words.span(*spans[row]), source, score)
        return best

    def logits(self, words: Words, spans: Sequence[tuple[int, int]], category: str, source: str) -> np.ndarray:
        """Return float64 [S, K + 1] of the spans of a text: of no value, and of each attribute."""
        firsts = self._sums(first_features(words, category))
        lasts = self._sums(last_features(words, category))
        inner = np.concatenate([np.zeros((1, firsts.shape[1])), np.cumsum(self._sums(inner_features(words)), axis=0)])
        whole = self._sums([whole_of(words, span, category, source, self._uses) for span in spans])
        first, stop = np.array(spans).T
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


def candidates(words: Words, source: str, uses: Uses) -> list[tuple[int, int]]:
    """Return the spans that may be a value: of a title all, of a description known values and short amounts.

    A description has a hundred times the spans of a title, nearly all of them plain talk.
    """
    if source == TITLE:
        return list(spans_of(words))
    numbered = [any(map(str.isdigit, word)) for word in words.folded]
    return [
        (first, stop)
        for first, stop in spans_of(words)
        if (stop - first <= _WORDS_OF_AN_AMOUNT and numbered[first]) or key_of(words, first, stop) in uses.values
    ]


def whole_of(
    words: Words, span: tuple[int, int], category: str, source: str, uses: Uses, own: Collection[str] | None = None
) -> list[str]:
    """Return the features of a span as a whole; ``own`` as in :func:`~ecclip.tasks.attributes.features.known_as`."""
    key = key_of(words, *span)
    known = known_as(key, uses.values, uses.seen, own)
    return [f"in={source}", *whole_features(key, words.written[slice(*span)], category, known)]


def described(names: Sequence[str], features: Sequence[str], weights: np.ndarray, uses: Uses) -> dict[str, Any]:
    """Return a model as it stands in heads.json: ``weights`` [F, K + 1], those of "no value" first."""
    return {
        "names": list(names),
        "features": list(features),
        "weights": base64.b64encode(weights.astype("<f2").tobytes()).decode(),
        "uses": {key: dict(found) for key, found in uses.values.items()},
        "seen": dict(uses.seen),
    }
