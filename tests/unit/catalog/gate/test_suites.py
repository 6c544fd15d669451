"""A shop's own expectations in the files that Great Expectations writes: what they refuse, and which file is none."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from ecclip.catalog.gate.stage import CheckConfig, check
from ecclip.core import ConfigError, GateError, digest_of

pytestmark = pytest.mark.spark
PRICED = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "price", "min_value": 0.01}}


def write_suite(folder: Path, name: str, *expectations: dict[str, Any], **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"expectations": expectations, **more}, indent=2))
    return folder


def check_market(market_nights: Path, suites: Path, output: Path) -> Any:
    return check(CheckConfig(), market_nights / "1" / "ingest", market_nights / "1" / "none", suites, output)


def broken(folder: Path) -> ConfigError:
    """Return the error of a check by the suites of a folder, before anything of the night is read."""
    (empty := folder.with_name("empty")).mkdir(exist_ok=True)
    with pytest.raises(ConfigError) as caught:
        check(CheckConfig(), empty, empty, folder, folder.with_name("check"))
    return caught.value


def verdict_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "verdict.json").read_text())


def test_a_refused_expectation_names_its_file_itself_and_what_was_observed(market_nights: Path, tmp_path: Path) -> None:
    """The file is as Great Expectations saves it; one that can only warn, and one that is met, refuse nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx

    dear = gx.expectations.ExpectColumnMaxToBeBetween(column="price", max_value=1)
    suites = write_suite(tmp_path / "suites", "own.json")
    (suites / "own.json").write_text(json.dumps(gx.ExpectationSuite("own", [dear]).to_json_dict(), indent=2))
    write_suite(
        suites,
        "more.json",
        PRICED,
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "brand", "value_set": ["Arvo"]}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "attribute/color"}, "severity": "warning"},
        {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "title", "max_value": 3}},
    )
    with pytest.raises(GateError, match="the night's listings were refused") as caught:
        check_market(market_nights, suites, tmp_path / "check")
    verdict = verdict_of(tmp_path / "check.refused")
    largest = "own.json/1/expect_column_max_to_be_between(price)"
    brands = "more.json/2/expect_column_values_to_be_in_set(brand)"
    titles = "more.json/4/expect_column_mean_to_be_between(title)"
    assert set(verdict["failed_expectations"]) == {largest, brands, titles}
    assert 5 < verdict["metrics"][largest] < 50
    assert verdict["metrics"][brands].endswith(" %)")
    assert verdict["metrics"][titles].startswith("not evaluated: ")
    assert verdict["warnings"] == ["more.json/3/expect_column_values_to_not_be_null(attribute/color)"]
    assert verdict["metrics"]["more.json/1/expect_column_values_to_be_between(price)"].startswith("0 of ")
    assert f"{largest} = {verdict['metrics'][largest]}" in str(caught.value.value)
    assert f'{brands}: {{"value_set": ["Arvo"]}} (more.json:10)' in str(caught.value.limit)
    assert largest in "".join(path.read_text() for path in (tmp_path / "check.refused" / "data_docs").rglob("*.html"))


def test_suites_are_part_of_the_key_and_stay_with_the_night(market_nights: Path, tmp_path: Path) -> None:
    suites = write_suite(tmp_path / "suites", "prices.json", PRICED)
    (suites / "README.md").write_text("what people say of them")
    assert check_market(market_nights, suites, tmp_path / "check").outcome == "written"
    assert (tmp_path / "check/expectations/prices.json").read_bytes() == (suites / "prices.json").read_bytes()
    assert check_market(market_nights, suites, tmp_path / "check").outcome == "unchanged"
    before = digest_of(tmp_path / "check")
    write_suite(suites, "prices.json", PRICED, {"type": "expect_column_to_exist", "kwargs": {"column": "price"}})
    assert check_market(market_nights, suites, tmp_path / "check").outcome == "written"
    assert digest_of(tmp_path / "check") != before


def _one(kind: str, column: str, least: float | str) -> str:
    return '{"expectations": [\n' + json.dumps({"type": kind, "kwargs": {"column": column, "min_value": least}}) + "]}"


@pytest.mark.parametrize(
    ("line", "named", "text"),
    [
        (3, "Expecting ',' delimiter", '{"expectations": [\n  {"type": "a"\n   "kwargs": {}}]}'),
        (1, "utf-8|invalid", b'{"name": "\xff"}'),
        (1, "valid dictionary", "[]"),
        (1, "expectations: Field required", '{\n  "name": "x"}'),
        (3, "Extra inputs", '{"expectations": [],\n\n "expectation_suite_name": "old"}'),
        (4, "kwargs: Field required", '{"expectations": [\n {"type": "a", "kwargs": {}},\n\n {"type": "b"}]}'),
        (2, "expect_column_max_to_be_between", _one("expect_column_maximum_to_be_between", "price", 1)),
        (2, "min_value: value is not", _one("expect_column_max_to_be_between", "price", "x")),
        (2, "no column prise; .*limit: listing_id, seller_id", _one("expect_column_max_to_be_between", "prise", 1)),
        (2, "at most 0 items", '{"expectations": [],\n "suite_parameters": {"a": 1}}'),
    ],
)  # fmt: skip
def test_a_broken_file_is_an_error_with_file_line_and_reason(
    tmp_path: Path, line: int, named: str, text: str | bytes
) -> None:
    (tmp_path / "suites").mkdir()
    path = tmp_path / "suites" / "prices.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    error = broken(path.parent)
    assert error.value == f"{path}:{line}"
    assert re.search(named, str(error))


@pytest.mark.parametrize("name", ["prices.yaml", "prices.JSON", "more"])
def test_what_is_no_suite_is_not_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / name).touch()
    assert re.search("only suites .*next: rename it", str(broken(tmp_path / "suites")))
