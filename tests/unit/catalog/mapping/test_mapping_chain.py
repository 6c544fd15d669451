"""What map writes is what landing and ingest read: photos are found, refused rows are quarantined for what they are."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import picture

from ecclip.catalog.mapping.map_dump import map_dump
from ecclip.core import read_manifest

pytestmark = pytest.mark.spark

HEADER = "ID,Type,SKU,Name,Regular price,Categories,Images,Parent,Attribute 1 name,Attribute 1 value(s)"


def test_an_export_with_bad_rows_reaches_ingest_with_every_row_published_or_quarantined(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    (shop / "img").mkdir(parents=True)
    lines = [HEADER]
    for number in range(20):
        (shop / "img" / f"{number}.jpg").write_bytes(picture(number))
        lines.append(
            f'{number},simple,s{number},Mug {number},"{number},50",Home > Mugs,"img/{number}.jpg, img/x.jpg",,Color,Red'
        )
    bad = [
        "21,simple,s21,Cup,5.00",
        "22,simple,s22,Tüte,5.00,,,,,".encode("cp1252"),
    ]
    data = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in [*lines, *bad]) + b"\n"
    (shop / "wc-product-export.csv").write_bytes(data)
    counts = map_dump(Path("woocommerce"), str(shop), tmp_path / "dump", "2026-11-01")
    assert counts.dropped == {"too_few_cells": 1, "undecodable_text": 1}

    work = tmp_path / "work"
    run_chain(work, tmp_path / "dump", until="ingest", ingest={"max_quarantined_share": 0.2})
    landed, ingested = read_manifest(work / "land"), read_manifest(work / "ingest")
    assert landed.written["photos"] == 20
    assert ingested.read["rows"] == counts.read["rows"] == 22
    kept = pq.read_table(work / "ingest" / "quarantine").to_pylist()
    found = {row["reason"]: row for row in kept}
    assert set(found) == {"too_few_cells", "undecodable_text"}
    assert found["too_few_cells"]["detail"].startswith("wc-product-export.csv:22: 5 cells")
    assert found["too_few_cells"]["row"].strip() == "21,simple,s21,Cup,5.00"
    listings = pq.read_table(work / "ingest" / "listings").to_pylist()
    assert {row["listing_id"]: row["price"] for row in listings} == {str(n): n + 0.5 for n in range(20)}
    assert all(row["updated_at"] is None and row["category"] == ["Home", "Mugs"] for row in listings)
