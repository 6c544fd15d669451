"""What a sample of answers proves about a precision: exact bounds, also where listings of one product answer alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv

CONFIDENCE = 0.95  # of every bound that is not said otherwise


def rows_for_proof(precision: float, confidence: float) -> float:
    """Return how many answers, all of them right, prove a ``precision``: 59 for 0.95 at 95 %, infinite for 1."""
    return float(np.ceil(np.log1p(-confidence) / np.log(precision))) if precision < 1 else float("inf")


def effective_rows(groups: np.ndarray) -> float:
    """Return what N answers count as where those of one group [N] are right or wrong together: (sum m)^2 / sum m^2.

    Kish's effective sample size of groups of m answers (Survey Sampling, 1965, section 8.2) at a correlation of one,
    the worst case. N where every answer has its own group.
    """
    sizes = np.bincount(np.unique(groups, return_inverse=True)[1]).astype(np.float64)
    return float(sizes.sum() ** 2 / np.square(sizes).sum()) if len(sizes) else 0.0


def effective_rows_so_far(groups: np.ndarray) -> np.ndarray:
    """Return :func:`effective_rows` of the first 1, 2, ... N answers, float64 [N]."""
    order = np.argsort(groups, kind="stable")
    first = np.append(True, np.diff(groups[order]) != 0) if len(groups) else np.zeros(0, dtype=bool)
    starts = np.flatnonzero(first)
    before = np.empty(len(groups))  # answers of the same group that came earlier
    before[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))
    total = np.arange(1, len(groups) + 1, dtype=np.float64)
    return total**2 / np.cumsum(2 * before + 1)


def error_at_most(wrong: np.ndarray, rows: np.ndarray, confidence: float = CONFIDENCE) -> np.ndarray:
    """Return the one-sided upper bound [...] of the error of which ``wrong`` [...] of ``rows`` [...] were seen.

    Clopper and Pearson 1934; counts need not be whole, as with effective rows (Korn and Graubard 1998). 1 without rows.
    """
    wrong, rows = np.broadcast_arrays(np.asarray(wrong, dtype=np.float64), np.asarray(rows, dtype=np.float64))
    right = rows - wrong
    bound: np.ndarray = betaincinv(wrong + 1.0, np.maximum(right, 1e-12), confidence)
    return np.where(right > 0, bound, 1.0)


def precision_at_most(right: float, rows: float, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided upper bound of the precision of which ``right`` of ``rows`` answers were seen to be right.

    A promise above it is broken at this confidence. 1 without rows: nothing speaks against the promise.
    """
    return float(error_at_most(np.asarray(right), np.asarray(rows), confidence)) if rows else 1.0


def chance_if_kept(right: float, rows: float, precision: float) -> float:
    """Return how likely at most ``right`` right answers of ``rows`` are where the precision is as promised.

    The p-value against the promise; below 5 % exactly where :func:`precision_at_most` is below ``precision``.
    """
    return float(betainc(rows - right, right + 1.0, 1.0 - precision)) if right < rows else 1.0


def broken_promises(chances: Mapping[str, float], level: float = 1 - CONFIDENCE) -> list[str]:
    """Return which of several promises are broken, by name -> :func:`chance_if_kept`.

    By Holm's step-down procedure (1979): with probability 1 - ``level`` no kept promise is among them.
    """
    broken: list[str] = []
    for name, chance in sorted(chances.items(), key=lambda entry: (entry[1], entry[0])):
        if chance > level / (len(chances) - len(broken)):
            break
        broken.append(name)
    return sorted(broken)


@dataclass(frozen=True)
class AutoCell:
    """Of one head and modality: how many answers there were, how many of them were `auto`, how many of these right.

    ``effective`` is what the `auto` answers count as where those of one product are right or wrong together.
    """

    answers: int
    auto: int
    right: int
    effective: float
    promise: float

    @property
    def coverage(self) -> float:
        """Share of answers that are `auto`; 0 without answers."""
        return self.auto / self.answers if self.answers else 0.0

    @property
    def precision(self) -> float:
        """Share of `auto` answers that are right; NaN where none is `auto`."""
        return self.right / self.auto if self.auto else float("nan")

    @property
    def precision_at_most(self) -> float:
        """One-sided 95 % upper bound of the precision: the promise is broken where it lies below; 1 without `auto`."""
        return precision_at_most(self._right, self.effective)

    @property
    def chance_if_kept(self) -> float:
        """How likely so few right answers are where the promise is kept."""
        return chance_if_kept(self._right, self.effective, self.promise)

    @property
    def _right(self) -> float:
        return self.effective * self.right / self.auto if self.auto else 0.0


def auto_cell(right: np.ndarray, auto: np.ndarray, groups: np.ndarray, promise: float) -> AutoCell:
    """Count the answers of one head and modality: ``right`` and ``auto`` bool [M], ``groups`` [M] product numbers."""
    effective = effective_rows(groups[auto])
    return AutoCell(len(right), int(auto.sum()), int(right[auto].sum()), effective, promise)


def auto_promises_broken(cells: Mapping[str, AutoCell]) -> list[str]:
    """Return the names of the cells whose promise the test listings refute, all cells considered together (Holm)."""
    return broken_promises({name: cell.chance_if_kept for name, cell in cells.items() if cell.auto})
