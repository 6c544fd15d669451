"""Labels that vanish or surge: the share of every label against recent accepted nights.

Labels are rare, so their shares are compared as logarithms: three times fewer is as much for a label of one listing in
a hundred as for one of every second. What one seller did alone is not counted: of the shares that the night has with
any one seller left out, the one nearest to the usual share is tested, and the history's own range widens the limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ecclip.catalog.gate.history import LabelShare, NightFacts
from ecclip.catalog.gate.labels import AGE, ATTRIBUTE, CATEGORY, LABELLED

Limits = Callable[[Sequence[float], float], tuple[float, float]]
_NONE = LabelShare(share=0.0, low=0.0, high=0.0)


def is_tested(name: str, usual: float, min_share: float) -> bool:
    """Return whether a label of this usual share is tested by itself; rare categories and attributes are not."""
    return name in (AGE, LABELLED) or usual >= min_share


def label_limits(
    name: str, tonight: NightFacts, nights: Sequence[NightFacts], limits: Limits, linear: Limits
) -> tuple[float, float, float | None, float | None]:
    """Return the usual share, the share to test, and the lowest and the highest share allowed (None: any).

    ``limits`` and ``linear`` take a series and its sampling error and return centre and reach, for logarithms and for
    shares.
    """
    rows = max(tonight.listings, 1)
    series = [night.labels.get(name, _NONE) for night in nights]
    usual = float(np.median([label.share for label in series]))
    now = tonight.labels.get(name, _NONE)
    value = min(max(usual, now.low), now.high)
    sampling = 1 / math.sqrt(usual * rows + 0.5)
    centre, reach = limits([_log(label.low, rows) for label in series], sampling)
    low = _share(centre - reach, rows)
    if name == LABELLED or (name.startswith(ATTRIBUTE) and "=" not in name):
        return usual, value, low or None, None  # more labels are never a reason to refuse a night
    centre, reach = limits([_log(label.high, rows) for label in series], sampling)
    highest = [label.high for label in series]
    middle, wide = linear(highest, math.sqrt(usual * (1 - usual) / rows))
    others, far = limits([_log(1 - share, rows) for share in highest], 1 / math.sqrt((1 - usual) * rows + 0.5))
    high = min(max(_share(centre + reach, rows), middle + wide), 1 - _share(others - far, rows))
    return usual, value, low or None, min(high, 1.0)


def is_one_of_many(name: str) -> bool:
    """Return whether a metric is the share of a category or of an attribute."""
    return name.startswith((CATEGORY, ATTRIBUTE))


def _log(share: float, rows: int) -> float:
    # half a listing more, so that no share is zero (continuity correction)
    return math.log((share * rows + 0.5) / (rows + 1))


def _share(logarithm: float, rows: int) -> float:
    return max(0.0, (math.exp(min(logarithm, 0.0)) * (rows + 1) - 0.5) / rows)
