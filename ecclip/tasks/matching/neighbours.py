"""Nearest neighbours of every listing, block by block, so that memory does not grow with the square."""

from __future__ import annotations

from collections.abc import Iterator

import faiss
import numpy as np

_PROBES = 32  # lists of an inverted file that are searched; by judgment
_TRAIN_PER_LIST = 64  # vectors per list for k-means; faiss warns below 39


def neighbour_blocks(
    vectors: np.ndarray,
    neighbours: int,
    queries: np.ndarray | None = None,
    block_rows: int = 4096,
    exact_rows: int = 200_000,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (rows [B], scores [B, k], indices [B, k]) for float32 ``vectors`` [N, F] of length 1.

    ``queries`` are the rows looked up, all if None. Scores are inner products, best first, equal scores in index
    order; a row is not its own neighbour. Where there are fewer than k others the index is -1 and the score -inf.
    The search is exact up to ``exact_rows`` rows.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    wanted = np.arange(len(vectors)) if queries is None else queries
    index = _index(vectors, exact_rows)
    for start in range(0, len(wanted), block_rows):
        rows = wanted[start : start + block_rows]
        scores, found = index.search(vectors[rows], neighbours + 1)
        yield rows, *_without_self(scores, found, rows)


def all_neighbours(
    vectors: np.ndarray,
    neighbours: int,
    queries: np.ndarray | None = None,
    block_rows: int = 4096,
    exact_rows: int = 200_000,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores [Q, k] and indices [Q, k] of ``neighbour_blocks`` put together."""
    blocks = list(neighbour_blocks(vectors, neighbours, queries, block_rows, exact_rows))
    if not blocks:
        return np.zeros((0, neighbours), np.float32), np.zeros((0, neighbours), np.int64)
    return np.concatenate([scores for _, scores, _ in blocks]), np.concatenate([found for _, _, found in blocks])


def mutual_pairs(
    left: np.ndarray, right: np.ndarray, scores: np.ndarray, rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges [M] of ``left`` -> ``right`` [E] whose reverse is there, once each, left < right, in order.

    ``scores`` [E] go with them; ``rows`` is the number of vertices.
    """
    codes, back = left * rows + right, right * rows + left
    kept = (left < right) & np.isin(codes, back)
    order = np.argsort(codes[kept], kind="stable")
    return left[kept][order], right[kept][order], scores[kept][order]


def _index(vectors: np.ndarray, exact_rows: int) -> faiss.Index:
    width = vectors.shape[1]
    if len(vectors) <= exact_rows:
        index: faiss.Index = faiss.IndexFlatIP(width)
    else:
        lists = int(4 * np.sqrt(len(vectors)))
        index = inverted = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        step = max(len(vectors) // (lists * _TRAIN_PER_LIST), 1)
        index.train(vectors[::step])
        inverted.nprobe = min(_PROBES, lists)
    index.add(vectors)
    return index


def _without_self(scores: np.ndarray, found: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop each row's own entry (among many equal rows it may be missing: then the last) and order ties."""
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True
    keep = ~own
    shape = (len(found), found.shape[1] - 1)
    scores, found = scores[keep].reshape(shape), found[keep].reshape(shape)
    scores = np.where(found < 0, -np.inf, scores).astype(np.float32)
    order = np.lexsort((found, -scores), axis=1)
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(found, order, axis=1)
