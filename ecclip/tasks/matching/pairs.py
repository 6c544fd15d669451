"""Matching: which listings show the same product, measured against the snapshot's groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecclip.tasks.decision import NEVER_AUTO
from ecclip.tasks.report.metrics import threshold_at


@dataclass(frozen=True)
class Retrieved:
    """The neighbours of ``queries`` [Q] among N listings, labelled by the groups.

    ``scores`` and ``correct`` are [Q, k], best first; ``relevant`` [Q] counts the other listings of a query's group.
    """

    queries: np.ndarray
    scores: np.ndarray
    correct: np.ndarray
    relevant: np.ndarray

    def part(self, chosen: np.ndarray) -> Retrieved:
        """Return the queries that ``chosen`` (bool [Q]) selects."""
        return Retrieved(self.queries[chosen], self.scores[chosen], self.correct[chosen], self.relevant[chosen])


def score_neighbours(queries: np.ndarray, scores: np.ndarray, found: np.ndarray, groups: np.ndarray) -> Retrieved:
    """Compare the neighbours ``found`` [Q, k] (-1: none) of ``queries`` with the group number of every listing [N]."""
    correct = (groups[found] == groups[queries][:, None]) & (found >= 0)
    relevant = np.bincount(groups)[groups[queries]] - 1
    return Retrieved(queries, scores, correct, relevant)


def hits_at(retrieved: Retrieved, k: int) -> np.ndarray:
    """Return 1.0 or 0.0 per query [Q]: one of its first ``k`` neighbours is of its group (recall@k as in retrieval)."""
    return np.asarray(retrieved.correct[:, :k].any(axis=1), dtype=np.float64)


def mean_average_precision(retrieved: Retrieved) -> np.ndarray:
    """Return the average precision of every query [Q]; members of its group beyond the k neighbours count as missed."""
    ranks = np.arange(1, retrieved.correct.shape[1] + 1)
    precision = retrieved.correct.cumsum(axis=1) / ranks
    found: np.ndarray = (precision * retrieved.correct).sum(axis=1)
    result: np.ndarray = found / np.maximum(retrieved.relevant, 1)
    return result


def match_threshold(retrieved: Retrieved, precision: float, min_pairs: int) -> float:
    """Return the smallest score at which pairs (query, neighbour) are of one group with ``precision``; 2.0 if none.

    The queries are a sample of whole groups, the neighbours come from all listings, so wrong pairs are as frequent
    as when all listings are matched.
    """
    real = np.isfinite(retrieved.scores)
    return threshold_at(retrieved.scores[real], retrieved.correct[real], precision, min_pairs)


def pairs_at(retrieved: Retrieved, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how many neighbours each query has at or above ``threshold`` [Q], and how many of them are right [Q]."""
    above = retrieved.scores >= min(threshold, NEVER_AUTO)
    return above.sum(axis=1), (above & retrieved.correct).sum(axis=1)
