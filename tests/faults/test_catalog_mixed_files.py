"""Files of one dump whose types differ as pandas and Spark make them: one contract, or an error that names them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chain import run_chain
from hostile_rows import ingested

from ecclip.core import ContractError

pytestmark = [pytest.mark.spark, pytest.mark.fault(38)]
MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901)
DAY = dt.datetime(2026, 1, 2)
# the same column as different files may have it
COLUMNS: dict[str, list[tuple[pa.DataType, Any, Any]]] = {
    "price": [
        (pa.int64(), 3, 3.0),
        (pa.float64(), 3.0, 3.0),
        (pa.float32(), 3.0, 3.0),
        (pa.decimal128(10, 2), Decimal("3.00"), 3.0),
        (pa.string(), "3.0", 3.0),
        (pa.null(), None, None),
    ],
    "seller_id": [
        (pa.int64(), 12, "12"),
        (pa.float64(), 12.0, "12"),
        (pa.large_string(), "12", "12"),
        (pa.dictionary(pa.int32(), pa.string()), "12", "12"),
        (pa.binary(), b"12", "12"),
        (pa.null(), None, None),
    ],
    "updated_at": [
        (pa.timestamp("ns"), MOMENT, MOMENT),
        (pa.timestamp("us", "Asia/Seoul"), MOMENT.replace(tzinfo=dt.UTC), MOMENT),
        (pa.timestamp("ms"), MOMENT.replace(microsecond=678000), MOMENT.replace(microsecond=678000)),
        (pa.date32(), DAY.date(), DAY),
        (pa.string(), "2026-01-02T12:04:05.678901+09:00", MOMENT),
        (pa.null(), None, None),
    ],
    "deleted": [
        (pa.bool_(), False, None),
        (pa.int8(), 0, None),
        (pa.float64(), 0.0, None),
        (pa.string(), "false", None),
        (pa.null(), None, None),
        (pa.bool_(), None, None),
    ],
    "category": [
        (pa.list_(pa.string()), ["a", "b"], ["a", "b"]),
        (pa.large_list(pa.large_string()), ["a", "b"], ["a", "b"]),
        (pa.string(), "a > b", ["a", "b"]),
        (pa.list_(pa.dictionary(pa.int8(), pa.string())), ["a", "b"], ["a", "b"]),
        (pa.string(), '["a", "b"]', ["a", "b"]),
        (pa.null(), None, None),
    ],
    "attributes": [
        (pa.map_(pa.string(), pa.string()), [("size", "1")], [("size", "1")]),
        (pa.struct([("size", pa.string()), ("other", pa.string())]), {"size": "1", "other": None}, [("size", "1")]),
        (pa.struct([("size", pa.int64())]), {"size": 1}, [("size", "1")]),
        (pa.string(), '{"size": "1"}', [("size", "1")]),
        (pa.map_(pa.string(), pa.large_string()), [("size", "1")], [("size", "1")]),
        (pa.null(), None, None),
    ],
}


def write(path: Path, listing: str, **columns: tuple[pa.DataType, Any]) -> None:
    base = {"listing_id": (pa.string(), listing), "title": (pa.string(), "Mug")}
    arrays = {
        name: pa.array([value]).cast(kind) if pa.types.is_dictionary(kind) else pa.array([value], kind)
        for name, (kind, value) in (base | columns).items()
    }
    pq.write_table(pa.table(arrays), path)


def test_files_that_differ_as_pandas_and_spark_write_them_are_one_dump(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.mkdir()
    for number in range(6):
        columns = {name: kinds[number][:2] for name, kinds in COLUMNS.items()}
        write(dump / f"listings-{number}.parquet", f"l{number}", **columns)
    (dump / "listings-6.csv").write_text("title,listing_id,price\nMug,l6,3\n")
    (dump / "listings-7.jsonl").write_text('{"listing_id": "l7", "title": "Mug", "seller_id": 12, "price": "3"}\n')
    (dump / "_SUCCESS").touch()
    _, published, dropped = ingested(tmp_path / "work", dump)
    assert dropped == {}
    assert published == {f"l{number}" for number in range(8)}
    rows = {row["listing_id"]: row for row in pq.read_table(tmp_path / "work" / "ingest" / "listings").to_pylist()}
    for name, kinds in COLUMNS.items():
        if name == "deleted":
            continue
        found = [rows[f"l{number}"][name] for number in range(6)]
        found = [value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value for value in found]
        assert found == [value for _, _, value in kinds], name


WRONG = {
    "price": (pa.list_(pa.float64()), [3.0], "price is list<.*>, not number"),
    "title": (pa.struct([("en", pa.string())]), {"en": "Mug"}, "title is struct<en: string>, not string"),
    "listing_id": (pa.int64(), 7, "listing_id is int64, not string"),
    "category": (
        pa.list_(pa.struct([("name", pa.string())])),
        [{"name": "a"}],
        "category is list<.*>, not list of strings",
    ),
    "updated_at": (pa.int64(), 1761955200, "updated_at is int64, not ISO 8601"),
    "image": (pa.string(), "photo.jpg", "image is string, not bytes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_another_thing_is_an_error_that_names_file_column_and_both_types(tmp_path: Path, name: str) -> None:
    kind, value, message = WRONG[name]
    dump = tmp_path / "dump"
    dump.mkdir()
    write(dump / "listings-good.parquet", "l0")
    write(dump / "listings-other.parquet", "l1", **{name: (kind, value)})
    (dump / "_SUCCESS").touch()
    with pytest.raises(ContractError, match=message) as caught:
        run_chain(tmp_path / "work", dump, until="ingest")
    assert "listings-other.parquet" in str(caught.value)


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_two_columns_of_one_name_are_an_error_that_names_column_and_file(tmp_path: Path, kind: str) -> None:
    dump = tmp_path / "dump"
    dump.mkdir()
    names = ["listing_id", "title", "image_uri", "price", "image_uri"]
    if kind == "parquet":
        pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 5, names), dump / "listings.parquet")
    else:
        sign = "," if kind == "csv" else "\t"
        (dump / f"listings.{kind}").write_text(f"{sign.join(names)}\n{sign.join('abcde')}\n")
    (dump / "_SUCCESS").touch()
    with pytest.raises(ContractError, match=rf"listings\.{kind}: two columns have one name: image_uri"):
        run_chain(tmp_path / "work", dump, until="ingest")
