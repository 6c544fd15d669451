"""The footer of a Parquet file is put in order without touching anything else."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecclip.catalog.spark.footer import sort_encodings

_TABLE = pa.table(
    {
        "listing_id": [f"l{number}" for number in range(300)],
        "price": [number / 3 for number in range(300)],
        "category": [["home", "mugs"]] * 300,
        "attributes": pa.array([[("color", "red")]] * 300, pa.map_(pa.string(), pa.string())),
        "age_restricted": [number % 2 == 0 for number in range(300)],
        "updated_at": [datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)] * 300,
        "image": [bytes(range(256))] * 300,
    }
)


def _encodings(path: Path) -> list[list[int]]:
    groups = pq.read_metadata(path)
    return [
        list(groups.row_group(group).column(column).encodings)
        for group in range(groups.num_row_groups)
        for column in range(groups.num_columns)
    ]


def test_files_that_differ_by_the_order_alone_become_equal_and_stay_readable(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(_TABLE, path, row_group_size=100, store_schema=False)
    original, before = path.read_bytes(), _encodings(path)
    sort_encodings(path)
    ordered = path.read_bytes()
    assert len(ordered) == len(original)
    assert [sorted(one) for one in _encodings(path)] == [sorted(one) for one in before]
    sort_encodings(path)
    assert path.read_bytes() == ordered
    assert pq.read_table(path).equals(pq.read_table(pa.BufferReader(original)))

    # what the Java writer does: the same list in another order (PLAIN 0, RLE 3, RLE_DICTIONARY 8; a list of three i32)
    end = len(ordered) - 8
    start = end - int.from_bytes(ordered[end : end + 4], "little")
    for given in (bytes([0x35, 0, 6, 16]), bytes([0x25, 0, 6])):
        if (at := ordered.find(given, start)) >= 0:
            shuffled = ordered[: at + 1] + given[:0:-1] + ordered[at + len(given) :]
            break
    path.write_bytes(shuffled)
    assert shuffled != ordered
    sort_encodings(path)
    assert path.read_bytes() == ordered


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(b"rows without a footer")
    with pytest.raises(ValueError, match=r"part\.parquet is not a Parquet file"):
        sort_encodings(path)
