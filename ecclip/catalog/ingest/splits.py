"""Listing files cut into splits, one per task: ranges of bytes, groups of Parquet's row groups, or whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from ecclip.catalog.dump.listing_files import csv_header, dialect_of, format_of, listing_rows
from ecclip.catalog.dump.record import Row
from ecclip.catalog.dump.rows import can_be_split

SPLIT_SCHEMA = "path string, start long, stop long, header array<string>, row_groups array<int>"


class Split(NamedTuple):
    """A part of a file: what it leaves out is None, and without all three it is the whole."""

    path: str
    start: int | None = None
    stop: int | None = None
    header: list[str] | None = None
    row_groups: list[int] | None = None


def plan_splits(files: list[Path], split_bytes: int) -> list[Split]:
    """Return the parts of some listing files, of about ``split_bytes`` each.

    Packed files, JSON arrays, UTF-16 and CSV with quotes are not cut: in the middle of them the start of a record
    cannot be found.
    """
    return [split for path in files for split in _splits(path, split_bytes)]


def split_rows(split: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of a split that Spark handed over as a dictionary."""
    path = Path(split["path"])
    start = split["start"] or 0
    yield from listing_rows(
        path, start=start, end=split["stop"], header=split["header"], row_groups=split["row_groups"]
    )


def _splits(path: Path, split_bytes: int) -> Iterator[Split]:
    kind = format_of(path)
    if kind == "parquet":
        yield from (Split(str(path), row_groups=groups) for groups in _row_groups(path, split_bytes))
        return
    size = path.stat().st_size
    if size <= split_bytes or path.name.lower().endswith(".gz") or not can_be_split(kind or "json", dialect_of(path)):
        yield Split(str(path))
        return
    header = csv_header(path) if kind == "csv" else None
    for start in range(0, size, split_bytes):
        yield Split(str(path), start, min(start + split_bytes, size), header if start else None)


def _row_groups(path: Path, split_bytes: int) -> Iterator[list[int]]:
    metadata = pq.read_metadata(path)
    groups: list[int] = []
    size = 0
    for number in range(metadata.num_row_groups):
        groups.append(number)
        size += metadata.row_group(number).total_byte_size
        if size >= split_bytes:
            yield groups
            groups, size = [], 0
    if groups:
        yield groups
