"""Differences of two systems on the same listings, with intervals that resample whole products."""

from __future__ import annotations

import numpy as np

_RESAMPLES = 1000  # of the bootstrap; by judgment
Interval = tuple[float, float, float]  # value, and the ends of its 95 % interval


def ratio(numerator: np.ndarray, denominator: np.ndarray, products: np.ndarray) -> Interval:
    """Return sum(numerator) / sum(denominator), both [n], with its interval; ``products`` [n] are resampled."""
    return difference((numerator, denominator), (np.zeros(len(numerator)), np.ones(len(numerator))), products)


def difference(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], products: np.ndarray
) -> Interval:
    """Return the ratio of ``one`` minus that of ``other``, paired, with its interval.

    The cluster bootstrap (Davison and Hinkley 1997, section 3.8): the listings of a product are not independent.
    """
    place = np.unique(products, return_inverse=True)[1]
    count = int(place.max()) + 1
    draws = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    times = np.stack([np.ones(count), *(np.bincount(draw, minlength=count) for draw in draws)])

    def ratios(above: np.ndarray, below: np.ndarray) -> np.ndarray:
        top, bottom = (times @ np.bincount(place, np.asarray(part, dtype=np.float64), count) for part in (above, below))
        return np.divide(top, bottom, out=np.zeros(len(times)), where=bottom > 0)

    gains = ratios(*one) - ratios(*other)
    low, high = np.quantile(gains[1:], [0.025, 0.975])
    return float(gains[0]), float(min(low, gains[0])), float(max(high, gains[0]))
