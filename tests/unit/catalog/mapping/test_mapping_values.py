"""One foreign value becomes one value of the dump contract."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ecclip.catalog.dump.record import Row
from ecclip.catalog.mapping.listing import SourceRow, listing_of
from ecclip.catalog.mapping.model import Mapping, Pairs, Separator, Time, Value
from ecclip.catalog.mapping.notation import named_parts, pairs_of, parsed, parts_of
from ecclip.catalog.mapping.prices import Numbers
from ecclip.catalog.mapping.values import RowCells, flag_of, moment_of, text_of, value_of

NULLS = frozenset({"", "NA"})


def mapped(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    columns = {"listing_id": "id", "title": "name", **more.pop("columns", {})}
    mapping = Mapping.model_validate(
        {"source": {"format": "csv", "files": ["x.csv"]}, "columns": columns, "null_values": sorted(NULLS), **more}
    )
    numbers = Numbers(mapping)
    numbers.infer_notation([row])
    return listing_of(mapping, numbers, SourceRow(Row(row, None, "", 1), "x.csv"), Counter())


def value(declared: Any, row: dict[str, Any]) -> Any:
    return value_of(Value.model_validate(declared), RowCells(row, NULLS, Counter()), "field")


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
def test_a_declared_value_is_taken_from_the_row(declared: Any, row: dict[str, Any], expected: Any) -> None:
    assert value(declared, row) == expected


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ("Watches >> Wrist Watches >> palito Wrist Watches >> palito PLO 166", ["Watches", "Wrist Watches"]),
        ("Watches >> Wrist Watches", ["Watches", "Wrist Watches"]),
        ("palito >> palito PLO", ["palito"]),
    ],
)
def test_a_trailing_product_name_is_dropped_but_never_the_root(tree: str, expected: list[str]) -> None:
    declared = {"column": "tree", "split": ">>", "drop_last_like": "name"}
    assert value(declared, {"tree": tree, "name": "Palito PLO 166 Watch"}) == expected


def test_a_ruby_hash_is_read_with_quotes_arrows_and_nil_in_it() -> None:
    text = (
        '{"specs"=>[{"key"=>"Type", "value"=>"a => \\"b\\" nil"}, {"value"=>"no key"}, {"key"=>"Size", "value"=>nil}]}'
    )
    assert pairs_of(parsed(text, "ruby_hash")) == [("Type", 'a => "b" nil'), ("Size", None)]
    assert parsed('{"specs"=>[', "ruby_hash") is None


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ({"color": "red", "size": 3}, [("color", "red"), ("size", 3)]),
        ([{"name": "color", "value": "red"}], [("color", "red")]),
        ({"all": {"color": "red"}, "size": "L"}, [("size", "L"), ("color", "red")]),
        ("text", []),
    ],
)
def test_pairs_are_found_in_the_usual_structures(structure: Any, expected: list[tuple[str, Any]]) -> None:
    assert pairs_of(structure) == expected


def test_only_kept_names_of_a_map_become_attributes_and_the_first_wins() -> None:
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
def test_age_restriction_by_whole_words(category: Any, expected: bool) -> None:
    row = {"id": "1", "name": "x", "path": category}
    assert mapped(row, columns={"category": "path"}, age_restricted={"words": ["wine"]})["age_restricted"] is expected


@pytest.mark.parametrize(("said", "expected"), [("Yes", True), (0, False), ("maybe", None), (None, None), (True, True)])
def test_age_restriction_from_a_column(said: Any, expected: bool | None) -> None:
    assert mapped({"id": "1", "name": "x", "adult": said}, age_restricted="adult")["age_restricted"] is expected
    assert flag_of(said) is expected


def test_a_row_with_bytes_that_are_no_text_is_refused_with_its_reason() -> None:
    listing = mapped({"id": "1", "name": b"\xff\xfe"})
    assert (listing["_problem"], listing["listing_id"]) == ("undecodable_text", None)
    assert listing["_detail"].startswith("x.csv:1: ")


def test_half_of_an_emoji_costs_its_row_wherever_it_stands() -> None:
    for column in ("brand", "category", "image_uri", "updated_at"):
        assert mapped({"id": "1", "name": "x", "c": "\ud83c"}, columns={column: "c"})["_problem"] == "undecodable_text"
    attributes = {"columns": {"color": "c"}}
    assert mapped({"id": "1", "name": "x", "c": "red \udc00"}, attributes=attributes)["_problem"] == "undecodable_text"


@pytest.mark.parametrize(
    "declared", ["c", {"column": "c", "split": ">"}, {"column": "c", "between": "/"}], ids=["text", "split", "other"]
)
def test_several_paths_in_one_cell_cost_the_row_and_name_the_setting(declared: Any) -> None:
    listing = mapped({"id": "1", "name": "x", "c": "Clothing > Tees, Clothing > Sale"}, columns={"category": declared})
    assert listing["_problem"] == "bad_category"
    assert "between" in listing["_detail"]
    one = {"column": "c", "between": ",", "split": ">"}
    first = mapped({"id": "1", "name": "x", "c": "Clothing > Tees, Clothing > Sale"}, columns={"category": one})
    assert first["category"] == ["Clothing", "Tees"]


def test_a_row_without_a_time_has_none() -> None:
    assert mapped({"id": "1", "name": "x"})["updated_at"] is None


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
        ("", ",", []),
    ],
)
def test_a_separator_separates_where_it_is_one(text: str, separator: Any, parts: list[str]) -> None:
    assert parts_of(text, Separator.model_validate(separator)) == parts


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
def test_names_and_values_in_one_text(text: str, declared: Any, expected: dict[str, str]) -> None:
    assert named_parts(text, Pairs.model_validate(declared)) == expected


def test_names_of_attributes_may_stand_in_columns_too() -> None:
    attributes = {"named": [{"name": "Attribute {n} name", "value": "Attribute {n} value(s)"}]}
    row = {"id": "1", "name": "x", "Attribute 1 name": "Color", "Attribute 1 value(s)": "Blue, Red"}
    row |= {
        "Attribute 2 name": "Logo",
        "Attribute 2 value(s)": "NA",
        "Attribute 3 name": "",
        "Attribute 3 value(s)": "y",
    }
    assert mapped(row, attributes=attributes)["attributes"] == [("color", "Blue, Red")]


def test_deeply_nested_json_in_a_cell_is_counted_as_unread() -> None:
    notes: Counter[str] = Counter()
    deep = "[" * 500 + "]" * 500
    declared = Value.model_validate({"column": "a", "parse": "json"})
    assert value_of(declared, RowCells({"a": deep}, NULLS, notes), "attributes") is None
    assert value_of(declared, RowCells({"a": "[" * 100_000}, NULLS, notes), "attributes") is None
    assert notes == {"unparsed_attributes": 2}


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
def test_times_become_utc_and_others_stay_for_ingest_to_judge(text: str | None, expected: str | None) -> None:
    assert moment_of(text) == expected


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
def test_a_declared_form_of_time(text: str, declared: Any, expected: str) -> None:
    assert moment_of(text, Time.model_validate(declared)) == expected


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
def test_values_as_text(said: Any, expected: str | None) -> None:
    assert text_of(said) == expected
