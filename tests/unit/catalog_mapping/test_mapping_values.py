"""One foreign value becomes one value of the dump contract."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ecclip.catalog._mapping_model import Mapping, Value
from ecclip.catalog._mapping_values import flag_of, listing_of, moment_of, pairs_of, parsed, text_of, value_of

NULLS = frozenset({"", "NA"})


def mapped(row: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    columns = {"listing_id": "id", "title": "name", **more.pop("columns", {})}
    mapping = Mapping.model_validate(
        {"source": {"format": "csv", "files": ["x.csv"]}, "columns": columns, "null_values": sorted(NULLS), **more}
    )
    return listing_of(mapping, row, "2026-11-01", Counter())


def value(declared: Any, row: dict[str, Any]) -> Any:
    return value_of(Value.model_validate(declared), row, NULLS, Counter(), "field")


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
        ({"column": "a", "number": True}, {"a": "Rs. 1,299.50"}, "1299.50"),
        ({"column": "a", "number": True}, {"a": "ask us"}, "ask us"),
        ({"column": "a", "number": True}, {"a": 899.0}, "899"),
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


def test_a_row_that_could_not_be_read_becomes_an_empty_row() -> None:
    listing = mapped(None, columns={"seller_id": {"constant": "shop"}}, age_restricted={"words": ["wine"]})
    assert listing["listing_id"] is None
    assert listing["seller_id"] is None
    assert listing["age_restricted"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-04-30 03:22:56 +0000", "2016-04-30T03:22:56+00:00"),
        ("2016-04-30 12:00:00+09:00", "2016-04-30T03:00:00+00:00"),
        ("2016-04-30", "2016-04-30T00:00:00+00:00"),
        ("30.4.2016", "30.4.2016"),
        (None, None),
    ],
)
def test_times_become_utc_and_others_stay_for_ingest_to_judge(text: str | None, expected: str | None) -> None:
    assert moment_of(text) == expected


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
