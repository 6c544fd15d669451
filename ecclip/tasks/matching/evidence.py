"""What speaks for and against two listings being one product: numbers, and the words that two titles share or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, hstack

from ecclip.tasks.matching.described import Described

_BLOCK = 65536  # pairs compared at once; bounds the memory
_SHORT = 3  # characters of a model number or brand below which it occurs in other words by chance
# evidence that says more beside what the two listings share with others
_COMPARED = ("title similarity", "characters", "texts", "text cosine", "image cosine", "cross cosine")
NAMES = (
    "title similarity",
    "title containment",
    "shared weight",
    "unshared weight",
    "characters",
    "texts",
    "shared models",
    "models of one side",
    "models of either side",
    "model in the other title",
    "brand agrees",
    "brand in the other title",
    "price ratio",
    "shared facts",
    "facts that differ",
    "photo distance",
    "length ratio",
    "image cosine",
    "text cosine",
    "cross cosine",
)


@dataclass(frozen=True)
class Evidence:
    """The evidence about M pairs.

    Attributes:
        numbers: of NAMES, and beside them how a pair stands among others (see ``add_context``), float32 [M, E].
        terms: the words that the titles share, by their weight, and those that one of them has alone, as ones,
            float32 [M, 2 V].
    """

    numbers: np.ndarray
    terms: csr_matrix

    def part(self, chosen: np.ndarray) -> Evidence:
        """Return the evidence about the pairs that ``chosen`` [K] (places, or bool [M]) selects."""
        return Evidence(self.numbers[chosen], self.terms[chosen])


def evidence_of(
    listings: Described, candidates: tuple[np.ndarray, np.ndarray], places: np.ndarray, numbers: np.ndarray
) -> Evidence:
    """Return the evidence about the candidates at ``places`` [K].

    ``candidates`` are rows left < right [M], each pair once; ``numbers`` [M, E] are what ``add_context`` says of them.
    """
    return Evidence(numbers[places], pair_terms(listings, *(side[places] for side in candidates)))


def pair_terms(listings: Described, left: np.ndarray, right: np.ndarray) -> csr_matrix:
    """Return the words that two titles share and those that one has alone for pairs [M], float32 [M, 2 V]."""
    known = (listings.words > 0).astype(np.float32)
    sides, found = (known[left], known[right]), listings.words[left].multiply(listings.words[right])
    alone = sides[0] + sides[1] - 2 * sides[0].multiply(sides[1])
    alone.eliminate_zeros()
    return csr_matrix(hstack([found, alone]), dtype=np.float32)


def pair_evidence(
    listings: Described, left: np.ndarray, right: np.ndarray, cosines: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return float32 [M, len(NAMES)] for the pairs ``left``, ``right`` [M]; NaN where one side does not say.

    The order of the two does not matter. ``cosines`` [M] are those of embeddings by name ("image", "text", "cross");
    one that is missing is unknown.
    """
    parts = []
    for start in range(0, len(left), _BLOCK):
        part = slice(start, start + _BLOCK)
        parts.append(_compared(listings, left[part], right[part]))
    known = np.concatenate(parts) if parts else np.zeros((0, len(NAMES) - 3), np.float32)
    nothing = np.full(len(left), np.nan, dtype=np.float32)
    more = [np.asarray(cosines.get(name, nothing), dtype=np.float32) for name in ("image", "text", "cross")]
    return np.column_stack([known, *more]).astype(np.float32)


def add_context(evidence: np.ndarray, left: np.ndarray, right: np.ndarray, listings: int) -> np.ndarray:
    """Return ``evidence`` [M, E] and beside it how each pair stands among all pairs of its two listings.

    For each kind of _COMPARED: how far it is above the best other pair of either listing (the smaller and the larger
    of the two differences), [M, E + 12]. That a title is nearer to another one than to this speaks against this pair.
    """
    found = [evidence]
    for name in _COMPARED:
        values = np.nan_to_num(evidence[:, NAMES.index(name)], nan=-1.0)
        margins = values - _best_other(values, left, right, listings)
        found += [np.minimum(*margins)[:, None], np.maximum(*margins)[:, None]]
    return np.concatenate(found, axis=1).astype(np.float32)


