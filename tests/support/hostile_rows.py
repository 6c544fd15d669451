"""Rows, cells and files that must not cost more than themselves, each with the reason that it gets."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from chain import run_chain

from ecclip.core import Manifest, read_manifest

LOOSE: dict[str, dict[str, Any]] = {"ingest": {"max_quarantined_share": 1.0}, "clean": {"max_bad_photo_share": 1.0}}
MARKS = "a" + "\u0301\u0316" * 40_000


def plain(listing: str, **more: Any) -> dict[str, Any]:
    """Return a good row."""
    group = sum(listing.encode()) % 3
    return {"listing_id": listing, "title": f"Mug {listing}", "category": ["home", f"mugs {group}"], "price": 3, **more}


CELLS: dict[str, tuple[dict[str, Any], str | None]] = {
    "long_word": ({"title": "x" * 20_000}, "bad_title"),
    "marks_in_title": ({"title": MARKS}, "bad_title"),
    "marks": ({"description": MARKS}, None),
    "large_cell": ({"description": "x" * ((128 << 10) + 1)}, "bad_description"),
    "year_1": ({"updated_at": "0001-01-01T00:00:00+09:00"}, "bad_updated_at"),
    "year_9999": ({"updated_at": "9999-12-31T23:59:59-05:00"}, "bad_updated_at"),
    "deep_category": ({"category": " > ".join("abcdefghi")}, "bad_category"),
    "no_currency": ({"currency": "<b>"}, "bad_currency"),
    "comma": ({"price": "12,99"}, "bad_price"),
    "escapes": ({"title": "\x1b[31mMug\x07 [/red] \x00 [free gift]"}, None),
    "formula": ({"title": "=cmd|' /C calc'!A0"}, None),
    "huge_price": ({"price": "1e999"}, "bad_price"),
    "no_title": ({"title": "  "}, "missing_title"),
}
LINES: dict[str, str] = {
    "[" * 150_000: "nested_too_deep",
    '{"listing_id": "deep", "title": ' + "[" * 150_000: "nested_too_deep",
    '{"listing_id": "half", "title": "\\ud83c"}': "undecodable_text",
    '{"listing_id": "twice", "title": "a", "title": "b"}': "malformed_record",
    '{"listing_id": "cut", "ti': "malformed_record",
    "null": "malformed_record",
    '{"listing_id": "many", "title": "a", "attributes": '
    + json.dumps(dict.fromkeys(map(str, range(999)), "x"))
    + "}": ("bad_attributes"),
}


def csv_text(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    """Return rows as CSV; lists as JSON."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", delimiter=delimiter)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: json.dumps(cell) if isinstance(cell, list) else cell for name, cell in row.items()})
    return buffer.getvalue()


def packed_line(start: bytes, mib: int, end: bytes = b"") -> bytes:
    """Return, packed by gzip, ``start``, so many MiB of one letter without a line's end, and ``end``."""
    letters = gzip.compress(b"x" * (16 << 20), 1)  # once: members of a gzip file follow each other
    return gzip.compress(start) + letters * (mib // 16) + gzip.compress(end)


def ingested(work: Path, dump: Path, **configs: dict[str, Any]) -> tuple[Manifest, set[str], dict[str, int]]:
    """Run a dump to ingestion; return the manifest, the ids that are published and what was refused, by reason."""
    out = run_chain(work, dump, until="ingest", **(LOOSE | configs))
    manifest = read_manifest(out)
    assert manifest is not None
    assert_closed(manifest, out)
    published = {row["listing_id"] for row in pq.read_table(out / "listings").to_pylist()}
    return manifest, published, {name: count for name, count in manifest.dropped.items() if count}


def assert_closed(manifest: Manifest, out: Path) -> None:
    """Assert that rows read are those published and those refused by reason; the same for attributes and categories."""
    quarantined = pq.read_table(out / "quarantine").num_rows
    listings = pq.read_table(out / "listings", columns=["listing_id", "attributes", "category"]).to_pylist()
    assert manifest.read["rows"] == len(listings) + sum(manifest.dropped.values())
    assert quarantined == sum(manifest.dropped.values()) - manifest.dropped["deleted"]
    kept = {
        "attributes": sum(len(row["attributes"] or ()) for row in listings),
        "categories": sum(row["category"] is not None for row in listings),
    }
    for name, published in kept.items():
        counts = manifest.detail[name]
        assert counts["published"] == published
        assert counts["read"] == counts["published"] + counts["unusable"] + counts["of_other_rows"]
