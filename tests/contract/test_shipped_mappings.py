"""The shipped mappings load, speak the dump contract, and turn the real files into what they promise."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ecclip.catalog.dump.contract import DUMP_FIELDS, PROBLEM_COLUMNS
from ecclip.catalog.mapping.map_dump import load_mapping, map_dump, shipped_mappings

NAMES = sorted(shipped_mappings())


def data(name: str) -> Path:
    root = os.environ.get("ECCLIP_TEST_DATA")
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"ECCLIP_TEST_DATA does not hold {name}")
    return Path(root) / name


def mapped(name: str, output: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    counts = map_dump(Path(name), str(data(name)), output, "2026-11-01")
    rows = [row for path in sorted(output.glob("listings-*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert len(rows) == counts.read["rows"] == counts.written["listings"]
    return rows, counts.written


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_mapping_loads(name: str) -> None:
    assert load_mapping(Path(name)).columns.listing_id.source_columns()


@pytest.mark.parametrize("name", ["flipkart1050", "hm_articles", "myntra_fashion"])
def test_a_mapped_dump_has_the_fields_of_the_contract(name: str, tmp_path: Path) -> None:
    map_dump(Path(name), str(data(name)), tmp_path / "out", "2026-11-01", limit=50)
    schema = pq.read_schema(tmp_path / "out" / "listings-0000.parquet")
    assert schema.names == [*(field.name for field in DUMP_FIELDS), *PROBLEM_COLUMNS]
    assert (tmp_path / "out" / "_SUCCESS").is_file()


def test_myntra(tmp_path: Path) -> None:
    rows, written = mapped("myntra_fashion", tmp_path / "out")
    assert written == {"listings": 8844, "photos": 8584}
    assert len({row["listing_id"] for row in rows}) == 8844
    shirt = next(row for row in rows if row["listing_id"] == "15970")
    assert shirt["title"] == "Turtle Check Men Navy Blue Shirt"
    assert shirt["category"] == ["Apparel", "Topwear", "Shirts"]
    assert dict(shirt["attributes"]) == {"color": "navy blue", "gender": "men", "season": "fall", "usage": "casual"}
    assert shirt["image"][:2] == b"\xff\xd8"
    assert shirt["brand"] is None
    assert sum("color" in dict(row["attributes"]) for row in rows) == 8841


def test_flipkart(tmp_path: Path) -> None:
    rows, written = mapped("flipkart1050", tmp_path / "out")
    assert written == {"listings": 1050, "photos": 1047}
    by_title = {row["title"]: row for row in rows}
    assert by_title["palito PLO 166 Analog Watch  - For Girls, Women"]["category"] == ["Watches", "Wrist Watches"]
    curtain = by_title["Elegance Polyester Multicolor Abstract Eyelet Door Curtain"]
    assert curtain["category"] == ["Home Furnishing", "Curtains & Accessories", "Curtains"]
    assert (curtain["price"], curtain["currency"]) == ("899", "INR")
    assert curtain["updated_at"] == "2016-04-30T03:22:56+00:00"
    assert dict(curtain["attributes"])["material"] == "polyester"
    told = Counter(name for row in rows for name, _ in row["attributes"] or [])
    assert told["type"] == 728
    assert told["brand"] == 566
    assert {row["title"] for row in rows if row["age_restricted"]} >= {"Arsalan 10.5 inch Glass Hookah"}
    assert sum(row["age_restricted"] for row in rows) == 4


def test_hm(tmp_path: Path) -> None:
    rows, written = mapped("hm_articles", tmp_path / "out")
    assert written == {"listings": 2531, "photos": 2011}
    top = next(row for row in rows if row["listing_id"] == "0108775044")
    assert (top["title"], top["catalog_id"]) == ("Strap top", "108775")
    assert top["category"] == ["Garment Upper body", "Vest top"]
    assert dict(top["attributes"])["color"] == "white"
    assert top["description"] == "Jersey top with narrow shoulder straps."
    assert len({row["catalog_id"] for row in rows}) == 1881
