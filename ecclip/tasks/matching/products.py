"""From matched pairs to products: a greedy clustering that joins only what is alike on average."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """The similarity of one modality: vectors [N, F] of length 1, and the score from which two listings match."""

    vectors: np.ndarray
    threshold: float


def cluster(
    left: np.ndarray,
    right: np.ndarray,
    scores: np.ndarray,
    views: dict[str, View],
    has_image: np.ndarray,
    max_size: int,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Return int64 [N]: for every listing the smallest index of its product.

    Pairs are taken best first (ties in index order). Two products become one if the mean similarity of their members
    reaches the threshold as well, and at most ``max_size`` listings come together: a chain of look-alikes does not
    grow into one product. ``known`` [N] numbers groups that are together from the start.

    The mean is that of view ``both``, or of view ``text`` where a member has no photo.
    """
    products = _Products(views, has_image, known)
    order = np.lexsort((right, left, -scores))
    for one, other in zip(left[order].tolist(), right[order].tolist(), strict=True):
        products.join(one, other, max_size)
    return np.array([products.find(index) for index in range(len(has_image))], dtype=np.int64)


class _Products:
    """Union-find whose root is the smallest member and which keeps the sum of the members' vectors."""

    def __init__(self, views: dict[str, View], has_image: np.ndarray, known: np.ndarray | None) -> None:
        self._parent = list(range(len(has_image)))
        self._size = [1] * len(has_image)
        self._complete = has_image.tolist()  # every member has a photo
        self._views = views
        self._sums = {name: view.vectors.astype(np.float32, copy=True) for name, view in views.items()}
        if known is not None:
            first: dict[int, int] = {}
            for index, group in enumerate(known.tolist()):
                if group in first:
                    self._unite(first[group], index)
                first.setdefault(group, index)

    def find(self, index: int) -> int:
        """Return the smallest member of the product that holds ``index``."""
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index

    def join(self, one: int, other: int, max_size: int) -> None:
        """Unite the products of two listings unless they are too large or too unlike."""
        a, b = self.find(one), self.find(other)
        if a == b or self._size[a] + self._size[b] > max_size:
            return
        name = "both" if self._complete[a] and self._complete[b] and "both" in self._views else "text"
        name = name if name in self._views else next(iter(self._views))
        mean = float(self._sums[name][a] @ self._sums[name][b]) / (self._size[a] * self._size[b])
        # a pair exactly at the threshold must not fail by the rounding of another summation order
        if mean >= self._views[name].threshold - 1e-6:
            self._unite(a, b)

    def _unite(self, one: int, other: int) -> None:
        a, b = sorted((self.find(one), self.find(other)))
        if a == b:
            return
        self._parent[b] = a
        self._size[a] += self._size[b]
        self._complete[a] = self._complete[a] and self._complete[b]
        for sums in self._sums.values():
            sums[a] += sums[b]
