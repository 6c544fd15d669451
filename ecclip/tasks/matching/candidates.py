"""Candidates: the pairs of listings that are compared, by nearest neighbours and by the catalog's blocking keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ecclip.tasks.config import SearchConfig
from ecclip.tasks.matching.described import Described
from ecclip.tasks.matching.neighbours import all_neighbours

Pairs = tuple[np.ndarray, np.ndarray]  # row numbers left < right [M], each pair once, in order


def neighbour_pairs(
    vectors: np.ndarray, members: np.ndarray, queries: np.ndarray, neighbours: int, search: SearchConfig
) -> Pairs:
    """Return the pairs of ``queries`` (rows) and their nearest among ``members`` (rows [K] that have ``vectors``
    [K, d] of length 1), whichever of the two is the nearer one's neighbour.
    """
    asked = np.flatnonzero(np.isin(members, queries))
    if len(members) < 2 or not len(asked):
        return joined([], 0)
    nearest = min(neighbours, len(members) - 1)
    _, found = all_neighbours(vectors, nearest, asked, search.block_rows, search.exact_rows)
    left, right = np.repeat(members[asked], found.shape[1]), found.ravel()
    return joined([(left[right >= 0], members[right[right >= 0]])], int(members.max()) + 1)


def blocking_pairs(listings: Described, max_block: int) -> Pairs:
    """Return the pairs of listings that share a blocking key of at most ``max_block`` listings.

    The keys are those of the catalog's grouping: loose ones count only where one of the two names no model.
    """
    named = np.diff(listings.numbers.indptr) > 0
    left, right = _in_blocks(listings.loose_keys, max_block)
    wanted = ~(named[left] & named[right])
    return joined([_in_blocks(listings.keys, max_block), (left[wanted], right[wanted])], len(named))


def joined(parts: Iterable[Pairs], listings: int) -> Pairs:
    """Return the pairs of all ``parts``, in either order, of ``listings`` rows: each once, the smaller row left."""
    found = [np.zeros((2, 0), dtype=np.int64), *(np.sort(np.stack(part).astype(np.int64), axis=0) for part in parts)]
    left, right = np.concatenate(found, axis=1)
    codes = np.unique((left * listings + right)[left != right])
    return codes // max(listings, 1), codes % max(listings, 1)


def _in_blocks(keys: Sequence[Sequence[int]], max_block: int) -> Pairs:
    rows = np.repeat(np.arange(len(keys)), [len(own) for own in keys])
    values = np.fromiter((key for own in keys for key in own), dtype=np.int64, count=len(rows))
    order = np.lexsort((rows, values))
    rows, values = rows[order], values[order]
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
    sizes = np.diff(np.append(starts, len(values)))
    parts: list[Pairs] = []
    for size in range(2, max_block + 1):
        blocks = rows[starts[sizes == size][:, None] + np.arange(size)]
        one, other = np.triu_indices(size, 1)
        parts.append((blocks[:, one].ravel(), blocks[:, other].ravel()))
    return joined(parts, len(keys))
