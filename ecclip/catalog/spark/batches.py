"""Rows of Python to Arrow batches of a bounded number of rows and bytes, for functions of ``mapInArrow``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa


def arrow_batches(
    rows: Iterable[dict[str, Any]],
    schema: pa.Schema,
    size_of: Callable[[dict[str, Any]], int],
    *,
    most_rows: int,
    most_bytes: int,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows in order; a batch ends with the row that fills it.

    Args:
        rows: one dictionary per row, by column.
        schema: of the batches.
        size_of: about how many bytes a row takes; what is small and of bounded size need not be counted.
        most_rows: in a batch.
        most_bytes: in a batch, but for the last row of it.
    """
    waiting: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        waiting.append(row)
        size += size_of(row)
        if len(waiting) >= most_rows or size >= most_bytes:
            yield pa.RecordBatch.from_pylist(waiting, schema)
            waiting, size = [], 0
    if waiting:
        yield pa.RecordBatch.from_pylist(waiting, schema)


def rows_of(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Yield the rows of batches as dictionaries, a batch at a time."""
    for batch in batches:
        yield from batch.to_pylist()
