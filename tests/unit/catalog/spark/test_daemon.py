"""Python workers of Spark are forked from a process that has imported what they need."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pyarrow as pa
import pytest

from ecclip.catalog.spark.session import spark_session

pytestmark = pytest.mark.spark


def test_a_worker_finds_its_libraries_imported_and_looks_at_them_no_more() -> None:
    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            found = {"main": [str(sys.modules["__main__"].__file__)], "frozen": [gc.get_freeze_count()]}
            yield pa.RecordBatch.from_pydict(found)

    (row,) = spark_session(1).range(1, numPartitions=1).mapInArrow(look, "main string, frozen long").collect()
    assert row["main"].endswith("ecclip/catalog/spark/daemon.py")
    assert row["frozen"] > 10_000
