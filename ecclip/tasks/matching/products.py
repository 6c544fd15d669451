"""From matched pairs to products: best first, as long as most pairs of two products match, up to a size."""

from __future__ import annotations

import numpy as np

_SHARE = 0.5  # of the pairs between two products that must match before they are one; by judgment: a simple majority


def cluster(left: np.ndarray, right: np.ndarray, scores: np.ndarray, known: np.ndarray, max_size: int) -> np.ndarray:
    """Return int64 [N]: for every listing the smallest index of its product.

    ``left``, ``right`` and ``scores`` [M] are matched pairs, each once; ``known`` [N] numbers groups that are together
    from the start. Two groups match if at least half of the listings of the smaller one match one of the larger.

    Groups that match become one product from the best match on (ties in order), if at least half of the pairs of their
    products' groups match and at most ``max_size`` listings come together: a chain of look-alikes, each of which
    matches the next, does not grow into one product.
    """
    groups = np.unique(known, return_inverse=True)[1]
    sizes = np.bincount(groups)
    one, other, best = _matched_groups(left, right, scores, groups, sizes)
    products = _Products(sizes, one, other)
    for place in np.lexsort((other, one, -best)).tolist():
        products.join(int(one[place]), int(other[place]), max_size)
    found = np.array([products.find(group) for group in range(len(sizes))], dtype=np.int64)[groups]
    first = np.full(len(sizes), len(groups), dtype=np.int64)
    np.minimum.at(first, found, np.arange(len(groups)))
    return first[found]


def _matched_groups(
    left: np.ndarray, right: np.ndarray, scores: np.ndarray, groups: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of groups [K] that match, the smaller number first, and the best score of each pair."""
    across = groups[left] != groups[right]
    left, right, scores = left[across], right[across], scores[across]
    swap = groups[left] > groups[right]
    left, right = np.where(swap, right, left), np.where(swap, left, right)
    codes, place = np.unique(groups[left] * len(sizes) + groups[right], return_inverse=True)
    one, other = codes // max(len(sizes), 1), codes % max(len(sizes), 1)
    best = np.full(len(codes), -np.inf)
    np.maximum.at(best, place, scores)
    matched = [_distinct(place, side, len(codes)) for side in (left, right)]
    smaller = np.where(sizes[one] <= sizes[other], matched[0], matched[1])
    enough = smaller >= _SHARE * np.minimum(sizes[one], sizes[other])
    return one[enough], other[enough], best[enough]


def _distinct(place: np.ndarray, listings: np.ndarray, pairs: int) -> np.ndarray:
    """Return how many different listings each pair of groups has on one side."""
    found = np.unique(np.stack([place, listings]), axis=1)[0]
    return np.bincount(found, minlength=pairs)


class _Products:
    """Union-find over groups; each product counts how many of its groups match those of others."""

    def __init__(self, sizes: np.ndarray, one: np.ndarray, other: np.ndarray) -> None:
        self._parent = list(range(len(sizes)))
        self._listings: list[int] = sizes.tolist()
        self._groups = [1] * len(sizes)
        self._matches: dict[int, dict[int, int]] = {}
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            self._matches.setdefault(a, {})[b] = 1
            self._matches.setdefault(b, {})[a] = 1

    def find(self, group: int) -> int:
        """Return the group that stands for the product of ``group``."""
        while self._parent[group] != group:
            self._parent[group] = self._parent[self._parent[group]]
            group = self._parent[group]
        return group

    def join(self, one: int, other: int, max_size: int) -> None:
        """Unite the products of two groups unless they are too large or too few of their groups match."""
        a, b = self.find(one), self.find(other)
        if a == b or self._listings[a] + self._listings[b] > max_size:
            return
        if self._matches[a][b] >= _SHARE * self._groups[a] * self._groups[b]:
            self._unite(*((a, b) if len(self._matches[a]) >= len(self._matches[b]) else (b, a)))

    def _unite(self, kept: int, gone: int) -> None:
        self._parent[gone] = kept
        self._listings[kept] += self._listings[gone]
        self._groups[kept] += self._groups[gone]
        own = self._matches[kept]
        for other, count in self._matches.pop(gone).items():
            del self._matches[other][gone]
            if other != kept:
                own[other] = self._matches[other][kept] = own.get(other, 0) + count
