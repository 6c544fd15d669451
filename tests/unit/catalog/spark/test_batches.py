"""Rows become Arrow batches that end where they are full, by rows or by bytes, and lose none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from ecclip.catalog.spark.batches import arrow_batches, rows_of

SCHEMA = pa.schema([("text", pa.string())])


def batches(sizes: list[int], most_rows: int, most_bytes: int) -> list[pa.RecordBatch]:
    rows = [{"text": "x" * size} for size in sizes]
    found = arrow_batches(rows, SCHEMA, lambda row: len(row["text"]), most_rows=most_rows, most_bytes=most_bytes)
    return list(found)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], []), ([1], [[1]]), ([1] * 5, [[1, 1, 1], [1, 1]]), ([4, 6, 1], [[4, 6], [1]]), ([50, 1, 1], [[50], [1, 1]])],
)
def test_a_batch_ends_with_the_row_that_fills_it(sizes: list[int], expected: list[list[int]]) -> None:
    found = batches(sizes, most_rows=3, most_bytes=10)
    assert [[len(row["text"]) for row in rows_of([batch])] for batch in found] == expected
    assert [len(row["text"]) for row in rows_of(found)] == sizes


def test_rows_are_asked_for_one_batch_at_a_time() -> None:
    asked: list[int] = []

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(100):
            asked.append(number)
            yield {"text": str(number)}

    first = next(arrow_batches(rows(), SCHEMA, len, most_rows=7, most_bytes=10))
    assert first.num_rows == len(asked) == 7
