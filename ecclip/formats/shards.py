"""Training shards of a snapshot: the listings to learn from, in the order of reading, and their index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecclip.atomic import sha256_file
from ecclip.errors import IntegrityError
from ecclip.formats.columns import CATEGORY_KEY, GROUP_ID
from ecclip.formats.documents import read_document, write_document

SCHEMA = "ecclip.shards/1"
ROW_GROUP = 256  # rows; the least that a reader of one row has to read; by judgment
PREFIX = "train"
COLUMNS = pa.schema(
    [
        ("listing_id", pa.string()),
        (GROUP_ID, pa.string()),
        (CATEGORY_KEY, pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("brand", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("image", pa.binary()),
    ]
)
_INDEX = "index.json"
_NEXT_STEP = "run publish of this night again"


@dataclass(frozen=True)
class Shard:
    """One Parquet file of listings, by its name in the folder."""

    file: str
    rows: int
    sha256: str


class Shards:
    """The shards of a folder by their index.

    Raises:
        ContractError: the index has a schema that this code does not know.
        IntegrityError: it is missing or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = read_document(folder / _INDEX, SCHEMA, _NEXT_STEP)
        try:
            self.shards = [Shard(str(one["file"]), int(one["rows"]), str(one["sha256"])) for one in index["shards"]]
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                "the index of the shards cannot be read", value=folder / _INDEX, next_step=_NEXT_STEP
            ) from error

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, at most ``ROW_GROUP`` at a time.

        Raises:
            IntegrityError: a shard is missing, damaged, or has not as many rows as the index says; names the file.
        """
        for shard in self.shards:
            yield from self._read(shard, columns)

    def _read(self, shard: Shard, columns: list[str]) -> Iterator[pa.RecordBatch]:
        path, seen = self.folder / shard.file, 0
        try:
            if sha256_file(path) != shard.sha256:
                raise IntegrityError(
                    "the digest of a shard is not the one in the index",
                    value=path,
                    limit=shard.sha256,
                    next_step="publish the snapshot again",
                )
            with pq.ParquetFile(path) as file:
                for number in range(file.num_row_groups):
                    for batch in file.read_row_group(number, columns=columns).combine_chunks().to_batches():
                        seen += batch.num_rows
                        yield batch.select(columns).replace_schema_metadata(None)
        except (OSError, pa.ArrowException) as error:
            raise IntegrityError("a shard cannot be read", value=path, next_step=_NEXT_STEP) from error
        if seen != shard.rows:
            raise IntegrityError(
                "a shard has another number of rows than the index says",
                value=f"{path}: {seen}",
                limit=shard.rows,
                next_step="publish the snapshot again",
            )

    def find(self, listing_id: str) -> dict[str, Any] | None:
        """Return the file and the row of a listing; None if no shard has it."""
        for shard in self.shards:
            ids = pq.read_table(self.folder / shard.file, columns=["listing_id"]).column("listing_id")
            row = pc.index(ids, listing_id).as_py()
            if row >= 0:
                return {"file": shard.file, "row": row}
        return None


def write_index(folder: Path) -> Shards:
    """Write the index of the shards that lie in a folder (rows and digest of each, in name order).

    Raises:
        IntegrityError: a shard has row groups of another size, so that a row cannot be found by its number.
    """
    shards, total = [], 0
    for path in sorted(folder.glob(f"{PREFIX}-*.parquet")):
        footer = pq.read_metadata(path)
        groups = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
        if any(rows != ROW_GROUP for rows in groups[:-1]):
            raise IntegrityError(
                "a shard has row groups of another size",
                value=f"{path}: {groups}",
                limit=ROW_GROUP,
                next_step="publish the snapshot again",
            )
        total += footer.num_rows
        size, digest = path.stat().st_size, sha256_file(path)
        shards.append({"file": path.name, "rows": footer.num_rows, "bytes": size, "sha256": digest})
    index = {"shards": shards, "rows": total, "row_group": ROW_GROUP, "columns": COLUMNS.names}
    write_document(folder / _INDEX, SCHEMA, index)
    return Shards(folder)


def write_shards(folder: Path, rows: Sequence[Mapping[str, Any]], rows_per_shard: int | None = None) -> Shards:
    """Write rows in the order given, without Spark; columns that a row lacks are null."""
    folder.mkdir(parents=True, exist_ok=True)
    size = rows_per_shard or max(len(rows), 1)
    for number, first in enumerate(range(0, len(rows), size)):
        table = pa.Table.from_pylist([dict(row) for row in rows[first : first + size]], schema=COLUMNS)
        pq.write_table(table, folder / f"{PREFIX}-{number:05d}.parquet", row_group_size=ROW_GROUP)
    return write_index(folder)