def _best_other(values: np.ndarray, left: np.ndarray, right: np.ndarray, listings: int) -> np.ndarray:
    """Return for both ends of each pair the best of ``values`` [M] among the other pairs of that listing, [2, M]."""
    ends, both = np.concatenate([left, right]), np.concatenate([values, values])
    order = np.lexsort((-both, ends))
    first = np.diff(ends[order], prepend=-1) != 0
    second = np.diff(first * 1, prepend=0) == -1
    best, next_best = np.zeros((2, listings), dtype=np.float32)
    best[ends[order][first]] = both[order][first]
    next_best[ends[order][second]] = both[order][second]
    own = np.zeros(len(ends), dtype=bool)
    own[order[first]] = True
    return np.where(own, next_best[ends], best[ends]).reshape(2, len(left))


def _compared(listings: Described, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    words, numbers = _sides(listings.words, left, right), _sides(listings.numbers, left, right)
    shared, weights = _products(*words), [_products(side, side) for side in words]
    models, of_side = _products(*numbers), [_products(side, side) for side in numbers]
    facts = _products(*_sides(listings.facts, left, right))
    stated = _products(*_sides(listings.named, left, right))
    lengths = [np.diff(side.indptr).astype(np.float32) for side in words]
    columns = [
        _ratio(shared, weights[0] + weights[1] - shared),
        _ratio(shared, np.minimum(*weights)),
        shared,
        weights[0] + weights[1] - 2 * shared,
        _products(*_sides(listings.characters, left, right)),
        _products(*_sides(listings.texts, left, right)),
        models,
        np.minimum(*of_side) - models,
        np.maximum(*of_side) - models,
        _models_elsewhere(listings, left, right),
        _equal(listings.brands, left, right),
        _brand_elsewhere(listings, left, right),
        _price_ratio(listings, left, right),
        facts,
        stated - facts,
        _photo_distance(listings, left, right),
        _ratio(np.minimum(*lengths), np.maximum(*lengths)),
    ]
    return np.column_stack(columns).astype(np.float32)


def _sides(matrix: csr_matrix, left: np.ndarray, right: np.ndarray) -> tuple[csr_matrix, csr_matrix]:
    return matrix[left], matrix[right]


def _products(one: csr_matrix, other: csr_matrix) -> np.ndarray:
    """Return the inner product of every row with the row beside it, float32 [M]."""
    return np.asarray(one.multiply(other).sum(axis=1), dtype=np.float32).ravel()


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), np.nan, np.float32), where=below > 0)


def _equal(numbers: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    known = (numbers[left] >= 0) & (numbers[right] >= 0)
    return np.where(known, numbers[left] == numbers[right], np.nan)


def _price_ratio(listings: Described, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return how many times the lower price the higher one is; unknown across currencies."""
    prices = listings.prices[left], listings.prices[right]
    lower, higher = np.fmin(*prices), np.fmax(*prices)
    known = (lower > 0) & np.isfinite(prices[0] + prices[1])
    known &= listings.currencies[left] == listings.currencies[right]
    return np.divide(higher, lower, out=np.full(len(left), np.nan), where=known)


def _photo_distance(listings: Described, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    distance = np.bitwise_count(listings.photos[left] ^ listings.photos[right]).astype(np.float32)
    return np.where(listings.has_photo[left] & listings.has_photo[right], distance, np.nan)


def _models_elsewhere(listings: Described, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the share of both sides' model numbers that the other side's title has, spaces left out."""

    def share(one: int, other: int) -> float:
        given = [(model, other) for model in listings.models[one] if len(model) > _SHORT]
        given += [(model, one) for model in listings.models[other] if len(model) > _SHORT]
        if not given:
            return np.nan
        return sum(model in listings.spelled[place] for model, place in given) / len(given)

    return np.array([share(*pair) for pair in zip(left.tolist(), right.tolist(), strict=True)], dtype=np.float32)


def _brand_elsewhere(listings: Described, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return whether a side's brand is in the other's title: 1 or 0, the better of both ways; unknown without one."""

    def found(one: int, other: int) -> float:
        ways = [(listings.brand_names[a], listings.spelled[b]) for a, b in ((one, other), (other, one))]
        given = [brand in title for brand, title in ways if len(brand) >= _SHORT]
        return float(any(given)) if given else np.nan

    return np.array([found(*pair) for pair in zip(left.tolist(), right.tolist(), strict=True)], dtype=np.float32)
