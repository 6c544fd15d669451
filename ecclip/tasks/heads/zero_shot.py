"""Heads without labels: how near a listing is to descriptions, compared with the other listings of the catalog.

CLIP compares a photo with prompts (Radford et al. 2021, section 3.1.4). One description has nothing to be compared
with, so the catalog stands in for what is not described: the score of a flag is an even chance where the stated share
of its listings lies nearer. Of several options one lies nearer to every listing than another, for words that have
nothing to do with them: what counts is how much nearer a listing lies than the catalog does on average (Allingham et
al., A Simple Zero-shot Prompt Weighting Technique, ICML 2023, section 3). Neither score is a probability.
"""

from __future__ import annotations

import numpy as np

from ecclip.tasks.heads.linear import LinearHead
from ecclip.tasks.heads.reading import Readings, blocks_read
from ecclip.tasks.kinds import Target
from ecclip.tasks.rows import Rows

_LEAST = 20  # listings that a catalog is seen by; by judgment


def zero_shot_head(target: Target, rows: Rows, readings: Readings, modality: str, choice: str) -> LinearHead | None:
    """Return a head [width, C] of what ``readings`` join, as the listings outside split test show them.

    A flag is raised by at most a share ``target.rate`` of these. A photo is compared by the embedding; a title by the
    text tower's features where ``choice`` lets the head read them. None where the target has no description, or the
    listings are too few to be compared with.
    """
    seen = (rows.split != "test") & rows.has(modality)
    if target.among is not None and (seen & target.among).sum() >= _LEAST:
        seen &= target.among
    directions = _directions(target, rows, readings, modality, choice, seen)
    if directions is None:
        return None
    nearness = readings.joined[seen] @ directions
    if target.loss == "sigmoid":
        return _flag(directions, nearness[:, 0], target.rate)
    if len(nearness) < _LEAST:
        return None
    centred = nearness - nearness.mean(axis=0)
    spread = max(float(centred.std()), 1e-12)
    return LinearHead(directions.astype(np.float64) / spread, -nearness.mean(axis=0).astype(np.float64) / spread)


def _flag(directions: np.ndarray, nearness: np.ndarray, rate: float) -> LinearHead | None:
    if int(rate * len(nearness)) < 1:
        return None
    spread = max(float(nearness.std()), 1e-12)
    begin = float(np.quantile(nearness, 1.0 - rate, method="higher"))
    return LinearHead((directions / spread).astype(np.float64), np.array([-begin / spread]))


def _directions(
    target: Target, rows: Rows, readings: Readings, modality: str, choice: str, seen: np.ndarray
) -> np.ndarray | None:
    """Return the directions [width, C] in which descriptions lie, photo and title weighed by their spread."""
    if target.described is None:
        return None
    embedding, features = target.described
    joined, widths = readings.joined, readings.widths
    found = np.zeros((joined.shape[1], len(target.labels)))
    for name in ("image", "text") if modality == "both" else (modality,):
        use_features = name == "text" and choice != "embedding" and features.shape[1] == widths[1] - rows.dim > 0
        columns = blocks_read(name, "towers" if use_features else "embedding", rows.dim, widths)[0]
        described = features if use_features else embedding
        if described.shape[1] != len(columns) or not described.any(axis=1).all():
            return None
        nearness = joined[seen][:, columns] @ described.T
        spread = float((nearness - nearness.mean(axis=0)).std()) if seen.any() else 0.0
        found[columns] = described.T / max(spread, 1e-12)
    return found
