"""Photos and titles that do not belong together, by what the champion's embeddings said of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from ecclip.core import ContractError, StageConfig

_COLUMNS = ("listing_id", "agreement")


class MismatchConfig(StageConfig):
    """When a photo and a title do not belong together."""

    least_agreement: float = Field(
        1.0,
        description="standard deviations by which the own title must be nearer to a photo than other listings' titles,"
        " and the own photo to the title; below it the listing is no training pair",
    )
    max_share: float = Field(0.2, ge=0, le=1, description="above this share of the scored listings: refused")


def read_pairs(pairs: Path) -> pa.Table:
    """Return ``listing_id, agreement`` of the scored listings; no rows when the night has no scores.

    Raises:
        ContractError: a file has not these columns.
    """
    tables = [pa.table({"listing_id": pa.array([], pa.string()), "agreement": pa.array([], pa.float32())})]
    for path in sorted(pairs.glob("*.parquet")):
        names = pq.read_schema(path).names
        if not set(_COLUMNS) <= set(names):
            raise ContractError("a file of scores has other columns", value=path, limit=", ".join(_COLUMNS))
        tables.append(pq.read_table(path, columns=list(_COLUMNS)))
    scored = pa.concat_tables(tables, promote_options="permissive")
    return scored.filter(pc.is_finite(scored["agreement"]))


def mismatched(scored: pa.Table, least: float) -> pa.Table:
    """Return the ids of the listings whose agreement is below the least one, each once, in order."""
    below = scored.filter(pc.less(scored["agreement"], least))["listing_id"].unique()
    return pa.table({"listing_id": pc.take(below, pc.array_sort_indices(below)).cast(pa.string())})
