"""Shards: near in category, about as large as asked, equal bytes however the rows came, any row by its number."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecclip.catalog.publish.shards import Bucket, pack, write_shards
from ecclip.catalog.spark.session import spark_session
from ecclip.core import sha256_file
from ecclip.formats.shards import COLUMNS, ROW_GROUP

pytestmark = pytest.mark.spark

SCHEMA = (
    "listing_id string, group_id string, category array<string>, title string, description string, brand string, "
    "attributes map<string,string>, image binary, split string"
)
SIZE = 600


def rows_of(count: int) -> list[tuple[Any, ...]]:
    chance = random.Random(3)
    rows = []
    for number in range(count):
        category = None if number % 50 == 0 else ["a", "large"] if number % 3 else ["b", f"c{number % 40}"]
        image, split = bytes([number % 251]) * chance.randrange(1, 900), "test" if number % 10 == 0 else "train"
        rows.append(
            (f"l{number}", "g", category, f"T{number}", None, None, {"k": "v"}, image if number % 7 else None, split)
        )
    return rows


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "shards"
    frame = spark_session(3).createDataFrame(rows_of(6000), SCHEMA)
    assert write_shards(frame, folder, SIZE) > 5
    return folder


def read(folder: Path) -> list[dict[str, Any]]:
    index = json.loads((folder / "index.json").read_text())
    return [row for entry in index["shards"] for row in pq.read_table(folder / entry["file"]).to_pylist()]


def test_the_order_is_that_of_a_plain_sort(shards: Path) -> None:
    rows = [row for row in rows_of(6000) if row[8] == "train" and row[7] is not None]
    rows.sort(key=lambda row: ("/".join(row[2] or []), hashlib.sha256(row[0].encode()).hexdigest()))
    assert [row["listing_id"] for row in read(shards)] == [row[0] for row in rows]
    assert pq.read_schema(shards / "train-00000.parquet").names == COLUMNS.names


def test_shards_are_about_as_large_as_asked_and_the_index_knows_them(shards: Path) -> None:
    index = json.loads((shards / "index.json").read_text())
    sizes = [entry["rows"] for entry in index["shards"]]
    assert max(sizes) <= SIZE
    assert min(sizes[:-1]) > SIZE * 0.6
    assert sum(sizes) == index["rows"] == len(read(shards))
    for entry in index["shards"]:
        assert entry["sha256"] == sha256_file(shards / entry["file"])
        footer = pq.read_metadata(shards / entry["file"])
        groups = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
        assert groups == [min(ROW_GROUP, entry["rows"] - start) for start in range(0, entry["rows"], ROW_GROUP)]


def test_any_row_is_read_by_its_number_alone(shards: Path) -> None:
    rows, index = read(shards), json.loads((shards / "index.json").read_text())
    for wanted in (0, SIZE - 1, SIZE, len(rows) // 2, len(rows) - 1):
        place = wanted
        for entry in index["shards"]:
            if place < entry["rows"]:
                break
            place -= entry["rows"]
        group = pq.ParquetFile(shards / entry["file"]).read_row_group(place // index["row_group"])
        assert group.slice(place % index["row_group"], 1).to_pylist()[0] == rows[wanted]


def test_rows_in_another_order_and_partitioning_give_the_same_bytes(shards: Path, tmp_path: Path) -> None:
    rows = rows_of(6000)
    random.Random(1).shuffle(rows)
    spark = spark_session(5)
    write_shards(spark.createDataFrame(rows, SCHEMA).repartition(7), tmp_path / "again", SIZE)
    names = sorted(path.name for path in shards.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (shards / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_nothing_to_train_on_is_an_empty_index(tmp_path: Path) -> None:
    frame = spark_session(2).createDataFrame([], SCHEMA)
    assert write_shards(frame, tmp_path / "none", SIZE) == 0
    assert json.loads((tmp_path / "none" / "index.json").read_text())["shards"] == []


@given(st.lists(st.integers(1, 150), max_size=40), st.integers(50, 300))
def test_buckets_are_packed_in_order_and_as_full_as_they_fit(rows: list[int], size: int) -> None:
    buckets = [Bucket(f"{number:03d}", "", count) for number, count in enumerate(rows)]
    packed = pack(buckets, size)
    assert [bucket for shard in packed for bucket in shard] == buckets
    totals = [sum(bucket.rows for bucket in shard) for shard in packed]
    assert all(total <= size or len(shard) == 1 for total, shard in zip(totals, packed, strict=True))
    assert all(total + after[0].rows > size for total, after in zip(totals, packed[1:], strict=False))
