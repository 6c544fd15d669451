"""A head without labels: how near a listing is to a description, compared with the other listings of the catalog.

CLIP compares a photo with prompts (Radford et al. 2021, section 3.1.4). One description has nothing to be compared
with, so the catalog stands in for what is not described: the score is an even chance where the stated share of its
listings lies nearer. It is a rank, no probability.
"""

from __future__ import annotations

import numpy as np

from ecclip.tasks.heads.linear import LinearHead
from ecclip.tasks.heads.reading import Readings, blocks_read
from ecclip.tasks.kinds import Target
from ecclip.tasks.rows import Rows


def zero_shot_head(target: Target, rows: Rows, readings: Readings, modality: str, choice: str) -> LinearHead | None:
    """Return a head [width, 1] of what ``readings`` join that flags at most ``target.rate`` of the listings outside
    split test.

    A photo is compared by the embedding; a title by the text tower's features where ``choice`` lets the head read them.
    None where the target has no description, or the listings are too few to see the rate.
    """
    direction = _direction(target, rows, readings, modality, choice)
    seen = (rows.split != "test") & rows.has(modality)
    if direction is None or int(target.rate * seen.sum()) < 1:
        return None
    nearness = readings.joined[seen] @ direction
    spread = max(float(nearness.std()), 1e-12)
    begin = float(np.quantile(nearness, 1.0 - target.rate, method="higher"))
    return LinearHead((direction / spread)[:, None].astype(np.float64), np.array([-begin / spread]))


def _direction(target: Target, rows: Rows, readings: Readings, modality: str, choice: str) -> np.ndarray | None:
    """Return the direction [width] in which the description lies, photo and title weighed by their spread."""
    if target.described is None:
        return None
    embedding, features = target.described
    joined, widths = readings.joined, readings.widths
    found = np.zeros(joined.shape[1])
    seen = (rows.split != "test") & rows.has(modality)
    for name in ("image", "text") if modality == "both" else (modality,):
        use_features = name == "text" and choice != "embedding" and len(features) == widths[1] - rows.dim > 0
        columns = blocks_read(name, "towers" if use_features else "embedding", rows.dim, widths)[0]
        described = features if use_features else embedding
        if len(described) != len(columns) or not described.any():
            return None
        spread = float((joined[seen][:, columns] @ described).std()) if seen.any() else 0.0
        found[columns] = described / max(spread, 1e-12)
    return found
