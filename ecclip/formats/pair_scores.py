"""Scores of photo and title pairs: written by ``score_pairs``, read by ``publish``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecclip.errors import ContractError, IntegrityError

_FILE = "pairs.parquet"
_SCHEMA = pa.schema([("listing_id", pa.string()), ("similarity", pa.float32()), ("agreement", pa.float32())])


def write_pair_scores(ids: list[str], similarity: np.ndarray, agreement: np.ndarray, folder: Path) -> None:
    """Write the scores of listings, float32 [N] each, sorted by listing id; equal scores give equal bytes."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    columns = [[ids[row] for row in order], similarity[order], agreement[order]]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=_SCHEMA), folder / _FILE)


def read_agreements(folder: Path) -> pa.Table:
    """Return ``listing_id, agreement`` of the listings that have a finite agreement; none where there is no file.

    Raises:
        ContractError: the file has other columns.
        IntegrityError: it cannot be read.
    """
    path, wanted = folder / _FILE, ["listing_id", "agreement"]
    if not path.is_file():
        return _SCHEMA.empty_table().select(wanted)
    try:
        found = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise IntegrityError("the scores of a night cannot be read", value=path, next_step="run score_pairs") from error
    if not set(wanted) <= set(found.column_names):
        raise ContractError(
            "a file of scores has other columns",
            value=f"{path}: {', '.join(found.column_names)}",
            limit=", ".join(wanted),
            next_step="run score_pairs",
        )
    return found.select(wanted).filter(pc.is_finite(found["agreement"]))


def below(scored: pa.Table, minimum: float) -> pa.Table:
    """Return the ids of the listings whose agreement is below ``minimum``, each once, in order."""
    found = scored.filter(pc.less(scored["agreement"], minimum))["listing_id"].unique()
    return pa.table({"listing_id": pc.take(found, pc.array_sort_indices(found)).cast(pa.string())})
