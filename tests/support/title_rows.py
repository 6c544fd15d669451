"""Listings that have titles alone, as the tasks see them: their embeddings are what a test says."""

from __future__ import annotations

import numpy as np

from ecclip.tasks.rows import Rows


def title_rows(vectors: np.ndarray, split: np.ndarray, groups: np.ndarray | None = None) -> Rows:
    """Return rows of embeddings [N, d] of titles, splits [N] and groups [N], each of its own by default; no photos."""
    ids = np.array([f"{index}" for index in range(len(vectors))], dtype=object)
    groups = np.arange(len(vectors)) if groups is None else groups
    return Rows(ids, ids.tolist(), {}, groups, split, np.full_like(vectors, np.nan), vectors)
