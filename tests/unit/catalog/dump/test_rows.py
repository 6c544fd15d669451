"""One model of rows for every format: what is read, what is refused, and that a bad record costs itself only."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecclip.catalog.dump.listing_files import listing_rows
from ecclip.catalog.dump.record import RECORD_BYTES
from ecclip.catalog.dump.rows import (
    Dialect,
    Row,
    can_be_split,
    detect,
    parquet_records,
    plain_stream,
    propose_encoding,
    text_records,
)
from ecclip.core import ContractError


def read(data: bytes, kind: Any = "csv", **declared: Any) -> list[Row]:
    return list(text_records(io.BytesIO(data), kind, detect(data[: 1 << 20], kind, Dialect(**declared))))


def problems(rows: list[Row]) -> list[str | None]:
    return [row.problem for row in rows]


def column(rows: list[Row], name: str) -> list[Any]:
    return [row.cells[name] for row in rows if row.cells is not None]


def test_plain_csv_with_newlines_in_quotes() -> None:
    rows = read(b'id,title,price\r\n1,"two\nlines",3\r\n\r\n2,"say ""hi""",4\r\n')
    assert column(rows, "title") == ["two\nlines", 'say "hi"']
    assert [row.line for row in rows] == [2, 5]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    rows = read(delimiter.join(["id", "title"]).encode() + b"\n" + delimiter.join(["1", "Mug"]).encode() + b"\n")
    assert [row.cells for row in rows] == [{"id": "1", "title": "Mug"}]


def test_quotes_that_are_plain_characters_lose_no_record_and_mix_none() -> None:
    records = [f"{number}\tProduct {number}\tShelf\t{number}.50" for number in range(1, 41)]
    records[4] = '5\t"Grand Cru” dark chocolate 100 g\tShelf\t5.50'
    records[5] = '6\tFrying pan 24" induction\tShelf\t6.50'
    records[7] = '8\t"Le Petit" butter\tShelf\t8.50'
    rows = read("\n".join(["id\ttitle\tcategory\tprice", *records, ""]).encode())
    assert problems(rows) == [None] * 40
    assert column(rows, "title")[4] == '"Grand Cru” dark chocolate 100 g'
    assert column(rows, "title")[7] == '"Le Petit" butter'


def test_a_quote_that_joins_two_records_is_refused_and_the_second_is_read() -> None:
    quoted = [f'{number},"Product, {number}",Shelf,1.50' for number in range(20)]
    torn = ['20,"Grand Cru,Shelf,1.50', '21,Pan 24",Shelf,2.50']
    rows = read("\n".join(["id,title,category,price", *quoted, *torn, "22,Pot,Shelf,3", ""]).encode())
    assert problems(rows) == [None] * 20 + ["malformed_record", None, None]
    assert column(rows, "id")[-2:] == ["21", "22"]
    assert rows[20].text.startswith('20,"Grand')


def test_a_quote_that_is_never_closed_costs_its_own_line() -> None:
    rows = read(
        b'id,title,price\n0,"a, b",1\n' + b"".join(b"%d,Mug,2\n" % n for n in range(1, 50)) + b'50,"Mug,2\n51,x,3\n'
    )
    assert problems(rows) == [None] * 50 + ["malformed_record", None]


def test_backslash_before_quotes_as_spark_writes_it() -> None:
    rows = read(
        b'listing_id,title,price,path\n1,"Pan 12\\" black",2,img\\9.jpg\n2,"Pan 10\\", red",3,\\\\host\\a\n'
        b'3,"Pan 8"" blue",4,"c:\\\\x\\y"\n4,"two\nlines \\"x\\"",5,p\n'
    )
    assert column(rows, "title") == ['Pan 12" black', 'Pan 10", red', 'Pan 8" blue', 'two\nlines "x"']
    assert column(rows, "path") == ["img\\9.jpg", "\\\\host\\a", "c:\\x\\y", "p"]


def test_declared_quoting_is_taken_as_it_is() -> None:
    data = b"id,title\n1,'a, b'\n2,\"c\n"
    assert column(read(data, quote="'"), "title") == ["a, b", '"c']
    assert column(read(b'id,title\n1,"a"\n', quote=""), "title") == ['"a"']


def test_cells_that_are_too_many_or_too_few_are_counted_and_empty_surplus_is_none() -> None:
    rows = read(b"id;title;price\n1;Mug;2;\n2;Mug;2;3\n3;Mug\n4;Mug;5\n")
    assert problems(rows) == [None, "too_many_cells", "too_few_cells", None]
    assert (rows[1].line, rows[1].detail) == (3, "4 cells, the header has 3")


