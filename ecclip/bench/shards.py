"""Listings as the training shards of a snapshot, written without Spark: one Parquet file and its index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("group_id", pa.string()),
        ("category_key", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("brand", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("image", pa.binary()),
    ]
)
_ROW_GROUP = 256  # random access within a shard goes by row groups


def write_rows(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write ``rows`` as the one shard of ``folder``; columns that a row does not have are null."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows), schema=_SCHEMA)
    pq.write_table(table, folder / "train-00000.parquet", row_group_size=_ROW_GROUP)
    shard = {"file": "train-00000.parquet", "rows": table.num_rows}
    index = {"shards": [shard], "rows": table.num_rows, "columns": _SCHEMA.names}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
