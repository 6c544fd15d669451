"""Foreign tables as they come: prices, encodings, quotes, other names of columns, rows that cannot be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecclip.catalog.mapping.map_dump import load_mapping, map_dump
from ecclip.catalog.mapping.model import Mapping
from ecclip.core import ConfigError, ContractError, Counts

PRICES = ["12,99", "4,20", "1.299,00 €", "1 299,50 €", "1'299.00", "15,-", "EUR 7,5", "1.299", "19.99"]


def run(source: Path, declared: dict[str, Any], output: Path) -> tuple[list[dict[str, Any]], Counts]:
    columns = {"listing_id": "id", "title": "name", **declared.pop("columns", {})}
    table = {"format": "csv", "files": ["*"], **declared.pop("source", {})}
    mapping = Mapping.model_validate({"source": table, "columns": columns, **declared})
    counts = map_dump(mapping, str(source), output, "2026-11-01")
    rows = [row for path in sorted(output.glob("listings-*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert counts.read["rows"] == counts.written["listings"] + sum(counts.dropped.values())
    assert sum(row["_problem"] is None for row in rows) == counts.written["listings"]
    return rows, counts


def priced(folder: Path, prices: list[str]) -> Path:
    folder.mkdir()
    lines = ["id;name;price", *[f"{number};x;{price}" for number, price in enumerate(prices)]]
    (folder / "a.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_price_that_can_be_read_in_two_ways_is_asked_for(tmp_path: Path) -> None:
    source = priced(tmp_path / "shop", PRICES)
    with pytest.raises(
        ConfigError, match=r"columns\.price \(column price\).*1\.299;.*5 with ',', 2 with '\.'.*decimal"
    ):
        run(source, {"columns": {"price": "price"}}, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    declared = {"column": "price", "number": {"decimal": ","}}
    rows, _ = run(source, {"columns": {"price": declared, "currency": {"constant": "EUR"}}}, tmp_path / "out")
    assert [row["price"] for row in rows] == [
        "12.99",
        "4.20",
        "1299.00",
        "1299.50",
        "1299.00",
        "15",
        "7.5",
        "1299",
        "19.99",
    ]


@pytest.mark.parametrize(("last", "expected"), [("4,20", "1299"), ("4.20", "1.299")])
def test_the_column_decides_what_one_price_leaves_open(tmp_path: Path, last: str, expected: str) -> None:
    rows, _ = run(priced(tmp_path / "shop", ["1.299", "7", last]), {"columns": {"price": "price"}}, tmp_path / "out")
    assert rows[0]["price"] == expected


def test_a_column_of_nothing_but_open_prices_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"1\.299, 2\.450.*none"):
        run(priced(tmp_path / "shop", ["1.299", "2.450", "7"]), {"columns": {"price": "price"}}, tmp_path / "out")


@pytest.mark.parametrize(
    ("prices", "currency"),
    [
        (["12,900원", "8,500원"], None),
        (["12,900", "8,500"], {"constant": "KRW"}),
        (["12.900 ₫"], {"column": "price", "currency": True}),
    ],
)
def test_a_currency_without_decimals_leaves_nothing_open(tmp_path: Path, prices: list[str], currency: Any) -> None:
    columns = {"price": "price", "currency": currency}
    rows, _ = run(priced(tmp_path / "shop", prices), {"columns": columns}, tmp_path / "out")
    assert rows[0]["price"] == "12900"


def test_numbers_that_are_numbers_are_taken_as_they_are(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1", "2"], "name": ["x", "y"], "price": [1.299, 12.5]}), tmp_path / "a.parquet")
    source = {"format": "parquet", "files": ["a.parquet"]}
    rows, _ = run(tmp_path, {"source": source, "columns": {"price": "price"}}, tmp_path / "out")
    assert [row["price"] for row in rows] == ["1.299", "12.5"]


def test_what_is_no_price_costs_its_row_only(tmp_path: Path) -> None:
    rows, counts = run(
        priced(tmp_path / "shop", ["5-7", "ask us", "3만원", "", "12.50"]),
        {"columns": {"price": "price"}},
        tmp_path / "out",
    )
    assert counts.dropped == {"bad_price": 3}
    assert [row["price"] for row in rows] == [None, None, None, None, "12.50"]
    assert rows[0]["_detail"] == "a.csv:2: 5-7"
    assert rows[0]["_raw"] == "0;x;5-7\n"


def test_minor_units(tmp_path: Path) -> None:
    source = priced(tmp_path / "shop", ["1299", "5", "12.5"])
    price = {"column": "price", "number": {"minor_units": "currency"}}
    for currency, expected in (("EUR", "12.99"), ("JPY", "1299"), ("KWD", "1.299")):
        rows, counts = run(source, {"columns": {"price": price, "currency": {"constant": currency}}}, tmp_path / "out")
        assert rows[0]["price"] == expected
        assert counts.dropped == {"bad_price": 1}
    rows, _ = run(source, {"columns": {"price": {"column": "price", "number": {"minor_units": 2}}}}, tmp_path / "out")
    assert [row["price"] for row in rows] == ["12.99", "0.05", None]


def test_the_currency_stands_beside_the_price(tmp_path: Path) -> None:
    source = priced(tmp_path / "shop", ["12.99 USD", "1,299.00 €", "5.00", "1.00 EUR USD 2"])
    columns = {"price": "price", "currency": {"column": "price", "currency": True}}
    rows, counts = run(source, {"columns": columns}, tmp_path / "out")
    assert [(row["price"], row["currency"]) for row in rows[:3]] == [
        ("12.99", "USD"),
        ("1299.00", "EUR"),
        ("5.00", None),
    ]
    assert sum(counts.dropped.values()) == 1


def test_a_sign_of_several_currencies_is_asked_for(tmp_path: Path) -> None:
    source = priced(tmp_path / "shop", ["$12.99", "$5.00"])
    columns = {"price": "price", "currency": {"column": "price", "currency": True}}
    with pytest.raises(ConfigError, match=r"\$ in 2 rows.*currency"):
        run(source, {"columns": dict(columns)}, tmp_path / "out")
    columns["currency"] = {"column": "price", "currency": {"$": "CAD"}}
    rows, _ = run(source, {"columns": columns}, tmp_path / "out")
    assert {row["currency"] for row in rows} == {"CAD"}
    with pytest.raises(ValueError, match="DOLLAR is not a code of ISO 4217"):
        run(source, {"columns": {"currency": {"column": "price", "currency": {"$": "DOLLAR"}}}}, tmp_path / "out")


def test_a_price_in_another_currency_than_declared_costs_its_row(tmp_path: Path) -> None:
    source = priced(tmp_path / "shop", ["12.99 €", "12.99 USD", "12.99"])
    rows, counts = run(source, {"columns": {"price": "price", "currency": {"constant": "EUR"}}}, tmp_path / "out")
    assert counts.dropped == {"bad_currency": 1}
    assert rows[1]["_problem"] == "bad_currency"


@pytest.mark.parametrize("encoding", ["cp1252", "cp949", "utf-16", "shift_jis"])
def test_a_wrong_encoding_is_an_error_that_proposes_the_right_one(tmp_path: Path, encoding: str) -> None:
    words = {"cp949": "머그컵 블랙 대용량", "shift_jis": "マグカップ 黒 大容量"}.get(encoding, "Größe für Äpfel, Küche")
    text = "id;name\n" + "".join(f"{number};{words} {number}\n" for number in range(40))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.csv").write_bytes(text.encode(encoding))
    if encoding != "utf-16":  # its byte order mark tells it
        with pytest.raises(ContractError, match=r"undecodable_text 40.*a\.csv:2.*source\.encoding.*look like"):
            run(tmp_path / "shop", {}, tmp_path / "out")
    rows, _ = run(tmp_path / "shop", {"source": {"encoding": encoding}}, tmp_path / "out")
    assert rows[7]["title"] == f"{words} 7"


def test_one_line_that_is_not_utf_8_costs_itself_only(tmp_path: Path) -> None:
    data = b"id,name\n" + b"".join(b"%d,mug\n" % number for number in range(30)) + "31,Größe\n".encode("cp1252")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.csv").write_bytes(data)
    rows, counts = run(tmp_path / "shop", {}, tmp_path / "out")
    assert counts.dropped == {"undecodable_text": 1}
    assert "Gr\\xf6\\xdfe" in rows[-1]["_raw"]


def test_rows_that_do_not_fit_the_header_are_an_error_that_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.csv").write_text("id,name\n" + "1,a, b\n" * 20)
    with pytest.raises(ContractError, match=r"too_many_cells 20.*20 of 20; first a\.csv:2: 3 cells.*quote"):
        run(tmp_path / "shop", {}, tmp_path / "out")


def test_empty_cells_beyond_the_header_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.csv").write_text("id;name\n1;a;\n2;b;;;\n3;c\n")
    rows, counts = run(tmp_path / "shop", {}, tmp_path / "out")
    assert [row["title"] for row in rows] == ["a", "b", "c"]
    assert counts.dropped == {}


def test_two_columns_of_one_name_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.csv").write_text("id,name,author,author\n1,a,b,c\n")
    with pytest.raises(ContractError, match=r"a\.csv.*one name: author"):
        run(tmp_path / "shop", {}, tmp_path / "out")


def test_columns_are_found_in_any_case_and_under_other_names(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.csv").write_text("ID, Titel ,Farbe 1,Size,size\n1,a,red,L,M\n")
    attributes = {"named": [], "columns": {"color": "color {n}".replace("{n}", "1")}}
    source = {"aliases": {"name": ["Bezeichnung", "titel"], "color {n}": ["farbe {n}"]}}
    rows, _ = run(tmp_path / "shop", {"source": source, "attributes": attributes}, tmp_path / "out")
    assert (rows[0]["listing_id"], rows[0]["title"], rows[0]["attributes"]) == ("1", "a", [("color", "red")])
    with pytest.raises(ConfigError, match=r"columns\.brand names a column.*SIZE.*aliases"):
        run(tmp_path / "shop", {"source": source, "columns": {"brand": "SIZE"}}, tmp_path / "out")
    rows, _ = run(
        tmp_path / "shop",
        {"source": source, "columns": {"brand": {"column": "maker", "optional": True}}},
        tmp_path / "out",
    )
    assert rows[0]["brand"] is None


def test_a_dump_that_is_mapped_for_another_night_has_the_same_listings(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.csv").write_text("id,name\n1,a\n")
    mapping = Mapping.model_validate(
        {"source": {"format": "csv", "files": ["*"]}, "columns": {"listing_id": "id", "title": "name"}}
    )
    for night in ("2026-11-01", "2026-11-02"):
        map_dump(mapping, str(tmp_path / "shop"), tmp_path / night, night)
    first, second = (tmp_path / night / "listings-0000.parquet" for night in ("2026-11-01", "2026-11-02"))
    assert first.read_bytes() == second.read_bytes()
    assert pq.read_table(first).column("updated_at").to_pylist() == [None]


def test_hostile_lines_cost_themselves_only(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    good = [json.dumps({"id": number, "name": f"mug {number}"}) for number in range(90)]
    bad = [
        "[" * 100_000,
        '{"id": 1, "name": "\\ud83c"}',
        '{"id": 2, "name": ' + "[" * 900 + "]" * 900 + "}",
        "{",
        '"text"',
        "\x00",
    ]
    (tmp_path / "shop" / "a.jsonl").write_text("\n".join([*good[:50], *bad, *good[50:]]) + "\n")
    rows, counts = run(tmp_path / "shop", {"source": {"format": "jsonl"}}, tmp_path / "out")
    assert counts.written["listings"] == 90
    assert counts.dropped == {"malformed_record": 3, "nested_too_deep": 2, "undecodable_text": 1}
    assert [row["_detail"].split(":")[1] for row in rows if row["_problem"]] == [str(line) for line in range(51, 57)]


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=3, max_size=3), min_size=1, max_size=8
    )
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_row_of_any_json_is_a_listing_or_counted(tmp_path: Path, cells: list[list[str]]) -> None:
    source = tmp_path / "shop"
    source.mkdir(exist_ok=True)
    (source / "a.jsonl").write_text(
        "".join(json.dumps(dict(zip(("id", "name", "more"), row, strict=True))) + "\n" for row in cells)
    )
    declared = {
        "source": {"format": "json"},
        "columns": {
            "category": {"column": "more", "split": ","},
            "price": {"column": "more", "number": {"decimal": "."}},
        },
        "limits": {"refused_rows": 1},
    }
    (source / "b.jsonl").write_text('{"id": "good", "name": "mug", "more": "1"}\n')
    _, counts = run(source, declared, tmp_path / "out")
    assert counts.read["rows"] == len(cells) + 1


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("05-decimal-comma", None),
        ("07-tsv-quotes", 40),
        ("10-lone-surrogate", 2),
        ("11-min-date", 10),
        ("16-duplicate-header", None),
    ],
)
def test_cases(tmp_path: Path, name: str, ids: int | None) -> None:
    root = os.environ.get("ECCLIP_TEST_CASES")
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"ECCLIP_TEST_CASES does not hold {name}")
    folder = Path(root) / name
    mapping = load_mapping(folder / "mapping.yaml")
    if ids is None:
        with pytest.raises((ConfigError, ContractError), match="ambiguous"):
            map_dump(mapping, str(folder), tmp_path / "out", "2026-11-01")
        return
    counts = map_dump(mapping, str(folder), tmp_path / "out", "2026-11-01")
    assert counts.written["listings"] == ids
    assert counts.read["rows"] == ids + sum(counts.dropped.values())


def test_what_map_prints_of_an_export_is_text(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    escape = "\x1b]x;owned\x07\x1b[m[/red][bold]"
    (tmp_path / "shop" / "a.csv").write_text(f"id,name,price\n1,mug,1.299 {escape}\n2,cup,2.450\n")
    mapping = tmp_path / "m.yaml"
    mapping.write_text(
        "source: {format: csv, files: ['*.csv']}\ncolumns: {listing_id: id, title: name, price: price}\n"
    )
    command = [sys.executable, "-c", "from ecclip.cli import main; main()", "catalog", "map", str(tmp_path / "shop")]
    command += ["--mapping", str(mapping), "--night", "2026-11-01"]
    environment = {**os.environ, "ECCLIP_WORKSPACE": str(tmp_path), "FORCE_COLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1.299" in done.stderr
    assert "[/red][bold]" in done.stderr
    assert "\x07" not in done.stderr + done.stdout
    assert "\x1b]" not in done.stderr + done.stdout


def test_an_attribute_may_be_a_number_too(tmp_path: Path) -> None:
    attributes = {"columns": {"weight": {"column": "price", "number": {"decimal": ","}}}}
    rows, counts = run(
        priced(tmp_path / "shop", ["1.299 kg", "2,5 kg", "", "1-2 kg"]), {"attributes": attributes}, tmp_path / "out"
    )
    assert [row["attributes"] for row in rows[:3]] == [[("weight", "1299")], [("weight", "2.5")], None]
    assert counts.dropped == {"bad_attributes": 1}


def test_a_flag_that_nobody_knows_costs_its_row_and_is_not_forgotten(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name,gone,adult\n1,x,ja,ja\n2,x,nein,nein\n3,x,,maybe\n4,x,perhaps,\n5,x,,\n")
    declared = {"columns": {"deleted": "gone"}, "age_restricted": "adult"}
    rows, counts = run(tmp_path / "a.csv", declared, tmp_path / "out")
    assert counts.dropped == {"bad_age_restricted": 1, "bad_deleted": 1}
    kept = {row["listing_id"]: (row["deleted"], row["age_restricted"]) for row in rows if row["_problem"] is None}
    assert kept == {"1": (True, True), "2": (False, False), "5": (False, None)}


def test_many_unknown_flags_are_an_error_that_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name,adult\n" + "".join(f"{n},x,{n % 2 and 'x'}\n" for n in range(40)))
    with pytest.raises(ContractError, match=r"bad_age_restricted 20.*age_restricted in the mapping"):
        run(tmp_path / "a.csv", {"age_restricted": "adult"}, tmp_path / "out")


def test_the_name_of_a_currency_is_not_no_currency(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name,price,cur\n1,x,3,Euro\n2,x,3,€\n3,x,3,eur\n4,x,3,\n")
    currency = {"column": "cur", "currency": True}
    rows, counts = run(tmp_path / "a.csv", {"columns": {"price": "price", "currency": currency}}, tmp_path / "out")
    assert counts.dropped == {"bad_currency": 1}
    assert [row["currency"] for row in rows] == [None, "EUR", "EUR", None]


def test_a_list_or_an_object_is_no_text_and_a_rounded_number_no_identity(tmp_path: Path) -> None:
    given: list[tuple[Any, Any, Any]] = [
        (["x"], "x", None),
        (True, "x", None),
        (12345678901234567.0, "x", None),
        ("1", {"en": "x"}, None),
        ("2", "x", [{"id": "A"}]),
        ("3", "x", {"id": "A"}),
        ("4", "x", "['A', 'B']"),
        ("5", "x", '["A", "B"]'),
        (17, 5, "A &gt; B"),
        (17.0, "x", "A -> B"),
        ("00017", "x", [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}]),
    ]
    lines = [json.dumps({"id": key, "name": name, "cat": cat}) for key, name, cat in given]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    declared = {"source": {"format": "jsonl"}, "columns": {"category": "cat"}, "limits": {"refused_rows": 1}}
    rows, counts = run(tmp_path / "a.jsonl", declared, tmp_path / "out")
    assert counts.dropped == {"bad_listing_id": 3, "bad_title": 1, "bad_category": 3}
    kept = [(row["listing_id"], row["category"]) for row in rows if row["_problem"] is None]
    assert kept == [(key, ["A", "B"]) for key in ("5", "17", "17", "00017")]


def test_an_entity_stands_between_the_names_of_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name,cat\n1,x,Home &amp; Garden &gt; Pots\n")
    split = {"columns": {"category": {"column": "cat", "split": ">"}}}
    rows, _ = run(tmp_path / "a.csv", split, tmp_path / "out")
    assert rows[0]["category"] == ["Home &amp; Garden", "Pots"]


def test_pattern_characters_in_the_name_of_the_export_are_a_name(tmp_path: Path) -> None:
    source = tmp_path / "export [1]*"
    source.mkdir()
    (source / "a.csv").write_text("id,name\n00017,Mug\n")
    rows, _ = run(source, {"source": {"files": ["*.csv"]}}, tmp_path / "out")
    assert [row["listing_id"] for row in rows] == ["00017"]
