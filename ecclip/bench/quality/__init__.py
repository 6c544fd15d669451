"""The parts of ``ecclip bench quality``: data without leaks, probes, the recipe's heads, the catalog as label."""

from ecclip.bench.quality.cache import kept
from ecclip.bench.quality.gain import Interval, difference, ratio
from ecclip.bench.quality.grouping import Grouped, group_by_vectors

__all__ = [
    "Grouped",
    "Interval",
    "auto",
    "catalog_label",
    "data",
    "difference",
    "evaluated",
    "group_by_vectors",
    "kept",
    "market",
    "probe",
    "ratio",
    "recipe",
    "trained",
]
