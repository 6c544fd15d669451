"""Recall@k among held-out listings, text to image and image to text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RECALL_AT = (1, 5, 10)  # the ranks that CLIP's retrieval tables report
_BLOCK = 1024  # queries at once; bounds the memory


def recall_at_k(
    queries: np.ndarray, candidates: np.ndarray, groups: np.ndarray, at: Sequence[int] = RECALL_AT
) -> dict[int, float]:
    """Return, for each k, the share of queries that have a listing of their group among the k nearest candidates.

    Args:
        queries: [N, d] of length 1.
        candidates: [N, d] of length 1; row i belongs to the same listing as query i.
        groups: int64 [N].
        at: the values of k.
    """
    rank = hit_ranks(queries, candidates, groups)
    return {k: float((rank < k).mean()) if len(rank) else 0.0 for k in at}


def hit_ranks(queries: np.ndarray, candidates: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the rank of the first candidate of each query's group, int64 [N]: how many of other groups precede it."""
    ranks = []
    for start in range(0, len(queries), _BLOCK):
        scores = queries[start : start + _BLOCK] @ candidates.T
        same = groups[start : start + _BLOCK, None] == groups[None, :]
        best = np.where(same, scores, -np.inf).max(axis=1)
        ranks.append(((scores >= best[:, None]) & ~same).sum(axis=1))
    return np.concatenate(ranks) if ranks else np.empty(0, dtype=np.int64)


def retrieval_metrics(image: np.ndarray, text: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Return recall@1/5/10 in both directions, ``retrieval/text_to_image/recall@1`` and so on.

    Args:
        image: [N, d] of length 1.
        text: [N, d] of length 1; row i belongs to the same listing as image i.
        groups: int64 [N].
    """
    ways = {"text_to_image": (text, image), "image_to_text": (image, text)}
    return {
        f"retrieval/{way}/recall@{k}": value
        for way, (queries, candidates) in ways.items()
        for k, value in recall_at_k(queries, candidates, groups).items()
    }
