"""Photos and titles that do not belong together, by the similarities that the champion's embeddings gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from ecclip.catalog._history import NightFacts, Similarity
from ecclip.core import ContractError, StageConfig

_COLUMNS = ("listing_id", "similarity")
_MAD_TO_DEVIATION = 1.4826
_LEAST_DEVIATION = 0.01


class MismatchConfig(StageConfig):
    """When a photo and a title do not belong together."""

    mismatch_threshold: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="cosine of photo and title below which they do not belong together; empty: mismatch_deviations"
        " below the median, both of the last good nights, of the night itself where those have none",
    )
    mismatch_deviations: float = Field(3.0, gt=0, description="scaled median absolute deviations below the median")
    max_mismatch_share: float = Field(0.2, ge=0, le=1, description="above this share of the scored listings: refused")


def read_pairs(pairs: Path | None) -> pa.Table | None:
    """Return ``listing_id, similarity`` of the scored listings, or None when the night has no scores.

    Raises:
        ContractError: a file has not these columns.
    """
    files = [] if pairs is None else sorted(pairs.glob("*.parquet"))
    tables = []
    for path in files:
        names = pq.read_schema(path).names
        if not set(_COLUMNS) <= set(names):
            raise ContractError("a file of similarities has other columns", value=path, limit=", ".join(_COLUMNS))
        tables.append(pq.read_table(path, columns=list(_COLUMNS)))
    if not tables:
        return None
    scored = pa.concat_tables(tables)
    scored = scored.filter(pc.is_finite(scored["similarity"]))
    return scored if scored.num_rows else None


def similarity_of(scored: pa.Table) -> Similarity:
    """Return count, median and deviation of a night's similarities."""
    values = scored["similarity"].to_numpy()
    median = float(np.median(values))
    deviation = _MAD_TO_DEVIATION * float(np.median(np.abs(values - median)))
    return Similarity(listings=scored.num_rows, median=round(median, 6), deviation=round(deviation, 6))


def threshold_of(cfg: MismatchConfig, tonight: Similarity, history: Sequence[NightFacts]) -> float:
    """Return the cosine below which photo and title do not belong together.

    It comes from the nights before where they have one: a night whose titles are all wrong would set its own too low.
    """
    if cfg.mismatch_threshold is not None:
        return cfg.mismatch_threshold
    nights = [night.similarity for night in history if night.similarity is not None] or [tonight]
    median = float(np.median([night.median for night in nights]))
    deviation = float(np.median([night.deviation for night in nights]))
    return round(median - cfg.mismatch_deviations * max(deviation, _LEAST_DEVIATION), 6)


def mismatched(scored: pa.Table | None, threshold: float) -> pa.Table:
    """Return the ids of the listings whose similarity is below the threshold, each once, in order."""
    if scored is None:
        return pa.table({"listing_id": pa.array([], pa.string())})
    below = scored.filter(pc.less(scored["similarity"], threshold))["listing_id"].unique()
    return pa.table({"listing_id": pc.take(below, pc.array_sort_indices(below)).cast(pa.string())})
