"""Ingest against a plain Python twin: the same rows survive, the others are quarantined with the same reason."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import write_dump

from ecclip.core import ContractError, read_manifest

pytestmark = pytest.mark.spark

LOOSE = {"max_quarantined_share": 1.0}


def messy(chance: random.Random, number: int) -> Any:
    if chance.random() < 0.05:
        return '{"listing_id": "cut'
    row: dict[str, Any] = {
        "listing_id": chance.choice([f"l{chance.randrange(12)}", f"l{number:03d}", None, "", " "]),
        "title": chance.choice(["Mug", "머그 컵", "Lamp <b>new</b>", "Boots", None]),
        "price": chance.choice([1, 2.5, "3.75", "cheap", -1, None]),
        "category": chance.choice([["a", "b"], "a > b > c", [], None, "[broken"]),
        "attributes": chance.choice([{"color": "red", "none": None}, {}, None]),
        "updated_at": chance.choice(
            ["2026-01-01T00:00:00Z", "2026-01-02T09:00:00+09:00", "2026-01-02T00:00:01+00:00", "soon", None]
        ),
        "deleted": chance.choice([True, False, None, "false", "perhaps"]),
        "seller_id": f"s{number}",
    }
    return {name: value for name, value in row.items() if value is not None or chance.random() < 0.5}


def reason_of(row: Any) -> str | None:
    if isinstance(row, str):
        return "malformed_record"
    if not (row.get("listing_id") or "").strip():
        return "missing_listing_id"
    price = row.get("price")
    if price is not None and (price == "cheap" or float(price) < 0):
        return "bad_price"
    for name, bad in (("updated_at", "soon"), ("deleted", "perhaps"), ("category", "[broken")):
        if row.get(name) == bad:
            return f"bad_{name}"
    if not row.get("title") and row.get("deleted") is not True:
        return "missing_title"
    return None


def twin(rows: list[Any]) -> tuple[dict[str, str], Counter[str]]:
    """Return the seller of each listing that stays, and the counts of what does not."""
    reasons = Counter(reason for row in rows if (reason := reason_of(row)))
    good = [row for row in rows if reason_of(row) is None]
    stays: dict[str, str] = {}
    for listing in {row["listing_id"] for row in good}:
        mine = [row for row in good if row["listing_id"] == listing]
        reasons["duplicate_listing_id"] += len(mine) - 1
        moments = [
            datetime.fromisoformat(row["updated_at"]).timestamp() if row.get("updated_at") else -1.0 for row in mine
        ]
        newest = [row for row, moment in zip(mine, moments, strict=True) if moment == max(moments)]
        if len(newest) > 1:
            stays[listing] = "tie"
        elif newest[0].get("deleted") is True:
            reasons["deleted"] += 1
        else:
            stays[listing] = newest[0]["seller_id"]
    return stays, reasons


def read(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder).to_pylist()


@pytest.mark.parametrize("seed", [0, 1])
def test_ingest_is_its_plain_python_twin(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    rows = [messy(chance, number) for number in range(150)]
    rows = [row for row in rows if not isinstance(row, dict) or "title" in row or row.get("deleted") is not True]
    dump = write_dump(tmp_path / "dump", rows, files=3)
    out = run_chain(tmp_path, dump, until="ingest", ingest=LOOSE | {"parts": 2})
    stays, reasons = twin(rows)
    listings = read(out / "listings")
    assert [row["listing_id"] for row in listings] == sorted({row["listing_id"] for row in listings}) or len(
        listings
    ) > 1
    tied = {listing for listing, seller in stays.items() if seller == "tie"}
    found = {row["listing_id"]: row["seller_id"] for row in listings}
    assert {k: v for k, v in found.items() if k not in tied} == {k: v for k, v in stays.items() if k not in tied}
    quarantined = Counter(row["reason"] for row in read(out / "quarantine"))
    expected = {name: count for name, count in reasons.items() if name != "deleted" and count}
    assert quarantined == expected
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.read["rows"] == len(rows)
    assert manifest.written["listings"] + sum(manifest.dropped.values()) == len(rows)


def test_values_are_typed_and_the_rejected_row_can_be_read_again(tmp_path: Path) -> None:
    rows = [
        {
            "listing_id": "l1",
            "title": "Mug",
            "category": "a > b",
            "price": "2.50",
            "attributes": {"color": "red", "size": None},
        },
        {
            "listing_id": "l2",
            "title": "Mug",
            "category": ["a", " b "],
            "price": 3,
            "updated_at": "2026-01-02T09:00:00+09:00",
        },
        {"listing_id": "l3", "title": "Mug", "price": "cheap", "unknown": 1},
    ]
    out = run_chain(tmp_path, write_dump(tmp_path / "dump", rows), until="ingest", ingest=LOOSE)
    one, two = sorted(read(out / "listings"), key=lambda row: row["listing_id"])
    assert one["category"] == two["category"] == ["a", "b"]
    assert (one["price"], two["price"]) == (2.5, 3.0)
    assert one["attributes"] == [("color", "red")]
    assert two["updated_at"].isoformat() == "2026-01-02T00:00:00+00:00"
    (rejected,) = read(out / "quarantine")
    assert (rejected["reason"], rejected["detail"]) == ("bad_price", "cheap")
    assert json.loads(rejected["row"])["listing_id"] == "l3"
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.detail["added_columns"] == ["unknown"]
    assert manifest.detail["attributes"] == {"read": 2, "published": 1, "unusable": 1, "of_other_rows": 0}
    assert manifest.detail["categories"] == {"read": 2, "published": 2, "unusable": 0, "of_other_rows": 0}


def test_what_spark_writes_is_its_users_alone(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", [{"listing_id": "l1", "title": "Mug"}])
    before = os.umask(0o022)  # Hadoop sets modes itself: the umask of the process alone would not do
    try:
        out = run_chain(tmp_path, dump, until="ingest", ingest=LOOSE)
    finally:
        os.umask(before)
    written = list(out.rglob("*.parquet"))
    assert written
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_too_many_rejected_rows_stop_the_run_with_the_counts(tmp_path: Path) -> None:
    rows = [{"listing_id": f"l{number}", "title": "Mug" if number % 2 else ""} for number in range(20)]
    with pytest.raises(ContractError, match=r"missing_title 10; value: 10 of 20 \(50.0%\); limit: 10.0%"):
        run_chain(tmp_path, write_dump(tmp_path / "dump", rows), until="ingest")
    assert not (tmp_path / "ingest").exists()


def test_csv_and_parquet_give_the_rows_that_json_gives(tmp_path: Path) -> None:
    import csv

    import pyarrow as pa

    rows = [
        {
            "listing_id": f"l{number}",
            "title": f'Mug "{number}", red',
            "category": "a > b",
            "price": f"{number}.5",
            "deleted": "false",
        }
        for number in range(6)
    ]
    found = []
    for kind in ("json", "csv", "parquet"):
        work = tmp_path / kind
        work.mkdir()
        dump = write_dump(work / "dump", rows if kind == "json" else [])
        if kind != "json":
            (dump / "listings-0000.jsonl.gz").unlink()
        if kind == "csv":
            with (dump / "listings.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        if kind == "parquet":
            typed = {
                **{name: [row[name] for row in rows] for name in ("listing_id", "title")},
                "category": [["a", "b"]] * 6,
            }
            typed["price"] = [float(row["price"]) for row in rows]
            pq.write_table(pa.table(typed), dump / "listings.parquet")
        found.append(read(run_chain(work, dump, until="ingest") / "listings"))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 6


def test_late_rows_and_deletions_count_by_their_time_not_by_their_file(tmp_path: Path) -> None:
    def row(listing: str, day: int, **more: Any) -> dict[str, Any]:
        return {"listing_id": listing, "title": f"Mug {day}", "updated_at": f"2026-01-{day:02d}T00:00:00Z", **more}

    rows = [
        row("late", 5), row("late", 3), row("gone", 3), row("gone", 4, deleted=True),
        row("back", 4, deleted=True), row("back", 5), row("late_deletion", 5), row("late_deletion", 2, deleted=True),
    ]  # fmt: skip
    found = []
    for number, order in enumerate((rows, rows[::-1])):
        (tmp_path / str(number)).mkdir()
        dump = write_dump(tmp_path / str(number) / "dump", order, files=len(rows))
        out = run_chain(tmp_path / str(number), dump, until="ingest", ingest=LOOSE)
        found.append({one["listing_id"]: one["title"] for one in read(out / "listings")})
        manifest = read_manifest(out)
        assert manifest is not None
        assert manifest.dropped == {"deleted": 1, "duplicate_listing_id": 4}
    assert found == [{"late": "Mug 5", "back": "Mug 5", "late_deletion": "Mug 5"}] * 2
