"""What heads of a modality read, in coordinates in which fitting is cheap: blocks of equal weight, on principal axes.

A penalty of L2 depends on lengths alone, so turning the inputs changes no fitted head; leaving out axes beyond the
first few hundred changes it by what the inputs hardly vary in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh

from ecclip.tasks.heads.linear import LinearHead

_MOST_ROWS = 20_000  # of which axes are found; bounds time and memory, by judgment
_LEAST_SHARE = 1e-9  # of the largest variance: below it an axis is rounding


@dataclass(frozen=True)
class Axes:
    """Coordinates ((x - mean) * scale) @ axes of inputs x [N, F]: float64 [F], [F] and [F, r]."""

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray

    def turn(self, x: np.ndarray) -> np.ndarray:
        """Return the coordinates of ``x`` [N, F], float32 [N, r]."""
        weight = self.scale[:, None] * self.axes
        return (x @ weight.astype(np.float32) - (self.mean @ weight).astype(np.float32)).astype(np.float32)

    def restore(self, head: LinearHead) -> LinearHead:
        """Return a head of coordinates as a head of inputs: equal logits."""
        weight = self.scale[:, None] * (self.axes @ head.weight)
        return replace(head, weight=weight, bias=head.bias - self.mean @ weight)


def principal_axes(x: np.ndarray, blocks: Sequence[int], most: int) -> Axes:
    """Return at most ``most`` principal axes of the rows of ``x`` [N, F], each block of columns scaled beforehand.

    ``blocks`` are the blocks' widths, F in all. Whatever its width, a block gets the share of the total variance that
    all others get, so that no tower counts for more because it is wider; the mean variance of a column is 1.
    """
    x = x[:: max(1, -(-len(x) // _MOST_ROWS))]
    if not len(x):
        return Axes(np.zeros(x.shape[1]), np.ones(x.shape[1]), np.zeros((x.shape[1], 1)))
    mean = x.mean(axis=0, dtype=np.float64)
    centred = x - mean
    scale = np.concatenate([_scale(part, sum(blocks) / len(blocks)) for part in _split(centred, blocks)])
    return Axes(mean, scale, _axes(centred * scale, most))


def _split(x: np.ndarray, blocks: Sequence[int]) -> list[np.ndarray]:
    return np.split(x, np.cumsum(blocks)[:-1], axis=1)


def _scale(part: np.ndarray, variance: float) -> np.ndarray:
    """Return the scale [F] of a block's columns that makes its total variance ``variance``."""
    total = float(np.square(part).sum() / len(part))
    return np.full(part.shape[1], np.sqrt(variance / total) if total > 0 else 1.0)


def _axes(x: np.ndarray, most: int) -> np.ndarray:
    """Return the axes [F, r] of centred rows, from the smaller of the two matrices of inner products."""
    rows, columns = x.shape
    is_wide = rows < columns
    products = x @ x.T if is_wide else x.T @ x
    size = len(products)
    values, vectors = eigh(products, subset_by_index=[max(0, size - most), size - 1])
    kept = values > _LEAST_SHARE * max(float(values[-1]), np.finfo(float).tiny)
    if not kept.any():
        return np.zeros((columns, 1))
    values, vectors = values[kept][::-1], vectors[:, kept][:, ::-1]
    return x.T @ vectors / np.sqrt(values) if is_wide else vectors
