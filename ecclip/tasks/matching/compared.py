"""From night to night: which listings are compared again, which matches stay, and what products are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecclip.formats.answers import Grouped


@dataclass(frozen=True)
class Night:
    """The listings of a night in order, and a digest of what each is compared by."""

    ids: list[str]
    digests: list[str]


@dataclass(frozen=True)
class Carried:
    """What a night takes over: ``fresh`` [N] are the listings to compare, the rest are matches [M] by row number."""

    fresh: np.ndarray
    left: np.ndarray
    right: np.ndarray
    scores: np.ndarray

    @property
    def count(self) -> int:
        """How many matches are taken over."""
        return len(self.left)

    def joined(
        self, left: np.ndarray, right: np.ndarray, scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return these matches and new ones [K] together, in order."""
        parts = ((self.left, left), (self.right, right), (self.scores, scores))
        one, other, found = (np.concatenate(part) for part in parts)
        order = np.lexsort((other, one))
        return one[order], other[order], found[order]


def carried(night: Night, before: Grouped) -> Carried:
    """Return what a night takes over: matches of two listings that are as they were."""
    listings = zip(night.ids, night.digests, strict=True)
    same = {listing for listing, digest in listings if before.compared.get(listing) == digest}
    place = {listing: row for row, listing in enumerate(night.ids)}
    stay = [
        number
        for number, pair in enumerate(zip(before.left, before.right, strict=True))
        if pair[0] in same and pair[1] in same
    ]
    left, right = (
        np.array([place[side[number]] for number in stay], dtype=np.int64) for side in (before.left, before.right)
    )
    fresh = np.array([listing not in same for listing in night.ids], dtype=bool)
    return Carried(fresh, left, right, before.scores[stay])


def product_names(ids: Sequence[str], products: np.ndarray, before: Mapping[str, str]) -> list[str]:
    """Return the id of every listing's product; ``products`` [N] holds the smallest row of each.

    An old product's id goes to the product of its smallest listing that is still there; a product with a claim to
    several ids keeps the smallest. A new one is named by its smallest listing, with a number where that name is taken.
    """
    owners: dict[str, int] = {}
    for row, listing in enumerate(ids):
        if listing in before:
            owners.setdefault(before[listing], int(products[row]))
    names: dict[int, str] = {}
    for name, product in sorted(owners.items()):
        names.setdefault(product, name)
    taken = {*before.values()}
    for product in np.unique(products).tolist():
        if product not in names:
            names[product] = _free(ids[product], taken)
    return [names[product] for product in products.tolist()]


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        found, number = f"{name}#{number}", number + 1
    taken.add(found)
    return found


def best_inside(products: np.ndarray, left: np.ndarray, right: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the best score of each listing's matches [M] inside its product, float32 [N], NaN without one."""
    best = np.full(len(products), -np.inf, dtype=np.float32)
    inside = products[left] == products[right]
    for side in (left, right):
        np.maximum.at(best, side[inside], scores[inside])
    return np.where(np.isfinite(best), best, np.float32(np.nan))
