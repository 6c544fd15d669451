"""Find and read the listing files of a dump without Spark: names, formats, rows."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.core import ContractError

FORMATS = {".jsonl": "json", ".jsonl.gz": "json", ".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet"}


def listing_files(folder: Path) -> list[Path]:
    """Return the files of a dump that hold listings (``listings*``), by name; ContractError when there are none."""
    files = [path for path in sorted(folder.glob("listings*")) if path.is_file() and format_of(path)]
    if not files:
        limit = "listings*" + ", listings*".join(FORMATS)
        raise ContractError("the dump has no listing files", value=folder, limit=limit)
    return files


def format_of(path: Path) -> str | None:
    """Return json, csv or parquet by the file's suffix, None for anything else."""
    for suffix, name in FORMATS.items():
        if path.name.endswith(suffix):
            return name
    return None


def read_rows(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a listing file in bounded memory; lines that are not JSON objects are left out."""
    kind = format_of(path)
    if kind == "parquet":
        file = pq.ParquetFile(path)
        wanted = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        for batch in file.iter_batches(1024, columns=wanted):
            yield from batch.to_pylist()
    elif kind == "csv":
        with _open_text(path) as text:
            yield from csv.DictReader(text)
    else:
        with _open_text(path) as text:
            for line in text:
                row = _object(line)
                if row is not None:
                    yield row


def verify_readable(path: Path) -> None:
    """Read a compressed or Parquet file to its end; ContractError names a file that is cut off or damaged."""
    try:
        if path.name.endswith(".gz"):
            with gzip.open(path) as file:
                while file.read(1 << 20):
                    pass
        elif format_of(path) == "parquet":
            for _ in pq.ParquetFile(path, page_checksum_verification=True).iter_batches(1024):
                pass
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        raise ContractError(
            "a listing file is damaged or cut off", value=path, next_step="have the shop write the dump again"
        ) from error


def csv_header(path: Path) -> list[str]:
    """Return the column names of a CSV file."""
    with _open_text(path) as text:
        return next(csv.reader(text), [])


def _open_text(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
    return path.open("rt", encoding="utf-8-sig", errors="replace", newline="")


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
