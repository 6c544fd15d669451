"""Write Spark's output so that equal rows give equal bytes under plain names."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from ecclip.catalog.spark.footer import sort_encodings

_BATCH_ROWS = 65536  # read at once; bounds the memory


def write_parts(
    frame: DataFrame, folder: Path, parts: int, *, sort: list[str] | None = None, prefix: str = "part"
) -> None:
    """Write ``frame`` to ``folder/<prefix>-00000.parquet`` ..., rows sorted within each file.

    Rows go to files by the hash of the first sort column (default listing_id): unlike a range, a hash does not
    depend on samples of the data.
    """
    order = sort or ["listing_id"]
    write_as_is(frame.repartition(parts, order[0]).sortWithinPartitions(*order), folder, prefix=prefix)


def write_as_is(
    frame: DataFrame,
    folder: Path,
    *,
    prefix: str = "part",
    row_group: int | None = None,
    row_group_bytes: int | None = None,
) -> None:
    """Write each partition of ``frame`` as one file in the order that it has; names follow the partition number."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "_spark"
    writer = frame.write.mode("overwrite")
    if row_group is not None:
        writer = writer.option("parquet.block.row.count.limit", str(row_group))
    if row_group_bytes is not None:
        writer = writer.option("parquet.block.size", str(row_group_bytes))
    writer.parquet(str(scratch))
    # Spark names a file part-<partition>-<uuid>...: the uuid and the checksum files go
    for number, path in enumerate(sorted(scratch.glob("part-*.parquet"), key=lambda path: path.name[:10])):
        sort_encodings(path)
        path.replace(folder / f"{prefix}-{number:05d}.parquet")
    shutil.rmtree(scratch)


def count_rows(folder: Path, pattern: str = "*.parquet") -> int:
    """Return the number of rows of a folder's Parquet files from their footers."""
    return sum(pq.read_metadata(path).num_rows for path in sorted(folder.glob(pattern)))


def count_values(folder: Path, column: str) -> dict[str, int]:
    """Return how often each value of a text column occurs in a folder's Parquet files, by name; null is left out."""
    counts: Counter[str] = Counter()
    for batch in _batches(folder, [column]):
        counts.update(value for value in batch.column(0).to_pylist() if value is not None)
    return dict(sorted(counts.items()))


def count_given(folder: Path, columns: list[str]) -> int:
    """Return how many rows of a folder's Parquet files have a value in any of some columns."""
    total = 0
    for batch in _batches(folder, columns):
        given = reduce(pc.or_, [pc.is_valid(column) for column in batch.columns])
        total += pc.sum(given).as_py() or 0
    return total


def _batches(folder: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for path in sorted(folder.glob("*.parquet")):
        yield from pq.ParquetFile(path).iter_batches(_BATCH_ROWS, columns=columns)
