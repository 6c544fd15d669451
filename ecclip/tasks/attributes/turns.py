"""Which span is the value of which attribute: each for itself, or in turns where values share no words.

Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# the power of how surely a span is this attribute's value and no other's, in the order of turns: of 0, 0.25, 0.5 and 1
# the best F1 on the validation parts of three public sets of the benchmark together (docs/benchmarks.md, attributes)
_POWER = 0.5
_NOTHING = 0.01  # an attribute whose value is less probable takes no span from others; by judgment: time
_LEAST_LEFT = 1e-9  # of a probability that is shared among the spans that are left


@dataclass(frozen=True)
class Spans:
    """Spans [S] of a listing's texts: the first word and the one behind, counted on from text to text."""

    first: np.ndarray
    stop: np.ndarray

    def sharing(self, row: int) -> np.ndarray:
        """Return the rows [N] of the spans that share a word with the span of ``row``, itself among them."""
        return np.flatnonzero((self.first < self.stop[row]) & (self.stop > self.first[row]))


def each_for_itself(better: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each attribute its likeliest span [A], and the probability of that [A].

    Args:
        better: by how much a span is better than "no value", in logits, float64 [S, A].
    """
    shares = _shares(better)
    return shares.argmax(axis=0), shares.max(axis=0)


def in_turns(better: np.ndarray, spans: Spans, overlapping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each attribute its span [A], and the probability of that among the spans that are left to it [A].

    The surest attribute comes first. Spans that share a word with the one that it takes are closed to those that come
    later; what they would have had is shared among the others, and none.

    Args:
        better: by how much a span is better than "no value", in logits, float64 [S, A].
        spans: where they stand.
        overlapping: whose values may share words, bool [A, A].
    """
    shares, ranks = _shares(better), _shares(better + _POWER * _log_shares_of_span(better))
    waiting = list(range(better.shape[1]))
    while waiting:
        best = ranks[:, waiting].max(axis=0)
        place = waiting.pop(int(best.argmax()))
        if best.max() < _NOTHING:
            break
        closed = spans.sharing(int(ranks[:, place].argmax()))
        later = [one for one in waiting if not overlapping[place, one]]
        _close(shares, closed, later)
        _close(ranks, closed, later)
    rows = ranks.argmax(axis=0)
    return rows, shares[rows, np.arange(len(rows))]


def _close(shares: np.ndarray, rows: np.ndarray, columns: Sequence[int]) -> None:
    """Share the probabilities of ``rows`` in ``columns`` among the other rows and none."""
    if columns:
        closed = np.ix_(rows, np.array(columns))
        left = 1.0 - shares[closed].sum(axis=0)
        shares[closed] = 0.0
        shares[:, columns] /= np.maximum(left, _LEAST_LEFT)


def _shares(better: np.ndarray) -> np.ndarray:
    """Return the probability [S, A] that a span is the value of an attribute, among all spans and none."""
    tops = np.maximum(better.max(axis=0), 0.0)
    powers = np.exp(better - tops)
    shares: np.ndarray = powers / (powers.sum(axis=0) + np.exp(-tops))
    return shares


def _log_shares_of_span(better: np.ndarray) -> np.ndarray:
    """Return the log of the probability [S, A] that a span is of an attribute, among all attributes and none."""
    tops = np.maximum(better.max(axis=1, keepdims=True), 0.0)
    found: np.ndarray = better - tops - np.log(np.exp(better - tops).sum(axis=1, keepdims=True) + np.exp(-tops))
    return found
