"""One foreign value becomes one value of the dump contract."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecclip.catalog.mapping.map_dump import map_dump
from ecclip.catalog.mapping.model import Mapping
from ecclip.core import Counts

NULLS = ["", "NA"]
Listing = Callable[..., dict[str, Any]]
Mapped = Callable[..., tuple[dict[str, Any], Counts]]


@pytest.fixture
def mapped_and_counted(tmp_path: Path) -> Mapped:
    """Return how a row of an export becomes a listing of a dump: of JSON, or of Parquet where JSON cannot hold it."""
    numbers = itertools.count()

    def run(row: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Counts]:
        export = tmp_path / str(next(numbers))
        export.mkdir()
        kind = "parquet" if any(isinstance(cell, bytes | float) for cell in row.values()) else "jsonl"
        # an export of nothing but refused rows is refused: a good one stands beside it
        rows = [{"id": "1", "name": "x", **row}, {**dict.fromkeys(row), "id": "2", "name": "x"}]
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), export / "x.parquet")
        else:
            (export / "x.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
        columns = {"listing_id": "id", "title": "name", **more.pop("columns", {})}
        source = {"format": kind, "files": [f"x.{kind}"]}
        mapping = {"source": source, "columns": columns, "null_values": NULLS, **more}
        counts = map_dump(Mapping.model_validate(mapping), str(export), export / "dump", "2026-11-01")
        return pq.read_table(export / "dump" / "listings-0000.parquet").to_pylist()[0], counts

    return run


@pytest.fixture
def mapped(mapped_and_counted: Mapped) -> Listing:
    return lambda row, **more: mapped_and_counted(row, **more)[0]


@pytest.mark.parametrize(
    ("declared", "row", "expected"),
    [
        ("a", {"a": " x "}, "x"),
        ("a", {"a": "NA"}, None),
        ("a", {"a": float("nan")}, None),
        ("a.b", {"a": {"b": "deep"}}, "deep"),
        ("a.b", {"a.b": "flat"}, "flat"),
        ("a.b", {"a": None}, None),
        ({"constant": "shop"}, {"a": 1}, "shop"),
        ({"template": "{a} {b}"}, {"a": "x", "b": 7}, "x 7"),
        ({"template": "{a} {b}"}, {"a": "x", "b": None}, None),
        ({"columns": ["a", "b", "c"]}, {"a": "x", "b": "NA", "c": 3}, ["x", "3"]),
        ({"column": "a", "split": "/"}, {"a": "x / y / "}, ["x", "y"]),
        ({"column": "a", "split": "/", "drop_last": 1}, {"a": "x/y/z"}, ["x", "y"]),
        ({"column": "a", "strip": '["]', "split": ">>"}, {"a": '["x >> y"]'}, ["x", "y"]),
        ({"column": "a", "parse": "json"}, {"a": '["x", null, "y"]'}, ["x", "y"]),
        ({"column": "a", "lower": True}, {"a": "Red"}, "red"),
        ({"columns": ["a", "b"], "joined": "/"}, {"a": "x", "b": "y"}, "x/y"),
        ({"columns": ["a", "b"], "joined": "/"}, {"a": "x", "b": "NA"}, "x"),
        ({"first_of": ["a", "b"]}, {"a": "NA", "b": "y"}, "y"),
        ({"first_of": [{"column": "a", "split": "/"}, "b"]}, {"a": "x/y", "b": "z"}, ["x", "y"]),
        (
            {"column": "a", "each": "name"},
            {"a": [{"id": 1, "name": "x"}, {"name": "y"}, "z", {"id": 2}]},
            ["x", "y", "z"],
        ),
        ({"column": "a", "each": "n.m"}, {"a": [{"n": {"m": "x"}}]}, ["x"]),
        ({"column": "a", "between": ","}, {"a": "x, y"}, "x"),
        ({"column": "a", "between": ",", "take": "last"}, {"a": "x, y"}, "y"),
        ({"column": "a", "between": "|", "split": ">"}, {"a": "x > y | z"}, ["x", "y"]),
        ({"column": "a", "between": "|", "split": ">", "take": "deepest"}, {"a": "x | y > z | v > w"}, ["y", "z"]),
        ({"column": "a", "split": "/", "drop_first": 1}, {"a": "Root/x/y"}, ["x", "y"]),
        ({"column": "a", "pairs": True}, {"a": "size=S,color=Red"}, {"size": "S", "color": "Red"}),
        ("a", {"a": b"\xff\xd8"}, b"\xff\xd8"),
    ],
)
def test_a_declared_value_is_taken_from_the_row(
    mapped: Listing, declared: Any, row: dict[str, Any], expected: Any
) -> None:
    """Each value is declared of a field that takes what it gives."""
    if isinstance(expected, list):
        assert mapped(row, columns={"category": declared})["category"] == expected
    elif isinstance(expected, dict):
        assert mapped(row, attributes={"map": declared})["attributes"] == sorted(expected.items())
    elif isinstance(expected, bytes):
        assert mapped(row, columns={"image": declared})["image"] == expected
    else:
        assert mapped(row, columns={"brand": declared})["brand"] == expected


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ("Watches >> Wrist Watches >> palito Wrist Watches >> palito PLO 166", ["Watches", "Wrist Watches"]),
        ("Watches >> Wrist Watches", ["Watches", "Wrist Watches"]),
        ("palito >> palito PLO", ["palito"]),
    ],
)
def test_a_trailing_product_name_is_dropped_but_never_the_root(mapped: Listing, tree: str, expected: list[str]) -> None:
    declared = {"column": "tree", "split": ">>", "drop_last_like": "name"}
    row = {"tree": tree, "name": "Palito PLO 166 Watch"}
    assert mapped(row, columns={"category": declared})["category"] == expected


def test_a_ruby_hash_is_read_with_quotes_arrows_and_nil_in_it(mapped_and_counted: Mapped) -> None:
    text = (
        '{"specs"=>[{"key"=>"Type", "value"=>"a => \\"b\\" nil"}, {"value"=>"no key"}, {"key"=>"Size", "value"=>nil}]}'
    )
    declared = {"map": {"column": "specs", "parse": "ruby_hash"}}
    for said, expected, detail in (
        (text, [("type", 'a => "b" nil')], {}),
        ('{"specs"=>[', None, {"unparsed_attributes": 1}),
    ):
        listing, counts = mapped_and_counted({"specs": said}, attributes=declared)
        assert (listing["attributes"], counts.detail) == (expected, detail)


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ({"color": "red", "size": 3}, [("color", "red"), ("size", "3")]),
        ([{"name": "color", "value": "red"}], [("color", "red")]),
        ({"all": {"color": "red"}, "size": "L"}, [("color", "red"), ("size", "L")]),
        ("text", None),
    ],
)
def test_pairs_are_found_in_the_usual_structures(
    mapped: Listing, structure: Any, expected: list[tuple[str, str]] | None
) -> None:
    declared = {"map": {"column": "specs", "parse": "json"}}
    assert mapped({"specs": json.dumps(structure)}, attributes=declared)["attributes"] == expected


def test_only_kept_names_of_a_map_become_attributes_and_the_first_wins(mapped: Listing) -> None:
    attributes = {
        "columns": {"gender": "sex"},
        "map": {"column": "specs", "parse": "json"},
        "keep": {"Color": "color", "Dial Color": "color", "Material": "material"},
        "lower": True,
    }
    row = {
        "id": "1",
        "name": "x",
        "sex": "Men",
        "specs": '{"DIAL COLOR": "Blue", "color": "Red", "EAN": "4", "Material": "NA"}',
    }
    assert mapped(row, attributes=attributes)["attributes"] == [("color", "red"), ("gender", "men")]


@pytest.mark.parametrize(
    ("category", "expected"),
    [(["Food", "Wine"], True), (["Food", "wine glasses"], True), (["Food", "Twined rope"], False), (None, False)],
)
def test_age_restriction_by_whole_words(mapped: Listing, category: Any, expected: bool) -> None:
    assert (
        mapped({"path": category}, columns={"category": "path"}, age_restricted={"words": ["wine"]})["age_restricted"]
        is expected
    )


@pytest.mark.parametrize(("said", "expected"), [("Yes", True), (0, False), ("maybe", None), (None, None), (True, True)])
def test_age_restriction_from_a_column(mapped: Listing, said: Any, expected: bool | None) -> None:
    listing = mapped({"adult": said}, age_restricted="adult")
    assert listing["age_restricted"] is expected
    assert listing["_problem"] == ("bad_age_restricted" if said == "maybe" else None)


def test_a_row_with_bytes_that_are_no_text_is_refused_with_its_reason(mapped: Listing) -> None:
    listing = mapped({"name": b"\xff\xfe"})
    assert (listing["_problem"], listing["listing_id"]) == ("undecodable_text", None)
    assert listing["_detail"].startswith("x.parquet:1: ")


def test_half_of_an_emoji_costs_its_row_wherever_it_stands(mapped: Listing) -> None:
    for column in ("brand", "category", "image_uri", "updated_at"):
        assert mapped({"c": "\ud83c"}, columns={column: "c"})["_problem"] == "undecodable_text"
    attributes = {"columns": {"color": "c"}}
    assert mapped({"c": "red \udc00"}, attributes=attributes)["_problem"] == "undecodable_text"


@pytest.mark.parametrize(
    "declared", ["c", {"column": "c", "split": ">"}, {"column": "c", "between": "/"}], ids=["text", "split", "other"]
)
def test_several_paths_in_one_cell_cost_the_row_and_name_the_setting(mapped: Listing, declared: Any) -> None:
    listing = mapped({"c": "Clothing > Tees, Clothing > Sale"}, columns={"category": declared})
    assert listing["_problem"] == "bad_category"
    assert "between" in listing["_detail"]
    one = {"column": "c", "between": ",", "split": ">"}
    first = mapped({"c": "Clothing > Tees, Clothing > Sale"}, columns={"category": one})
    assert first["category"] == ["Clothing", "Tees"]


def test_a_row_without_a_time_has_none(mapped: Listing) -> None:
    assert mapped({})["updated_at"] is None


@pytest.mark.parametrize(
    ("text", "separator", "parts"),
    [
        (
            r"Body Care > Perfume\, Cologne, Sale",
            {"text": ",", "escape": "\\"},
            ["Body Care > Perfume, Cologne", "Sale"],
        ),
        ("Home, Garden/Pots,Sale", {"text": ",", "not_before": " "}, ["Home, Garden/Pots", "Sale"]),
        ("a,,b, ", ",", ["a", "b"]),
        ("a >> b", ">>", ["a", "b"]),
        ("a.b", ".", ["a", "b"]),
        (",", ",", []),
    ],
)
def test_a_separator_separates_where_it_is_one(mapped: Listing, text: str, separator: Any, parts: list[str]) -> None:
    declared = {"column": "c", "split": separator, "joined": "|"}
    assert mapped({"c": text}, columns={"brand": declared})["brand"] == ("|".join(parts) or None)


@pytest.mark.parametrize(
    ("text", "declared", "expected"),
    [
        ("size=S,color=Red", {}, {"size": "S", "color": "Red"}),
        ("size=S,color=Red, Blue,sale=0", {}, {"size": "S", "color": "Red, Blue", "sale": "0"}),
        ('"color=Red, Blue","size=S"', {}, {"color": "Red, Blue", "size": "S"}),
        ("url=a?b=c", {}, {"url": "a?b=c"}),
        ("Color:Blue:1,Size:L:2", {"within": ":", "rest": "drop"}, {"Color": "Blue", "Size": "L"}),
        ("a: 1; b: 2", {"between": ";", "within": ":"}, {"a": "1", "b": "2"}),
        ("no pairs", {}, {}),
    ],
)
def test_names_and_values_in_one_text(mapped: Listing, text: str, declared: Any, expected: dict[str, str]) -> None:
    attributes = {"map": {"column": "c", "pairs": declared}}
    named = sorted((name.lower(), value) for name, value in expected.items())
    assert mapped({"c": text}, attributes=attributes)["attributes"] == (named or None)


def test_names_of_attributes_may_stand_in_columns_too(mapped: Listing) -> None:
    attributes = {"named": [{"name": "Attribute {n} name", "value": "Attribute {n} value(s)"}]}
    row = {"Attribute 1 name": "Color", "Attribute 1 value(s)": "Blue, Red"}
    row |= {
        "Attribute 2 name": "Logo",
        "Attribute 2 value(s)": "NA",
        "Attribute 3 name": "",
        "Attribute 3 value(s)": "y",
    }
    assert mapped(row, attributes=attributes)["attributes"] == [("color", "Blue, Red")]


@pytest.mark.parametrize("deep", ["[" * 500 + "]" * 500, "[" * 100_000])
def test_deeply_nested_json_in_a_cell_is_counted_as_unread(mapped_and_counted: Mapped, deep: str) -> None:
    declared = {"map": {"column": "a", "parse": "json"}}
    listing, counts = mapped_and_counted({"a": deep}, attributes=declared)
    assert (listing["attributes"], listing["_problem"]) == (None, None)
    assert counts.detail == {"unparsed_attributes": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-04-30 03:22:56 +0000", "2016-04-30T03:22:56+00:00"),
        ("2016-04-30 12:00:00+09:00", "2016-04-30T03:00:00+00:00"),
        ("2016-04-30", "2016-04-30T00:00:00+00:00"),
        ("30.4.2016", "30.4.2016"),
        ("0001-01-01T00:00:00+09:00", "0001-01-01T00:00:00+09:00"),
        ("9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59-05:00"),
        ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
        (None, None),
    ],
)
def test_times_become_utc_and_others_stay_for_ingest_to_judge(
    mapped: Listing, text: str | None, expected: str | None
) -> None:
    assert mapped({"at": text}, columns={"updated_at": "at"})["updated_at"] == expected


@pytest.mark.parametrize(
    ("text", "declared", "expected"),
    [
        ("30.10.2026 14:30", {"format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}, "2026-10-30T13:30:00+00:00"),
        ("1761955200", {"format": "epoch"}, "2025-11-01T00:00:00+00:00"),
        ("1761955200000", {"format": "epoch_ms"}, "2025-11-01T00:00:00+00:00"),
        ("1e300", {"format": "epoch"}, "1e300"),
        ("soon", {"format": "%d.%m.%Y"}, "soon"),
    ],
)
def test_a_declared_form_of_time(mapped: Listing, text: str, declared: Any, expected: str) -> None:
    time = {"column": "at", "time": declared}
    assert mapped({"at": text}, columns={"updated_at": time})["updated_at"] == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (15970.0, "15970"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (True, "true"),
        (12, "12"),
        (float("inf"), None),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_values_as_text(mapped: Listing, said: Any, expected: str | None) -> None:
    found = mapped({"v": said}, attributes={"columns": {"v": "v"}})["attributes"]
    assert found == (None if expected is None else [("v", expected)])