@pytest.mark.parametrize("data", [b"id,title,image,image\n1,a,b,c\n", b"id,id\n1,2\n"])
def test_two_columns_of_one_name_are_an_error_that_names_it(data: bytes) -> None:
    with pytest.raises(ContractError, match="two columns have one name: i"):
        read(data)


def test_undecodable_bytes_cost_their_own_record() -> None:
    rows = read("id,title\n1,Krüge\n".encode() + "2,Krüge\n3,x\n".encode("cp1252"))
    assert problems(rows) == [None, "undecodable_text", None]
    assert rows[1].text == "2,Kr\\xfcge\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp949", "shift_jis"])
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_encodings_are_known_by_their_mark_or_declared(encoding: str, kind: str) -> None:
    title = "ઊ 컵 Ċ" if encoding.startswith("utf") else {"cp949": "머그 컵", "shift_jis": "表ソ"}[encoding]
    lines = {"csv": f"id,title\n1,{title}\n2,x\n", "json": f'{{"title": "{title}"}}\n{{"title": "x"}}\n'}
    declared = {"encoding": None if encoding in ("utf-8-sig", "utf-16", "utf-32") else encoding}
    assert column(read(lines[kind].encode(encoding), kind, **declared), "title") == [title, "x"]


def test_an_encoding_is_proposed_for_what_is_not_utf_8() -> None:
    text = "번호,제목\n" + "1,따뜻한 겨울 코트와 모자\n" * 50
    proposed = propose_encoding(text.encode("cp949"))
    assert proposed is not None
    assert text.encode("cp949").decode(proposed) == text


HOSTILE_LINES = {
    '{"a": ' + "[" * 100_000: "nested_too_deep",
    "[" * 200_000: "nested_too_deep",
    '{"a": ' * 40 + "1" + "}" * 40: "nested_too_deep",
    '{"a": "\\ud83c"}': "undecodable_text",
    '{"a\\uD800": 1}': "undecodable_text",
    '{"a": 1, "a": 2}': "malformed_record",
    '{"a": [1, 2}': "malformed_record",
    "[1]": "malformed_record",
    "3": "malformed_record",
    '{"a": ' + "9" * 5000 + "}": "malformed_record",
    '{"a": "' + "x" * RECORD_BYTES + '"}': "record_too_large",
}


@pytest.mark.parametrize("array", [False, True])
def test_hostile_json_costs_itself_only(array: bool) -> None:
    bad = [line for line in HOSTILE_LINES if not (array and line.count("[") > line.count("]"))]
    good = [json.dumps({"a": f'{n} "[{{,\\'}) for n in range(len(bad) + 1)]
    lines = [good[0], *(line for pair in zip(bad, good[1:], strict=True) for line in pair)]
    data = ("[" + ",\n".join(lines) + "]" if array else "\n".join(lines)).encode()
    rows = list(text_records(io.BytesIO(data), "json", detect(data[:1000], "json")))
    assert [row.problem for row in rows] == [HOSTILE_LINES.get(line) for line in lines]
    assert all(len(row.text) <= 8000 for row in rows)


def test_one_array_is_read_by_its_elements_and_a_cut_one_says_so() -> None:
    items = [{"id": n, "tags": [{"x": "a, ]"}], "text": "é" * n} for n in range(5)]
    for indent in (None, 2):
        data = json.dumps(items, ensure_ascii=False, indent=indent).encode()
        assert [row.cells for row in read(data, "json")] == items
        cut = read(data[:-8], "json")
        assert [row.problem for row in cut][-1] == "malformed_record"
        assert [row.cells for row in cut if row.cells] == items[:4]
    assert problems(read(b'[{"a": 1}, nonsense {, {"a": 2}] x', "json"))[0] is None
    assert read(b" [ ] ", "json") == []


def test_a_first_line_that_opens_a_bracket_does_not_make_lines_an_array() -> None:
    rows = read(b'[{"a": 1\n{"a": 2}\n{"a": 3}\n', "json")
    assert problems(rows) == ["malformed_record", None, None]


