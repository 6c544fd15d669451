"""Where a class of age restriction begins: the score at which a stated share of unrestricted listings is flagged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecclip.tasks.guarantee import effective_rows, error_at_most
from ecclip.tasks.scores import EVEN_CHANCE


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """The score from which a class is flagged, and what held-out listings say of it.

    Attributes:
        score: flagged at and above it.
        rate: the false-positive rate that was asked for.
        negatives: held-out listings that are not of the class; 0 of a class without labels.
        false_positive_rate: share of them that is flagged; None without any.
        at_most: one-sided 95 % upper bound of the false-positive rate; None without any.
        recall: share of the held-out listings of the class that is flagged; None without any.
        measured: whether there were negatives enough to see the rate at all, at least one in 1 / rate of them;
            otherwise ``score`` is an even chance.
    """

    score: float
    rate: float
    negatives: int = 0
    false_positive_rate: float | None = None
    at_most: float | None = None
    recall: float | None = None
    measured: bool = False


def operating_point(scores: np.ndarray, truth: np.ndarray, groups: np.ndarray, rate: float) -> OperatingPoint:
    """Return the loosest point at which at most a share ``rate`` of the negatives is flagged.

    ``scores`` float [N] and ``truth`` [N] (1 or 0) are those of listings that neither the head nor its calibration was
    fitted to, ``groups`` [N] the numbers of their products. The point lies halfway between the last score that may not
    be flagged and the next one seen. The rate is that of the sample; what it may be in truth is bounded by Clopper and
    Pearson, listings of one product counted as one.
    """
    negative = truth == 0
    fallen = np.sort(scores[negative])[::-1]
    allowed = int(rate * len(fallen) + 1e-9)
    score = EVEN_CHANCE
    if allowed >= 1:
        last = float(fallen[allowed]) if allowed < len(fallen) else 0.0
        above = scores[scores > last]
        score = (last + float(above.min())) / 2 if len(above) else float(np.nextafter(last, 2.0))
    flagged = scores >= score
    return OperatingPoint(
        score=score,
        rate=rate,
        negatives=int(negative.sum()),
        false_positive_rate=float(flagged[negative].mean()) if negative.any() else None,
        at_most=_bound(flagged[negative], groups[negative]) if negative.any() else None,
        recall=float(flagged[truth == 1].mean()) if (truth == 1).any() else None,
        measured=allowed >= 1,
    )


def within_point(threshold: float, score: float) -> dict[int, float]:
    """Return the thresholds of `auto` of a flag's no and yes where it is flagged at and above ``score``.

    Yes or no at an even chance is what ``threshold`` proves; an answer on which both do not agree is for review.
    """
    return {0: max(threshold, float(np.nextafter(1.0 - score, 2.0))), 1: max(threshold, score)}


def _bound(flagged: np.ndarray, groups: np.ndarray) -> float:
    rows = effective_rows(groups)
    return float(error_at_most(np.asarray(rows * flagged.mean()), np.asarray(rows)))
