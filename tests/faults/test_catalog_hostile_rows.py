"""A hostile cell costs its row: it is quarantined with its reason, and every other row is published."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import write_dump
from hostile_rows import CELLS, LINES, LOOSE, csv_text, ingested, plain

from ecclip.core import read_manifest

pytestmark = [pytest.mark.spark, pytest.mark.fault(36)]


def test_every_good_row_is_published_and_every_bad_one_counted_through_the_gate_and_cleaning(tmp_path: Path) -> None:
    good = [plain(f"good{number}") for number in range(30)]
    cells = [plain(name, **cell) for name, (cell, _) in CELLS.items()]
    rows = [row for pair in zip(good, [*cells, *LINES], strict=False) for row in pair] + good[len(cells) + len(LINES) :]
    out = run_chain(tmp_path, write_dump(tmp_path / "dump", rows, files=2), until="clean", **LOOSE)
    published = {row["listing_id"]: row for row in pq.read_table(out / "listings").to_pylist()}
    harmless = {name for name, (_, reason) in CELLS.items() if reason is None}
    assert set(published) == {row["listing_id"] for row in good} | harmless
    assert published["escapes"]["title"] == "Mug [/red] [free gift]"
    manifest = read_manifest(tmp_path / "ingest")
    assert manifest is not None
    expected = Counter([*LINES.values(), *(reason for _, reason in CELLS.values() if reason)])
    assert {name: count for name, count in manifest.dropped.items() if count} == expected
    assert manifest.read["rows"] == len(rows)


def test_the_same_cells_cost_their_rows_in_csv_and_in_parquet(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", [])
    (dump / "listings-0000.jsonl.gz").unlink()
    for kind in ("csv", "parquet"):
        rows = [plain(f"{kind}-{name}", **cell) for name, (cell, _) in CELLS.items()] + [plain(f"{kind}-good")]
        if kind == "csv":
            with gzip.open(dump / "listings.csv.gz", "wt", encoding="utf-8", newline="") as file:
                file.write(csv_text(rows))
        else:
            lists = [
                {**row, "category": row["category"] if isinstance(row["category"], list) else list("abcdefghi")}
                for row in rows
            ]
            texts = [{**row, "price": str(row["price"])} for row in lists]
            pq.write_table(pa.Table.from_pylist(texts, _schema(texts)), dump / "listings.parquet")
    manifest, published, dropped = ingested(tmp_path / "work", dump)
    harmless = [name for name, (_, reason) in CELLS.items() if reason is None] + ["good"]
    assert published == {f"{kind}-{name}" for kind in ("csv", "parquet") for name in harmless}
    assert dropped == {name: 2 * count for name, count in Counter(r for _, r in CELLS.values() if r).items()}
    assert manifest.read["rows"] == 2 * (len(CELLS) + 1)


def _schema(rows: list[dict[str, object]]) -> pa.Schema:
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema([(name, pa.list_(pa.string()) if name == "category" else pa.string()) for name in names])
