"""Shift tests: a night against recent accepted nights, with limits derived from how much those nights differ.

A metric may lie within ``median ± shift.deviations x deviation`` of its history. The deviation is the largest of the
scaled MAD of the history (1.4826 x median absolute deviation), a minimum deviation, and the sampling error of a dump of
this size; with fewer than three nights of history the first two are multiplied by ``shift.few_nights_factor``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

import numpy as np
from pydantic import Field
from scipy.spatial.distance import jensenshannon

from ecclip.catalog.gate.history import NightFacts, Prices
from ecclip.catalog.gate.label_shift import is_tested, label_limits
from ecclip.core import StageConfig

T = TypeVar("T")
_FEW_NIGHTS = 3  # below this a spread cannot be estimated and limits are widened; by judgment
_FEW_PRICES = 30  # below this the quantiles of a currency are noise; by judgment
_MAD_TO_DEVIATION = 1.4826  # 1 / Φ⁻¹(3/4): makes the median absolute deviation of a normal equal its standard deviation
# reasons: a night that does not name one had a count of zero
_ZERO_WHEN_ABSENT = ("dropped/", "bad_photo/")
# what only cleaning, grouping and embeddings can show: tested before publishing
RELEASED = ("bad_photo/", "grouped/", "mismatch")
# more of these is worse; less is never refused
_ONE_SIDED = ("dropped/", "bad_photo/", "repeated/", "mismatch")


class ShiftConfig(StageConfig):
    """How far a night may deviate from recent accepted nights; defaults by judgment, so that the sample's nights pass.

    A limit is so many standard deviations from the median, the deviation estimated from the history and never taken
    to be smaller than its minimum here: a few equal nights do not make a limit of zero.
    """

    deviations: float = Field(
        6.0, gt=0, description="largest distance from the median of the last good nights, in standard deviations"
    )
    few_nights_factor: float = Field(
        3.0, ge=1, description="factor on the limits with fewer than three nights of history"
    )
    min_volume_deviation: float = Field(0.03, gt=0, description="smallest standard deviation of ln(listings)")
    min_share_deviation: float = Field(
        0.01, gt=0, description="smallest standard deviation of a share (null, repeated, dropped)"
    )
    min_distance_deviation: float = Field(
        0.03,
        gt=0,
        description="smallest standard deviation of a Jensen-Shannon distance (0..1) of categories or currencies",
    )
    min_label_deviation: float = Field(0.1, gt=0, description="smallest standard deviation of ln(share) of a label")
    min_label_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="categories and attributes rarer than this in the last nights have no limit of their own",
    )
    min_price_deviation: float = Field(
        0.03, gt=0, description="smallest standard deviation of the log10 prices of one currency"
    )
    accepted: dict[str, list[str]] = Field(
        {},
        description="intended shifts: names of metrics, or patterns, by the fingerprint of the dump (a refusal names"
        " both); from that night on these metrics have a new history",
    )


@dataclass(frozen=True)
class Shift:
    """One metric of tonight with the limits that its history sets; ``nights`` is the length of that history."""

    name: str
    value: float
    low: float | None
    high: float | None
    nights: int

    @property
    def outside(self) -> bool:
        """Whether the value is beyond a limit."""
        return (self.low is not None and self.value < self.low) or (self.high is not None and self.value > self.high)


def shifts(cfg: ShiftConfig, tonight: NightFacts, history: Sequence[NightFacts]) -> list[Shift]:
    """Return every metric of tonight that has a history, by name; none on the first night."""
    if not history:
        return []
    found = [*_volume(cfg, tonight, history), *_shares(cfg, tonight, history)]
    found += [*_distances(cfg, tonight, history), *_prices(cfg, tonight, history), *_resent(tonight, history)]
    found += _labels(cfg, tonight, history)
    return sorted(found, key=lambda shift: shift.name)


def accepted_names(cfg: ShiftConfig, fingerprint: str, names: Sequence[str]) -> list[str]:
    """Return those of ``names`` that the configuration accepts for the dump with this fingerprint."""
    patterns = cfg.accepted.get(fingerprint, [])
    return [name for name in names if any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)]


def _volume(cfg: ShiftConfig, tonight: NightFacts, history: Sequence[NightFacts]) -> list[Shift]:
    nights = _since_accepted("volume", history)
    series = [math.log(max(night.listings, 1)) for night in nights]
    centre, reach = _limits(cfg, series, cfg.min_volume_deviation, 1 / math.sqrt(max(tonight.listings, 1)))
    low, high = math.exp(centre - reach), math.exp(centre + reach)
    return [Shift("volume", tonight.listings, round(low, 1), round(high, 1), len(nights))]


def _shares(cfg: ShiftConfig, tonight: NightFacts, history: Sequence[NightFacts]) -> list[Shift]:
    found = []
    for name in sorted({*tonight.shares, *(name for night in history for name in night.shares)}):
        zero = 0.0 if name.startswith(_ZERO_WHEN_ABSENT) else None
        value = tonight.shares.get(name, zero)
        values = [night.shares.get(name, zero) for night in _since_accepted(name, history)]
        series = [share for share in values if share is not None]
        if value is None or not series:
            continue
        rows = max(tonight.listings, 1)
        likely = (float(np.median(series)) * rows + 1) / (rows + 2)
        sampling = math.sqrt(likely * (1 - likely) / rows)
        centre, reach = _limits(cfg, series, cfg.min_share_deviation, sampling)
        low = None if name.startswith(_ONE_SIDED) else round(max(centre - reach, 0.0), 6)
        found.append(Shift(name, value, low, round(min(centre + reach, 1.0), 6), len(series)))
    return found


def _distances(cfg: ShiftConfig, tonight: NightFacts, history: Sequence[NightFacts]) -> list[Shift]:
    found = []
    for what in sorted(tonight.distributions):
        name = f"{what}_shift"
        nights = [night.distributions.get(what, {}) for night in _since_accepted(name, history)]
        nights = [night for night in nights if night]
        counts = tonight.distributions[what]
        if not counts or not nights:
            continue
        # expected distance between two samples of one distribution
        kinds, rows = len({*counts, *(value for night in nights for value in night)}), sum(counts.values())
        sampling = math.sqrt((kinds - 1) / (8 * math.log(2) * rows))
        found.append(_distance_shift(cfg, name, _js_distance, counts, nights, cfg.min_distance_deviation, sampling))
    return found


def _prices(cfg: ShiftConfig, tonight: NightFacts, history: Sequence[NightFacts]) -> list[Shift]:
    found = []
    for currency, prices in sorted(tonight.prices.items()):
        name = f"price_shift/{currency}"
        known = [night.prices.get(currency) for night in _since_accepted(name, history)]
        nights = [night for night in known if night is not None and night.listings >= _FEW_PRICES]
        if prices.listings < _FEW_PRICES or not nights:
            continue
        # the sampling error of an outer quantile grows with the spread of the prices
        values = list(prices.log10_quantiles.values())
        sampling = (max(values) - min(values)) / math.sqrt(prices.listings)
        found.append(_distance_shift(cfg, name, _price_distance, prices, nights, cfg.min_price_deviation, sampling))
    return found


def _labels(cfg: ShiftConfig, tonight: NightFacts, history: Sequence[NightFacts]) -> list[Shift]:
    found = []
    for name in sorted({name for night in history for name in night.labels}):
        nights = [night for night in _since_accepted(name, history) if night.labels]
        if not nights or not tonight.labels:
            continue
        usual, value, low, high = label_limits(
            name,
            tonight,
            nights,
            lambda series, sampling: _limits(cfg, series, cfg.min_label_deviation, sampling),
            lambda series, sampling: _limits(cfg, series, cfg.min_share_deviation, sampling),
        )
        if is_tested(name, usual, cfg.min_label_share):
            edges = [None if edge is None else round(edge, 6) for edge in (low, high)]
            found.append(Shift(name, round(value, 6), edges[0], edges[1], len(nights)))
    return found


def _resent(tonight: NightFacts, history: Sequence[NightFacts]) -> list[Shift]:
    """Return how many nights tonight repeats: equal rows and photos, or equal rows without any photo that is new."""
    same = sum(
        night.fingerprint == tonight.fingerprint
        or (bool(tonight.rows) and night.rows == tonight.rows and not tonight.new_photos)
        for night in history
    )
    return [Shift("resent_dump", float(same), None, 0.0, len(history))]


def _distance_shift(
    cfg: ShiftConfig,
    name: str,
    distance: Callable[[T, Sequence[T]], float],
    tonight: T,
    nights: Sequence[T],
    least: float,
    sampling: float,
) -> Shift:
    """Compare tonight's distance from the last nights with how far each of them is from the others."""
    series = [distance(one, [*nights[:at], *nights[at + 1 :]]) for at, one in enumerate(nights)] if nights[1:] else []
    centre, reach = _limits(cfg, series, least, sampling, len(nights))
    return Shift(name, round(distance(tonight, nights), 6), None, round(centre + reach, 6), len(nights))