def test_one_gzip_line_of_256_mebibytes_is_one_refused_record(tmp_path: Path) -> None:
    path = tmp_path / "listings.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"a": 1}\n{"a": "')
        for _ in range(16):
            file.write(b"x" * (16 << 20))
        file.write(b'"}\n{"a": 3}\n')
    tracemalloc.start()
    with ExitStack() as opened:
        stream = plain_stream(opened.enter_context(path.open("rb")), path.name, opened)
        rows = list(text_records(stream, "json", detect(b'{"a": 1}\n', "json")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert problems(rows) == [None, "record_too_large", None]
    assert peak < 32 << 20


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=4, max_size=4)))
def test_what_python_writes_is_read_back(table: list[list[str]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow("abcd")
    writer.writerows(table)
    data = buffer.getvalue().encode()
    rows = read(data, quote='"', escape="", delimiter=",")
    assert [list(row.cells.values()) if row.cells else row.problem for row in rows] == table


@given(st.binary(max_size=400), st.sampled_from(["csv", "json"]))
def test_any_bytes_are_rows_or_refused(data: bytes, kind: Any) -> None:
    try:
        rows = read(data, kind)
    except ContractError:
        return
    assert all((row.cells is None) == (row.problem is not None) for row in rows)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_ranges_of_bytes_hold_each_row_once(kind: Any) -> None:
    lines = [json.dumps({"a": "é" * n}) if kind == "json" else f"é{'x' * n}\t{n}" for n in range(40)]
    data = "\n".join(lines).encode()
    dialect = detect(b'{"a"' if kind == "json" else b"a\tb\n", kind, Dialect(quote=""))
    assert can_be_split(kind, dialect)

    def ranges(step: int) -> Iterator[Row]:
        for start in range(0, len(data), step):
            yield from text_records(
                io.BytesIO(data), kind, dialect, start=start, end=min(start + step, len(data)), header=["a", "b"]
            )

    whole = [row.cells for row in ranges(len(data))]
    assert len(whole) == 40
    for step in (1, 7, 64, 333):
        assert [row.cells for row in ranges(step)] == whole


def test_parquet_of_pandas_and_spark_types(tmp_path: Path) -> None:
    path = tmp_path / "listings.parquet"
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=dt.UTC)
    ns = pa.array([1767323045123456789, None], pa.int64())
    table = pa.table(
        {
            "ns": ns.cast(pa.timestamp("ns")),
            "zoned": ns.cast(pa.timestamp("ns", "Asia/Seoul")),
            "far": pa.array([10**12, -(10**12)], pa.int64()).cast(pa.timestamp("s")),
            "day": pa.array([dt.date(2026, 1, 2), None]),
            "null": pa.nulls(2),
            "dictionary": pa.array(["a", "b"]).dictionary_encode(),
            "large": pa.array(["a", None], pa.large_string()),
            "decimal": pa.array([Decimal("1.50"), None]),
            "map": pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string())),
            "list": pa.array([["a"], None], pa.large_list(pa.string())),
        }
    )
    pq.write_table(table, path)
    first, second = parquet_records(str(path))
    assert first.cells == {
        "ns": moment, "zoned": moment, "far": "1000000000000 s from 1970", "day": dt.date(2026, 1, 2), "null": None,
        "dictionary": "a", "large": "a", "decimal": Decimal("1.50"), "map": {"k": "v"}, "list": ["a"],
    }  # fmt: skip
    assert second.cells is not None
    assert second.cells["far"] == "-1000000000000 s from 1970"


def test_text_of_parquet_that_is_not_utf_8_costs_its_row(tmp_path: Path) -> None:
    raw = pa.array([b"good", "K\xfc".encode("latin-1"), b"fine"])
    titles = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"title": titles}), tmp_path / "l.parquet")
    assert problems(list(parquet_records(str(tmp_path / "l.parquet")))) == [None, "undecodable_text", None]


def test_parquet_row_groups_are_read_alone_and_equal_names_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "l.parquet"
    pq.write_table(pa.table({"id": list(range(10))}), path, row_group_size=4)
    assert next((row.line, row.cells) for row in parquet_records(str(path), row_groups=[1])) == (5, {"id": 4})
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["image", "image"])
    pq.write_table(twice, path)
    with pytest.raises(ContractError, match="two columns have one name: image"):
        list(parquet_records(str(path)))


@pytest.mark.parametrize("array", [False, True])
def test_half_an_emoji_costs_the_row_of_a_dump_in_a_column_of_the_contract_alone(tmp_path: Path, array: bool) -> None:
    rows = [
        '{"listing_id": "1", "title": "Mug", "remark": "\\ud83c", "x\\udc00": 1}',
        '{"listing_id": "2", "title": "Mug \\ud83c"}',
        '{"listing_id": "3", "title": "Mug", "attributes": {"size": "\\ud83c"}}',
        '{"listing_id": "4", "title": "Mug", "remark": "whole \\ud83c\\udf81"}',
    ]
    path = tmp_path / "listings.json"
    path.write_text("[" + ",\n".join(rows) + "]" if array else "\n".join(rows))
    found = list(listing_rows(path))
    assert [row.problem for row in found] == [None, "undecodable_text", "undecodable_text", None]
    assert found[0].cells == {"listing_id": "1", "title": "Mug"}
    assert found[3].cells is not None
    assert found[3].cells["remark"] == "whole 🎁"
