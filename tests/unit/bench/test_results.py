"""The format of results and the tables made from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ecclip.bench import Result, ResultError, Row, fill_tables, markdown, new_result, read_result, write_result

PAGE = "# Page\n\n<!-- results: speed -->\nold\n<!-- end -->\n\nbetween\n\n<!-- results: absent -->\n<!-- end -->\n"


def _result() -> Result:
    result = Result("ecclip bench speed", "0123456789abcdef", {"cpu": "one", "gpu": None}, "2026-11-22")
    result.add("step", "ecclip", "pairs/s", [30.0, 10.0, 20.123456])
    result.head(ratio=1.23456789)
    return result


def test_a_row_holds_median_and_ends_to_five_digits() -> None:
    assert _result().rows == [Row("step", "ecclip", 20.123, "pairs/s", 10.0, 30.0, 3)]
    assert _result().headline == {"ratio": 1.2346}


def test_what_is_written_is_read_again_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_result(_result(), tmp_path / "speed.json")
    assert read_result(tmp_path / "speed.json") == _result()
    assert [path.name for path in tmp_path.iterdir()] == ["speed.json"]
    assert list(json.loads((tmp_path / "speed.json").read_text())) == [
        "command",
        "commit",
        "date",
        "headline",
        "machine",
        "rows",
    ]


def test_a_figure_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    result = _result()
    result.headline["ratio"] = float("nan")
    with pytest.raises(ResultError, match=r"speed\.json"):
        write_result(result, tmp_path / "speed.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: values.pop("commit"),
        lambda values: values.update(host="some name"),
        lambda values: values["rows"][0].update(low=99.0),
        lambda values: values["rows"][0].pop("unit"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "speed.json"
    write_result(_result(), path)
    values = json.loads(path.read_text())
    damage(values)  # type: ignore[operator]
    path.write_text(json.dumps(values))
    with pytest.raises(ResultError, match=r"speed\.json"):
        read_result(path)


def test_a_machine_is_described_without_names_and_paths() -> None:
    import platform

    result = new_result("ecclip bench speed", threads=2)
    text = json.dumps(result.machine)
    assert platform.node() not in text
    assert "/" not in text
    assert result.machine["threads"] == 2
    assert {"cpu", "cores", "memory_gib", "gpu", "torch", "timm", "transformers"} <= set(result.machine)
    assert len(result.date) == len("2026-11-22")


def test_tables_stand_between_their_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    write_result(_result(), tmp_path / "speed.json")
    page = fill_tables(PAGE, tmp_path)
    assert page.startswith("# Page\n\n<!-- results: speed -->\n")
    assert "| step | ecclip | 20.12 | 10 to 30 | pairs/s | 3 |" in page
    assert "| `ratio` | 1.235 |" in page
    assert "old" not in page
    assert "\n\nbetween\n\n" in page
    assert "Not run: no `results/absent.json` is committed.\n<!-- end -->" in page
    assert fill_tables(page, tmp_path) == page


def test_rows_that_a_page_leaves_out_are_counted(tmp_path: Path) -> None:
    result = _result()
    result.add("warm-up, first", "ecclip", "s", [1.0])
    result.add("warm-up, second", "ecclip", "s", [2.0])
    write_result(result, tmp_path / "speed.json")
    page = PAGE.replace("speed -->", "speed without: warm-up, f | step 2 -->")
    filled = fill_tables(page, tmp_path)
    assert fill_tables(filled, tmp_path) == filled
    assert "| step | ecclip |" in filled
    assert "| warm-up, second |" in filled
    assert "warm-up, first" not in filled
    assert "\n1 more rows are in the file.\n" in filled
    assert "more rows" not in fill_tables(PAGE, tmp_path)


def test_a_table_says_what_made_it() -> None:
    last = markdown(_result()).splitlines()[-1]
    assert last == "`ecclip bench speed`, 2026-11-22, commit `0123456789ab`; cpu one."
    single = replace(_result(), rows=[Row("size", "ecclip", 1234.0, "MiB", 1234.0, 1234.0, 1)])
    assert "| size | ecclip | 1,234 |  | MiB | 1 |" in markdown(single)