def _js_distance(counts: Mapping[str, int], others: Sequence[Mapping[str, int]]) -> float:
    """Return the Jensen-Shannon distance (base 2, 0..1) of a distribution from the mean of others."""
    names = sorted({*counts, *(name for other in others for name in other)})
    rows = np.array([[one.get(name, 0) for name in names] for one in (counts, *others)], dtype=np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    # rounding may make equal distributions differ slightly, which the square root would magnify
    return max(0.0, float(np.nan_to_num(jensenshannon(rows[0], rows[1:].mean(axis=0), base=2))))


def _price_distance(prices: Prices, others: Sequence[Prices]) -> float:
    """Return the largest difference of a log10 quantile from the median of the others'."""
    return max(
        abs(value - float(np.median([other.log10_quantiles[share] for other in others])))
        for share, value in prices.log10_quantiles.items()
    )


def _limits(
    cfg: ShiftConfig, series: Sequence[float], least: float, sampling: float, nights: int | None = None
) -> tuple[float, float]:
    """Return the centre of a history and how far from it a value may be."""
    centre = float(np.median(series)) if series else 0.0
    spread = _MAD_TO_DEVIATION * float(np.median(np.abs(np.array(series) - centre))) if series else 0.0
    wider = cfg.few_nights_factor if (len(series) if nights is None else nights) < _FEW_NIGHTS else 1.0
    return centre, cfg.deviations * max(wider * spread, wider * least, sampling)


def _since_accepted(name: str, history: Sequence[NightFacts]) -> Sequence[NightFacts]:
    """Return the nights from the last one on in which a shift of this metric was accepted."""
    starts = [at for at, night in enumerate(history) if name in night.accepted]
    return history[starts[-1] :] if starts else history
