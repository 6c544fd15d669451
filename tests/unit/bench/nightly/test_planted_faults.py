"""The catalog benchmark: its made-up shop is the same each time, planted faults are counted, it runs to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecclip.bench.nightly.planted import planted_faults
from ecclip.bench.nightly.texts import write_listings


def test_the_made_up_shop_is_the_same_each_time_and_grows_at_its_end(tmp_path: Path) -> None:
    for name, listings in (("a", 300), ("b", 300), ("c", 500)):
        write_listings(tmp_path / name, listings)
    rows = {name: pq.read_table(tmp_path / name / "listings").to_pylist() for name in "abc"}
    assert rows["a"] == rows["b"] == rows["c"][:300]
    assert len({row["listing_id"] for row in rows["c"]}) == 500
    titles = [row["title"] for row in rows["c"]]
    assert len(set(titles)) > 400


def test_a_planted_fault_is_found_where_the_night_says_so(tmp_path: Path) -> None:
    truth = {
        "listing_id": ["a", None, "c", "d", "e"],
        "faults": [["truncated_photo"], ["missing_id"], ["truncated_photo"], ["cmyk_photo"], ["cmyk_photo"]],
        "deleted": [False] * 5,
    }
    pq.write_table(pa.table(truth), tmp_path / "truth.parquet")
    for stage, reasons in (("ingest", ["missing_listing_id"]), ("clean", ["truncated"])):
        (tmp_path / stage / "quarantine").mkdir(parents=True)
        pq.write_table(pa.table({"reason": reasons}), tmp_path / stage / "quarantine" / "part-00000.parquet")
    (tmp_path / "snapshot" / "listings").mkdir(parents=True)
    photos = {"listing_id": ["a", "d", "e"], "image_error": ["truncated", None, "x"], "image_sha256": ["1", "2", "3"]}
    pq.write_table(pa.table(photos), tmp_path / "snapshot" / "listings" / "part-00000.parquet")
    found = planted_faults(tmp_path / "truth.parquet", tmp_path, tmp_path / "snapshot")
    assert found == {"missing_id": (1, 1), "truncated_photo": (2, 1), "cmyk_photo": (2, 1)}


@pytest.mark.slow
def test_the_benchmark_runs_to_its_end(tmp_path: Path) -> None:
    out = tmp_path / "catalog.json"
    command = [sys.executable, "-m", "ecclip.bench.catalog", "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    headline = json.loads(out.read_text())["headline"]
    assert {
        "growth_exponent",
        "one_percent_night_share",
        "image_stage_ratio",
        "group_precision",
        "group_recall",
    } <= set(headline)
