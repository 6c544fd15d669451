"""Negatives on the same background: listings of a flag weighed so that its background says nothing about a photo.

Where bottles stand in white studios and mugs in kitchens, a head may learn the studio. Within a stratum of photos with
like borders the listings of both kinds are weighed until the flag is as frequent there as anywhere (reweighing,
Kamiran and Calders, Knowledge and Information Systems 2012): negatives that are photographed as the class is count
more, those that nobody could confuse with it count less. Kept only where validation does not flag less of the class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ecclip.tasks.heads.linear import LinearHead, Samples
from ecclip.tasks.operating_point import operating_point
from ecclip.tasks.scores import probabilities

_BINS = (3, 2)  # of how light a border is, and how even: six strata hold enough of a rare class; by judgment
_MOST = 10.0  # times that a listing counts: more would let a handful decide; by judgment


@dataclass(frozen=True)
class Balance:
    """The share of the class that validation flags at the operating point, with negatives as they are and weighed.

    ``positives`` are the listings of the class that this rests on.
    """

    as_they_are: float
    balanced: float
    positives: int

    @property
    def is_kept(self) -> bool:
        """Whether the head learnt from weighed negatives."""
        return self.balanced >= self.as_they_are


def strata_of(backgrounds: np.ndarray, taught: np.ndarray) -> np.ndarray:
    """Return the stratum of each photo, int64 [N], -1 without one.

    Args:
        backgrounds: mean and standard deviation of the light of a photo's border, float32 [N, 2], NaN without a photo.
        taught: the listings whose quantiles part the strata, bool [N].
    """
    known = ~np.isnan(backgrounds).any(axis=1)
    found = np.zeros(len(backgrounds), dtype=np.int64)
    for column, bins in zip(backgrounds.T, _BINS, strict=True):
        among = column[known & taught]
        edges = np.quantile(among, np.arange(1, bins) / bins) if len(among) else np.zeros(bins - 1)
        found = found * bins + np.searchsorted(edges, np.nan_to_num(column), side="left")
    return np.where(known, found, -1)


def weights_of(strata: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return weights [N] under which the flag ``y`` [N], 1 or 0, is as frequent in every stratum [N] as in all.

    A stratum without both kinds, and what is in none, keeps its weight of 1.
    """
    weights = np.ones(len(y))
    share = float(y.mean()) if len(y) else 0.0
    for stratum in np.unique(strata[strata >= 0]):
        inside = strata == stratum
        own = float(y[inside].mean())
        if 0.0 < own < 1.0:
            weights[inside & (y == 1)] = share / own
            weights[inside & (y == 0)] = (1.0 - share) / (1.0 - own)
    return np.minimum(weights, _MOST)


def balanced_head(
    fit: Callable[[Samples], LinearHead],
    train: Samples,
    strata: np.ndarray,
    validation: Samples,
    groups: np.ndarray,
    rate: float,
) -> tuple[LinearHead, Balance | None]:
    """Return the better of two heads, and how they compare: learnt from listings as they are, and weighed.

    Args:
        fit: a head from samples.
        train: what it learns from, N rows.
        strata: of these [N].
        validation: what they are compared on; none of it is of the listings that set the operating point.
        groups: products of these [M].
        rate: false-positive rate of the flag.
    """
    plain = fit(train)
    weights = weights_of(strata, train.y)
    positives, negatives = int((validation.y == 1).sum()), int((validation.y == 0).sum())
    if not positives or not negatives or np.allclose(weights, 1.0):
        return plain, None
    weighed = fit(replace(train, weights=weights))
    visible = max(rate, 1.0 / negatives)  # the strictest rate that so few negatives can show
    as_they_are, balanced = (_recall(head, validation, groups, visible) for head in (plain, weighed))
    found = Balance(as_they_are, balanced, positives)
    return (weighed if found.is_kept else plain), found


def _recall(head: LinearHead, validation: Samples, groups: np.ndarray, rate: float) -> float:
    scores = probabilities(head.logits(validation.x), "sigmoid")[:, 0]
    return float(operating_point(scores, validation.y, groups, rate).recall or 0.0)
