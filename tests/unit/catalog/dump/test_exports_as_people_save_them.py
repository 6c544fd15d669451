"""Files as spreadsheets, scripts and web servers leave them: read for what they are, or refused with what they are."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ecclip.catalog.dump.cells import Limits, parse_cells
from ecclip.catalog.dump.listing_files import listing_files, listing_rows, write_dialects
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


PRODUCTS = [{"id": 1, "name": "Mug [blue]"}, {"id": 2, "name": "}, {", "parts": [{"a": 1}]}]


@pytest.mark.parametrize(
    "document",
    [
        {"products": PRODUCTS},
        {"total": 2, "more": False, "about": {"page": [1]}, "products": PRODUCTS, "skip": 0},
        {"products": PRODUCTS, "tags": ["a", "b"]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_only_list_of_objects_in_one_json_object_holds_the_rows(
    document: dict[str, object], indent: int | None
) -> None:
    rows = read(json.dumps(document, indent=indent).encode(), "json")
    assert [row.cells for row in rows] == PRODUCTS


def test_a_document_of_several_lines_may_hold_texts_beside_its_rows() -> None:
    document = {"shop": "Töpfe & more", "products": PRODUCTS, "next": "https://shop/2"}
    assert [row.cells for row in read(json.dumps(document, indent=1).encode(), "json")] == PRODUCTS


def test_the_line_of_one_listing_is_no_document() -> None:
    listing = {"listing_id": "1", "title": "Mug", "variants": [{"size": "S"}, {"size": "M"}]}
    assert [row.cells for row in read(json.dumps(listing).encode(), "json")] == [listing]
    assert [row.cells for row in read("\n".join([json.dumps({"a": PRODUCTS})] * 2).encode(), "json")] == [
        {"a": PRODUCTS}
    ] * 2


def test_of_several_lists_one_must_be_named() -> None:
    data = json.dumps({"categories": [{"id": 7}], "products": PRODUCTS, "next": "https://shop/2"}, indent=1).encode()
    with pytest.raises(ContractError, match=r"several lists.*categories, products.*rows: categories"):
        read(data, "json")

    def named(name: str) -> list[Row]:
        return list(text_records(io.BytesIO(data), "json", detect(data, "json", Dialect(rows=name))))

    assert [row.cells for row in named("products")] == PRODUCTS
    with pytest.raises(ContractError, match=r"no list of this name.*items.*categories, products"):
        named("items")


@pytest.mark.parametrize(
    ("tail", "what"), [("", "not closed"), (', "a": "b', "not closed"), ('}\n{"products": []}', "text behind")]
)
def test_a_document_that_is_cut_off_or_followed_by_another_says_so(tail: str, what: str) -> None:
    data = ('{\n"products": [{"id": 1}, {"id": 2}]' + tail).encode()
    *rows, last = text_records(io.BytesIO(data), "json", detect(data, "json"))
    assert [row.cells for row in rows] == [{"id": 1}, {"id": 2}]
    assert last.problem == "malformed_record"
    assert what in last.detail


def test_a_long_document_is_read_in_pieces() -> None:
    products = [{"id": number, "name": "x" * 500} for number in range(5000)]
    data = json.dumps({"total": 5000, "products": products, "pages": 1}).encode()
    rows = text_records(io.BytesIO(data), "json", detect(data[: 1 << 20], "json"))
    assert [row.cells for row in rows] == products


def test_which_list_holds_the_rows_is_kept_beside_a_landed_file(tmp_path: Path) -> None:
    (tmp_path / "listings.json").write_text(json.dumps({"a": [{"id": 7}], "products": PRODUCTS}))
    write_dialects(tmp_path, Dialect(rows="products"))
    assert [row.cells for row in listing_rows(tmp_path / "listings.json")] == PRODUCTS
