"""The training pairs of a snapshot: any row at once, without holding them in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.atomic import sha256_file
from ecclip.train.errors import PairsError

PAIRS = "pairs.arrow"
COLUMNS = ["listing_id", "group_id", "category_key", "title", "brand", "attributes", "image"]


@dataclass(frozen=True)
class Pair:
    """One listing to learn from; ``image`` is a JPEG."""

    listing_id: str
    title: str
    brand: str | None
    attributes: tuple[tuple[str, str], ...]
    image: bytes


class Pairs(Sequence[Pair]):
    """Random access to the pairs through a memory-mapped Arrow file; only codes of groups and categories are in memory.

    Parquet reads whole row groups; batches pick single rows, so the shards are laid out once as plain Arrow.
    """

    def __init__(self, path: Path) -> None:
        self._source = pa.memory_map(str(path))
        reader = pa.ipc.open_file(self._source)
        self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self.groups = self._codes("group_id")
        self.categories = self._codes("category_key")

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: Any) -> Any:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        values = self._batches[number].slice(int(row - self._starts[number]), 1).to_pylist()[0]
        return Pair(
            listing_id=values["listing_id"],
            title=values["title"],
            brand=values["brand"],
            attributes=tuple(values["attributes"] or ()),
            image=values["image"],
        )

    def close(self) -> None:
        """Release the file."""
        self._batches = []
        self._source.close()

    def _codes(self, column: str) -> np.ndarray:
        """Return int64 [N]: equal values have equal codes, in order of first appearance."""
        values = pa.chunked_array([batch.column(column) for batch in self._batches], pa.string())
        encoded = values.combine_chunks().fill_null("").dictionary_encode()
        return np.asarray(encoded.indices, dtype=np.int64)


def open_pairs(shards: Path, scratch: Path) -> Pairs:
    """Lay the shards of a snapshot out in ``scratch/pairs.arrow`` (as large as the shards) and open them.

    Raises:
        PairsError: a shard is missing, damaged, or has not the rows that the index says; names the file.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    path, temporary = scratch / PAIRS, scratch / f".{PAIRS}.tmp-{os.getpid()}"
    try:
        _lay_out(shards, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return Pairs(path)


def _lay_out(shards: Path, path: Path) -> None:
    index_path = shards / "index.json"
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))
        entries = [(str(entry["file"]), int(entry["rows"]), entry.get("sha256")) for entry in index["shards"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PairsError("the index of the shards cannot be read", value=index_path) from error
    writer = None
    try:
        for name, rows, digest in entries:
            for batch in _read_shard(shards / name, rows, digest):
                if writer is None:
                    writer = pa.ipc.new_file(str(path), batch.schema)
                writer.write_batch(batch)
        if writer is None:
            raise PairsError(
                "the snapshot has no training pairs", value=shards, next_step="look at its statistics.json"
            )
    finally:
        if writer is not None:
            writer.close()


def _read_shard(path: Path, rows: int, digest: str | None) -> Iterator[pa.RecordBatch]:
    seen = 0
    try:
        if digest is not None and sha256_file(path) != digest:
            raise PairsError("a shard is not what the index says", value=path, limit=digest)
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                for batch in file.read_row_group(number, columns=COLUMNS).combine_chunks().to_batches():
                    seen += batch.num_rows
                    yield batch.select(COLUMNS).replace_schema_metadata(None)
    except (OSError, pa.ArrowException) as error:
        raise PairsError("a shard cannot be read", value=path, next_step="publish the snapshot again") from error
    if seen != rows:
        raise PairsError("a shard has not the rows that the index says", value=f"{path}: {seen}", limit=rows)
