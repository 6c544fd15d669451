"""The ingest stage against its plain twin: the same rows, typed and written by two Python processes."""

from __future__ import annotations

import json
import multiprocessing
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.bench.nightly.texts import write_listings
from ecclip.catalog.ingest.stage import IngestConfig, ingest
from ecclip.core import write_atomic
from ecclip.formats.snapshot import LISTINGS

_PROCESSES = 2  # one per core of the reference machine
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("listing_id", "title", "brand", "currency", "catalog_id")]
    + [("price", pa.float64()), ("category", pa.list_(pa.string()))]
    + [("attributes", pa.map_(pa.string(), pa.string())), ("updated_at", pa.timestamp("us", tz="UTC"))]
)


class IngestRates(NamedTuple):
    """Rows per second of the stage and of its twin; both read JSONL and write typed Parquet."""

    rows: int
    stage: float
    twin: float


def ingest_rates(folder: Path, rows: int) -> IngestRates:
    """Ingest ``rows`` made-up rows below ``folder`` by both; Spark and both processes are started before the clock.

    The twin parses, types and writes. It neither detects repeated ids nor keeps a quarantine, which both need all rows
    at once.
    """
    _write_dump(folder / "landed", rows)
    _write_dump(folder / "few", 100)
    ingest(IngestConfig.model_validate({}), folder / "few", folder / "warm")
    started = time.perf_counter()
    ingest(IngestConfig.model_validate({}), folder / "landed", folder / "stage")
    stage = time.perf_counter() - started
    (folder / "twin").mkdir()
    files = sorted((folder / "landed" / LISTINGS).glob("*.jsonl"))
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        pool.map(abs, range(_PROCESSES))
        started = time.perf_counter()
        written = sum(pool.starmap(_ingest, [(file, folder / "twin" / f"{file.stem}.parquet") for file in files]))
        twin = time.perf_counter() - started
    if written != rows:
        raise ValueError(f"the twin wrote {written} rows of {rows}")
    return IngestRates(rows, rows / stage, rows / twin)


def _write_dump(folder: Path, rows: int) -> None:
    write_listings(folder / "source", rows)
    (folder / LISTINGS).mkdir()
    for part in sorted((folder / "source" / LISTINGS).glob("*.parquet")):
        lines = []
        for row in pq.read_table(part, columns=[name for name in _SCHEMA.names if name != "updated_at"]).to_pylist():
            row["attributes"] = dict(row["attributes"])
            lines.append(json.dumps({**row, "updated_at": "2026-11-01T00:00:00+00:00"}) + "\n")
        write_atomic(folder / LISTINGS / f"listings-{part.stem}.jsonl", "".join(lines))


def _ingest(source: Path, target: Path) -> int:
    with source.open(encoding="utf-8") as lines:
        table = pa.Table.from_pylist([_typed(json.loads(line)) for line in lines], schema=_SCHEMA)
    pq.write_table(table, target)
    return int(table.num_rows)


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    texts = {name: str(row[name]).strip() or None for name in _SCHEMA.names[:5] if row[name] is not None}
    return {
        **texts,
        "price": float(row["price"]),
        "category": [part.strip() for part in row["category"]],
        "attributes": list(row["attributes"].items()),
        "updated_at": datetime.fromisoformat(row["updated_at"]),
    }
