"""Metrics of answers: pure functions of arrays with one row per answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from ecclip.tasks.scores import NEVER_AUTO

_CELLS_AT_ONCE = 4_000_000  # of a matrix of resamplings by answers; bounds the memory


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram: answers with scores in [low, high)."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int) -> list[Bin]:
    """Return the non-empty ones of ``bins`` bins of equal width in [0, 1]; a score of 1 belongs to the last.

    ``confidence`` float [N] holds scores, ``correct`` [N] 1 or 0.
    """
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        if inside.any():
            found.append(
                Bin(
                    low=number / bins,
                    high=(number + 1) / bins,
                    rows=int(inside.sum()),
                    confidence=float(confidence[inside].mean()),
                    accuracy=float(correct[inside].mean()),
                )
            )
    return found


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Return the expected calibration error: the mean gap of accuracy and score over the bins, weighted by rows.

    ``confidence`` float [N] holds scores, ``correct`` [N] 1 or 0; N is at least 1. Naeini, Cooper and
    Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015.
    """
    gaps = [entry.rows * abs(entry.accuracy - entry.confidence) for entry in reliability(confidence, correct, bins)]
    return float(sum(gaps) / len(confidence))


def threshold_at(
    scores: np.ndarray, correct: np.ndarray, precision: float, min_rows: int, weights: np.ndarray | None = None
) -> float:
    """Return the smallest of ``scores`` [N] at and above which answers are right with at least ``precision``.

    ``correct`` [N] is 1 or 0, ``weights`` [N] count some answers more. Fails closed: 2.0, above every score, if no
    such score has at least ``min_rows`` answers.
    """
    if len(scores) < max(min_rows, 1):
        return NEVER_AUTO
    order = np.argsort(-scores, kind="stable")
    weight = np.ones(len(scores)) if weights is None else weights[order]
    reached = np.cumsum(correct[order] * weight) / np.cumsum(weight)
    last_of_score = np.append(scores[order][1:] != scores[order][:-1], True)  # equal scores are decided together
    enough = np.arange(1, len(scores) + 1) >= min_rows
    good = np.flatnonzero((reached >= precision) & last_of_score & enough)
    return float(scores[order][good[-1]]) if len(good) else NEVER_AUTO


def macro_f1(truth: np.ndarray, answer: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean F1 over the classes that occur in ``truth`` [N]; F1 = 2 TP / (2 TP + FP + FN).

    ``truth`` and ``answer`` [N] hold class numbers, -1 for a class that no head has; N is at least 1.
    """
    weight = np.ones(len(truth)) if weights is None else weights
    shift, size = 1, int(max(truth.max(), answer.max())) + 2
    hits = np.bincount((truth + shift)[truth == answer], weight[truth == answer], size)
    support = np.bincount(truth + shift, weight, size)
    given = np.bincount(answer + shift, weight, size)
    occurring = support > 0
    return float((2 * hits[occurring] / (support + given)[occurring]).mean())


def average_precision(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the average precision of ``scores`` [N] for ``truth`` [N] (1 or 0); NaN without a 1.

    The area under the precision-recall steps, see ``sklearn.metrics.average_precision_score``.
    """
    if not (truth if weights is None else truth * weights).any():
        return float("nan")
    return float(average_precision_score(truth, scores, sample_weight=weights))


def recall_at(truth: np.ndarray, scores: np.ndarray, precision: float) -> float:
    """Return the largest recall of ``truth`` [N] (1 or 0) at a threshold of ``scores`` [N] with ``precision``."""
    threshold = threshold_at(scores, truth, precision, min_rows=1)
    return float((truth * (scores >= threshold)).sum() / truth.sum())


class Bootstrap:
    """95 % percentile intervals by resampling whole groups, as listings of one product are not independent.

    The cluster bootstrap (Davison and Hinkley 1997, section 3.8); ``groups`` [N] are group numbers.
    """

    def __init__(self, groups: np.ndarray, rounds: int, seed: int) -> None:
        self._place = np.unique(groups, return_inverse=True)[1]
        count = int(self._place.max()) + 1 if len(groups) else 0
        draws = np.random.default_rng(seed).integers(0, max(count, 1), (rounds, count))
        self._times = np.stack([np.bincount(draw, minlength=count) for draw in draws]).astype(np.float64)

    def ratios(self, numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        """Return sum(numerator) / sum(denominator), both [N], of every resampling [R]; NaN where the latter is 0."""
        groups = self._times.shape[1]
        above = self._times @ np.bincount(self._place, numerator, groups)
        below = self._times @ np.bincount(self._place, denominator, groups)
        return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)

    def average_precisions(
        self, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Return :func:`average_precision` of ``truth`` and ``scores``, both [N], of every resampling [R].

        ``weights`` [N] count some answers more, or not at all. NaN where a resampling has no 1.
        """
        weight = np.ones(len(truth)) if weights is None else weights
        order = np.argsort(-scores, kind="stable")
        last_of_score = np.append(np.diff(scores[order]) != 0, True)
        at_once = max(1, _CELLS_AT_ONCE // max(len(scores), 1))
        blocks = (self._times[first : first + at_once] for first in range(0, len(self._times), at_once))
        rows, counts, asked = self._place[order], weight[order], truth[order]
        return np.concatenate([_step_areas(block[:, rows] * counts, asked, last_of_score) for block in blocks])

    def ratio(self, numerator: np.ndarray, denominator: np.ndarray) -> tuple[float, float]:
        """Return the interval of sum(numerator) / sum(denominator), both [N]."""
        return interval(self.ratios(numerator, denominator))

    def mean(self, values: np.ndarray) -> tuple[float, float]:
        """Return the interval of the mean of ``values`` [N]."""
        return self.ratio(np.asarray(values, dtype=np.float64), np.ones(len(values)))

    def weighted(self, measure: Callable[..., float], *columns: np.ndarray) -> tuple[float, float]:
        """Return the interval of ``measure(*columns, weights)``; ``weights`` [N] counts how often a row is drawn."""
        values = np.array([measure(*columns, times[self._place]) for times in self._times])
        return interval(values)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percent points of resampled ``values`` [R]; those that are not finite are left out."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return (float("nan"), float("nan"))
    low, high = np.percentile(values, [2.5, 97.5])
    return (float(low), float(high))


def _step_areas(weights: np.ndarray, truth: np.ndarray, last_of_score: np.ndarray) -> np.ndarray:
    """Return the areas under the precision-recall steps [R] of ``truth`` [N], best score first, by weights [R, N]."""
    found = (weights * truth).cumsum(axis=1)[:, last_of_score]
    given = weights.cumsum(axis=1)[:, last_of_score]
    precision = np.divide(found, given, out=np.zeros_like(found), where=given > 0)
    gained = np.diff(found, axis=1, prepend=0.0)
    total = found[:, -1]
    area = (gained * precision).sum(axis=1)
    result: np.ndarray = np.divide(area, total, out=np.full(len(area), np.nan), where=total > 0)
    return result
