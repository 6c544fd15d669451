"""The pair decision, refined: of pairs that the evidence leaves undecided a text matcher's word is evidence, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import log_loss

from ecclip.tasks.matching.evidence import Evidence
from ecclip.tasks.matching.pair_model import PairModel, fit_pair_model

if TYPE_CHECKING:  # it imports torch, which a catalog without a text matcher does not need
    from ecclip.tasks.matching.text_matcher.matcher import TextMatcher

_SURE = 0.02  # a pair of a lower probability, or a higher one than 1 - this, is decided; by judgment


@dataclass(frozen=True)
class Labelled:
    """Labelled pairs: evidence, rows, 1 for one product or 0 for two, and the product of the left one; each [M]."""

    evidence: Evidence
    left: np.ndarray
    right: np.ndarray
    labels: np.ndarray
    products: np.ndarray


@dataclass(frozen=True)
class Refined:
    """A pair model, and a second one that knows the matcher's word, too, for pairs that the first leaves undecided."""

    first: PairModel
    second: PairModel
    matcher: TextMatcher

    def scores(self, evidence: Evidence, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of one product for pairs of rows, float32 [M], and the places of those read [K]."""
        found = self.first.scores(evidence)
        read = undecided(found, self.matcher.cfg.read_pairs)
        if len(read):
            log_odds = self.matcher.log_odds(left[read], right[read])
            found[read] = self.second.scores(_beside(evidence.part(read), np.arange(len(read)), log_odds))
        return found, read


@dataclass(frozen=True)
class Trial:
    """What validation says of a text matcher.

    Attributes:
        refined: the decision with it.
        scores: probabilities of the validation pairs by that decision, float32 [M].
        log_losses: of the validation pairs, without the text matcher and with it.
        train_pairs: how many have taught it, or would have where it was taken over.
    """

    refined: Refined
    scores: np.ndarray
    log_losses: tuple[float, float]
    train_pairs: int

    @property
    def pays(self) -> bool:
        """Whether the decision is better with it."""
        return self.log_losses[1] < self.log_losses[0]


def refine(model: PairModel, train: Labelled, validation: Labelled, matcher: TextMatcher) -> Trial | None:
    """Teach a text matcher, and a second pair model with its word, by the pairs that have taught ``model``.

    The second model learns from what the matcher says of pairs that it has not seen, and of those alone that the first
    one leaves undecided while it has not seen them: as it is with the pairs of a night.

    Returns:
        How it does on validation; None where there is none, or too few pairs of either label teach.
    """
    cfg = matcher.cfg
    taught = _least_decided(model.held_out, cfg.train_pairs)
    if not len(validation.labels) or not matcher.teach(train.left[taught], train.right[taught], train.labels[taught]):
        return None
    read = undecided(model.held_out, cfg.read_pairs)
    known = _beside(train.evidence, read, matcher.held_out_log_odds(train.left[read], train.right[read]))
    second = fit_pair_model(known, train.labels, train.products)
    if second is None:
        return None
    refined = Refined(model, second, matcher)
    scores, _ = refined.scores(validation.evidence, validation.left, validation.right)
    losses = [_log_loss(validation.labels, found) for found in (model.scores(validation.evidence), scores)]
    return Trial(refined, scores, (losses[0], losses[1]), len(taught))


def undecided(scores: np.ndarray, most: int) -> np.ndarray:
    """Return the places of the pairs that probabilities [M] leave undecided, the ``most`` least decided, in order."""
    between = np.flatnonzero((scores > _SURE) & (scores < 1 - _SURE))
    return between[_least_decided(scores[between], most)]


def _least_decided(scores: np.ndarray, most: int) -> np.ndarray:
    return np.sort(np.argsort(np.abs(scores - 0.5), kind="stable")[:most])


def _beside(evidence: Evidence, read: np.ndarray, log_odds: np.ndarray) -> Evidence:
    """Return evidence with the matcher's word [K] about the pairs at the places ``read`` [K]; unknown of others."""
    word = np.full((len(evidence.numbers), 1), np.nan, dtype=np.float32)
    word[read, 0] = log_odds
    return Evidence(np.concatenate([evidence.numbers, word], axis=1), evidence.terms)


def _log_loss(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(log_loss(labels, scores.astype(np.float64), labels=[0, 1]))
