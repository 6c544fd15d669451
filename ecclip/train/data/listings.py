"""The listings of a snapshot, read in bounded pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from ecclip.train.errors import PairsError

_BATCH_ROWS = 2048


def iterate_listings(snapshot: Path, columns: list[str]) -> Iterator[dict[str, list[Any]]]:
    """Yield columns of the listings, at most a few thousand rows at a time, in the order of the files.

    Raises:
        PairsError: a part cannot be read; names the file.
    """
    for path in sorted((snapshot / "listings").glob("*.parquet")):
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                    yield batch.to_pydict()
        except (OSError, pa.ArrowException) as error:
            raise PairsError("a part of the snapshot cannot be read", value=path) from error


def held_out(snapshot: Path, limit: int) -> tuple[list[bytes], list[str], np.ndarray]:
    """Return photos, titles and group codes int64 [n] of validation listings with a photo.

    If there are more than ``limit``, those with the smallest hash of their id are taken: the same ones every night.
    """
    dataset = pyarrow.dataset.dataset(sorted(map(str, (snapshot / "listings").glob("*.parquet"))), format="parquet")
    in_split = pyarrow.dataset.field("split") == "validation"
    ids = dataset.to_table(columns=["listing_id"], filter=in_split).column("listing_id").to_pylist()
    kept = sorted(ids, key=lambda value: hashlib.sha256(value.encode()).hexdigest())[:limit]
    chosen = in_split & pyarrow.dataset.field("listing_id").isin(kept)
    table = dataset.to_table(columns=["title", "group_id", "image"], filter=chosen)
    found = [values for values in table.to_pylist() if values["image"] is not None]
    names = [values["group_id"] for values in found]
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    groups = np.asarray([codes[name] for name in names], dtype=np.int64)
    return [values["image"] for values in found], [values["title"] or "" for values in found], groups
