"""Map a large foreign export by Spark: one task per source file, with the functions and the bytes of a single process.

For exports of several files whose rows need no other row: a joined table or a parent row is looked up in one process.
Photos and listing files are written by the tasks, so on a cluster the workspace must be a shared folder.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import reduce
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ecclip.catalog.mapping.listing import listing_of
from ecclip.catalog.mapping.map_dump import ROWS_PER_FILE, THREADS, with_photos, write_part
from ecclip.catalog.mapping.model import Join, Mapping, TableFiles
from ecclip.catalog.mapping.photos import Photos
from ecclip.catalog.mapping.prices import Numbers
from ecclip.catalog.mapping.rows import ForeignRows
from ecclip.catalog.mapping.tables import Source
from ecclip.catalog.mapping.tally import Tally
from ecclip.catalog.spark.batches import arrow_batches, rows_of
from ecclip.catalog.spark.session import spark_session
from ecclip.core import EcclipError

_OUTCOME = -1  # the row that carries a file's outcome
_MAPPED = pa.schema([("file", pa.int32()), ("row", pa.int64()), ("content", pa.binary())])
_MAPPED_SPARK = "file int, row long, content binary"
_BATCH_ROWS, _BATCH_BYTES = 250, 64 << 20  # of an Arrow batch; bounds the memory

Batches = Iterator[pa.RecordBatch]


def is_for_spark(mapping: Mapping, source: Source, least_bytes: int) -> bool:
    """Return whether Spark may map an export (several files, rows on their own) and it is large enough to."""
    files = source.files(mapping.source)
    if mapping.join or mapping.parent is not None or len(files) < 2:
        return False
    return sum(source.filesystem.info(path).get("size") or 0 for path in files) >= least_bytes


def map_by_spark(
    mapping: Mapping, numbers: Numbers, source: Source, folder: Path, rows: ForeignRows, tally: Tally
) -> None:
    """Write the listing files and photos of the source into ``folder``; ``rows`` and ``tally`` count as if they had.

    Raises:
        EcclipError: what mapping the first of the wrong files raises.
    """
    files = source.files(mapping.source)
    spark = spark_session(max(2, len(files)), rows=ROWS_PER_FILE * len(files))
    planned = spark.createDataFrame(list(enumerate(files)), "file int, path string").repartition(len(files), "file")
    mapped = planned.mapInArrow(_file_mapper(mapping, numbers, source.url, folder), _MAPPED_SPARK).persist()
    try:
        outcomes = mapped.where(F.col("row") == _OUTCOME).orderBy("file").collect()
        sizes = [_take(pickle.loads(found.content), rows, tally) for found in outcomes]
        if any(sizes):
            _write_in_order(mapped, sizes, folder)
    finally:
        mapped.unpersist()


def _take(found: dict[str, Any], rows: ForeignRows, tally: Tally) -> int:
    """Add the outcome of one file, and return its number of rows in the dump."""
    if "error" in found:
        kind, arguments = found["error"]
        what = arguments.pop("what")
        raise kind(what, **arguments)
    rows.read += found["read"]
    rows.left_out.update(found["left_out"])
    rows.notes.update(found["notes"])
    tally.add(found["tally"])
    return int(found["written"])


def _write_in_order(mapped: DataFrame, sizes: list[int], folder: Path) -> None:
    """Write the rows file after file, as one process would: equally many to a listing file."""
    starts = reduce(lambda known, size: [*known, known[-1] + size], sizes, [0])[:-1]
    offsets = mapped.sparkSession.createDataFrame(list(enumerate(starts)), "file int, start long")
    placed = mapped.where(F.col("row") != _OUTCOME).join(F.broadcast(offsets), "file")
    placed = placed.select((F.col("start") + F.col("row")).alias("at"), "content")
    placed = placed.withColumn("part", F.floor(F.col("at") / ROWS_PER_FILE).cast("int"))
    parts = -(-sum(sizes) // ROWS_PER_FILE)
    ordered = placed.repartition(parts, "part").sortWithinPartitions("part", "at")
    ordered.select("part", "content").mapInArrow(_part_writer(folder), "part int").collect()


def _part_writer(folder: Path) -> Callable[[Batches], Batches]:
    def write(batches: Batches) -> Batches:
        for part, of_part in groupby(rows_of(batches), key=lambda row: row["part"]):
            write_part(folder, part, (pickle.loads(row["content"]) for row in of_part))
            yield pa.RecordBatch.from_pylist([{"part": part}], pa.schema([("part", pa.int32())]))

    return write


def _file_mapper(mapping: Mapping, numbers: Numbers, url: str, folder: Path) -> Callable[[Batches], Batches]:
    def map_files(batches: Batches) -> Batches:
        rows = (
            {"file": split["file"], "row": number, "content": content}
            for split in rows_of(batches)
            for number, content in _mapped_file(mapping, numbers, url, split["path"], folder)
        )
        return arrow_batches(rows, _MAPPED, _bytes_of, most_rows=_BATCH_ROWS, most_bytes=_BATCH_BYTES)

    return map_files


def _bytes_of(row: dict[str, Any]) -> int:
    return len(row["content"])


def _mapped_file(mapping: Mapping, numbers: Numbers, url: str, path: str, folder: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the rows of one file by number, pickled, and finally their outcome."""
    source = _OneFile(url, path)
    tally, written = Tally(mapping, source), 0
    try:
        with TemporaryDirectory() as scratch, ExitStack() as opened, ThreadPoolExecutor(THREADS) as pool:
            rows = _FileRows(mapping, source, Path(scratch), opened)
            listings = (tally.listing(row, listing_of(mapping, numbers, row, rows.notes)) for row in rows)
            photos = Photos(mapping, source.filesystem, source.root, folder)
            for listing in with_photos(listings, photos, tally, pool):
                yield written, pickle.dumps(listing)
                written += 1
    except EcclipError as error:
        arguments = {"what": error.what, "limit": error.limit, "value": error.value, "next_step": error.next_step}
        yield (
            _OUTCOME,
            pickle.dumps({"error": (type(error), {name: _plain(value) for name, value in arguments.items()})}),
        )
        return
    counts = {"read": rows.read, "left_out": dict(rows.left_out), "notes": dict(rows.notes)}
    yield _OUTCOME, pickle.dumps({**counts, "tally": tally.counts(), "written": written})


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | float) else str(value)


class _OneFile(Source):
    """One file of a source; photos and names are still those of the whole."""

    def __init__(self, url: str, path: str) -> None:
        super().__init__(url)
        self._path = path

    def files(self, table: TableFiles) -> list[str]:
        """Return the file."""
        return super().files(table) if isinstance(table, Join) else [self._path]


class _FileRows(ForeignRows):
    """The rows of one file, whose columns were compared with the mapping together with those of the others."""

    def _check_columns(self) -> None:
        pass
