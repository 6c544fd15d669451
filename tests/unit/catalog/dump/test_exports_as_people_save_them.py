"""Files as spreadsheets, scripts and web servers leave them: read for what they are, or refused with what they are."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ecclip.catalog.dump.cells import Limits, parse_cells
from ecclip.catalog.dump.listing_files import listing_files
from ecclip.catalog.dump.rows import Dialect, Row, column_names, detect, text_records
from ecclip.catalog.ingest.schema_drift import refuse_drift
from ecclip.core import ContractError


def read(data: bytes, kind: Any = "csv") -> list[Row]:
    return list(text_records(io.BytesIO(data), kind, detect(data, kind, Dialect())))


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\r\n', "SEP=;\n", "\ufeffsep=;\n"])
def test_the_line_that_tells_excel_the_delimiter_is_no_header(first: str) -> None:
    data = f"{first}id;title\r\n00017;Mug, blue\r\n".encode()
    assert [row.cells for row in read(data)] == [{"id": "00017", "title": "Mug, blue"}]
    assert column_names(io.BytesIO(data), detect(data, "csv")) == ["id", "title"]


@pytest.mark.parametrize(
    "again", ["id,title,price", "\ufeffid,title,price", ' id , title,"price"', '\ufeff"id","title","price"']
)
def test_the_header_of_a_file_that_was_appended_is_no_listing(again: str) -> None:
    rows = read(f"id,title,price\n1,Mug,3\n{again}\n2,Cup,4\n".encode())
    assert [row.problem for row in rows] == [None, "malformed_record", None]
    assert "a repeated header" in rows[1].detail


def test_empty_lines_before_the_header_are_no_header() -> None:
    assert [row.cells for row in read(b"\n\r\nid,title\n\n1,Mug\n")] == [{"id": "1", "title": "Mug"}]


@pytest.mark.parametrize(
    "header", ['id;title;"Preis, brutto (EUR, inkl. MwSt, ohne Versand)"', "id;title;Size (a,b,c,d)"]
)
def test_signs_in_the_names_of_columns_are_no_delimiters(header: str) -> None:
    rows = read(f'{header}\n1;"Mug; blue";12,99\n2;Cup;4,20\n'.encode())
    assert [list((row.cells or {}).values()) for row in rows] == [["1", "Mug; blue", "12,99"], ["2", "Cup", "4,20"]]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\n<!DOCTYPE html><html>502 Bad Gateway</html>", "error page"),
        (b'<?xml version="1.0"?><products/>', "XML"),
        ("id,title\n1,Mug\n".encode("utf-16-le"), r"UTF-16.*next.*utf-16-le"),
        ("id,title\n1,Mug\n".encode("utf-16-be"), r"UTF-16.*next.*utf-16-be"),
        (b"id,title\r1,Mug\r", "carriage returns alone"),
        (b'id,title\r1,"Mug\nblue"\r', "line feeds"),
    ],
)
def test_what_is_no_text_of_rows_is_an_error_that_says_what_it_is(data: bytes, what: str) -> None:
    with pytest.raises(ContractError, match=rf"(?s){what}") as caught:
        read(data)
    assert caught.value.next_step


@pytest.mark.parametrize(
    "data",
    [
        json.dumps({"products": [{"id": 1}]}, indent=2),
        "\n".join(json.dumps({"id": number}, indent=1) for number in range(3)),
        '{\n"id": 1}\n',
    ],
)
def test_json_over_several_lines_is_an_error_that_says_so(data: str) -> None:
    with pytest.raises(ContractError, match=r"over several lines.*one object per line.*next: "):
        read(data.encode(), "json")


def test_json_lines_that_end_in_carriage_returns_are_not_one_bad_row() -> None:
    with pytest.raises(ContractError, match="carriage returns alone"):
        read(b'{"id": 1}\r{"id": 2}\r', "json")


@pytest.mark.parametrize(
    "data",
    [
        '[\n{"id": 1}\n,{"id": 2}\n]',
        '[\n{"id": 1}\n,\n{"id": 2}\n]\n',
        '\n[\n\n{"id": 1},\n{"id": 2}\n]',
        '[{"id": 1}]\n[{"id": 2}]\n',
        '[{"id": 1}][]\r\n[\n{"id": 2}\n\n]',
        '[{"id": 1},\r{"id": 2}]\r',
    ],
)
def test_arrays_are_read_however_their_commas_stand_and_one_after_another(data: str) -> None:
    assert [row.cells for row in read(data.encode(), "json")] == [{"id": 1}, {"id": 2}]


def test_a_hostile_first_line_makes_no_array_of_json_lines() -> None:
    rows = read(b'[\n{"id": 1}\n{"id": 2}\n', "json")
    assert [row.problem for row in rows] == ["malformed_record", None, None]


def dump(folder: Path, **files: bytes) -> Path:
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def test_a_file_without_a_byte_does_not_stop_the_others(tmp_path: Path) -> None:
    dump(tmp_path, listings_1__csv=b"listing_id,title\n1,Mug\n", listings_2__csv=b"")
    dump(tmp_path, listings_3__csv__gz=gzip.compress(b""), listings_4__jsonl=b"")
    assert refuse_drift(listing_files(tmp_path), 10) == []
    dump(tmp_path, listings_5__csv=b",,\n1,2,3\n")
    with pytest.raises(ContractError, match="required column is missing"):
        refuse_drift(listing_files(tmp_path), 10)


def parse(**cells: Any) -> Any:
    return parse_cells({"listing_id": "00017", "title": "Mug", **cells}, Limits(2000, 8, 200))


@pytest.mark.parametrize("text", ["8.80123E+12", "8,80123E+12", "1.0E+15"])
def test_an_identity_that_a_spreadsheet_has_rounded_is_none(text: str) -> None:
    assert parse(listing_id=text).reason == "bad_listing_id"


@pytest.mark.parametrize("text", ["00017", "5E10", "8E-12", "12E4", "E+12"])
def test_an_identity_is_the_text_that_it_is(text: str) -> None:
    assert parse(listing_id=text).values["listing_id"] == text


@pytest.mark.parametrize("field", ["listing_id", "seller_id", "catalog_id"])
def test_an_identity_has_no_control_characters(field: str) -> None:
    assert parse(**{field: "0\x0018"}).reason == f"bad_{field}"


@pytest.mark.parametrize(
    "text",
    [
        "Home &amp; Garden &gt; Pots",
        "Home &amp;amp; Garden &amp;gt; Pots",
        "Home & Garden -> Pots",
        "Home & Garden=>Pots",
        "Home & Garden >> Pots",
    ],
)
def test_a_path_is_a_path_however_its_sign_is_written(text: str) -> None:
    assert parse(category=text).values["category"] == ["Home & Garden", "Pots"]


@pytest.mark.parametrize(
    ("text", "flag"), [("ja", True), ("NEIN", False), ("1.0", True), ("0.0", False), ("oui", True), ("off", False)]
)
def test_flags_are_read_in_the_words_of_shops(text: str, flag: bool) -> None:
    assert parse(age_restricted=text).values["age_restricted"] is flag
