"""A head of very many classes in closed form: its cost hardly grows with them, where every step of a solver's does.

Linear discriminants (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, section 4.3): classes are
clouds of one shape around a mean each. They want fewer listings of a class than logistic regression (Ng and Jordan
2002), of which thousands of categories have few. A mean of few listings is drawn towards that of the category above
(shrinkage in a hierarchy: McCallum, Rosenfeld, Mitchell and Ng 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ecclip.tasks.heads.linear import UNSEEN, LinearHead, Samples, best_head

_SHARES = (0.5, 0.1, 0.02)  # of the shape that is a ball's, the strongest penalty first; by judgment
_FROM_ABOVE = 4.0  # listings that the mean of the category above counts for; by judgment


def fit_discriminant(train: Samples, validation: Samples | None, labels: Sequence[Any]) -> LinearHead:
    """Fit a head [F, C] of ``labels``, C of them, paths or texts; validation rows choose how round classes are."""
    counts = np.bincount(train.y, minlength=len(labels))
    means = _means(train, counts, labels)
    shape = _shape(train, counts)
    heads = (_head(means, counts, shape, share) for share in (_SHARES if validation is not None else _SHARES[1:2]))
    return best_head(heads, validation)


def _head(means: np.ndarray, counts: np.ndarray, shape: np.ndarray, share: float) -> LinearHead:
    size = len(shape)
    ball = max(float(np.trace(shape)) / size, 1e-12) * np.eye(size)
    weight = cho_solve(cho_factor((1 - share) * shape + share * ball), means.T)
    prior = np.log(np.maximum(counts, 1) / max(counts.sum(), 1))
    bias = prior - 0.5 * np.einsum("cf,fc->c", means, weight)
    seen = counts > 0
    return LinearHead(np.where(seen, weight, 0.0), np.where(seen, bias, UNSEEN))


def _shape(train: Samples, counts: np.ndarray) -> np.ndarray:
    """Return the covariance [F, F] within classes, from what lies between all rows and between the classes."""
    x = train.x.astype(np.float64)
    sums = _sums(train, len(counts))
    present = counts > 0
    between = (sums[present].T / counts[present]) @ sums[present]
    return (x.T @ x - between) / max(len(x) - int(present.sum()), 1)


def _means(train: Samples, counts: np.ndarray, labels: Sequence[Any]) -> np.ndarray:
    """Return the mean [C, F] of each class, drawn towards those of the categories above it, from the root down."""
    paths = [tuple(label) if isinstance(label, list | tuple) else (label,) for label in labels]
    sums = _sums(train, len(labels))
    whole = sums.sum(axis=0) / max(int(counts.sum()), 1)
    above = np.broadcast_to(whole, sums.shape).copy()
    for level in range(1, max(map(len, paths))):
        number = {path: place for place, path in enumerate(dict.fromkeys(path[:level] for path in paths))}
        place = np.array([number[path[:level]] for path in paths])
        members = np.array([len(path) > level for path in paths])
        drawn = _drawn(_added(sums, place, len(number)), np.bincount(place, counts, len(number)), above, place)
        above[members] = drawn[place[members]]
    return (sums + _FROM_ABOVE * above) / (counts[:, None] + _FROM_ABOVE)


def _drawn(sums: np.ndarray, counts: np.ndarray, above: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the drawn means [P, F] of the categories of a level; ``above`` [C, F] is by label what draws them."""
    first = np.zeros(len(sums), dtype=np.int64)
    first[place[::-1]] = np.arange(len(place))[::-1]
    return (sums + _FROM_ABOVE * above[first]) / (counts[:, None] + _FROM_ABOVE)


def _sums(train: Samples, classes: int) -> np.ndarray:
    return _added(train.x.astype(np.float64), train.y, classes)


def _added(rows: np.ndarray, place: np.ndarray, count: int) -> np.ndarray:
    """Return the sums [P, F] of the rows [N, F] at each ``place`` [N]."""
    order = np.argsort(place, kind="stable")
    present, starts = np.unique(place[order], return_index=True)
    found = np.zeros((count, rows.shape[1]))
    found[present] = np.add.reduceat(rows[order], starts, axis=0)
    return found
