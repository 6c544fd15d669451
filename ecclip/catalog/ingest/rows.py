"""The row model inside Spark: file splits in, parsed rows out; no row passes through the driver."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from ecclip.catalog.dump.cells import Limits, ParsedCells, parse_cells
from ecclip.catalog.dump.contract import DUMP_FIELDS, KINDS, PROBLEM_COLUMNS
from ecclip.catalog.dump.record import MALFORMED, ROW_PROBLEMS, Row, json_text, shown
from ecclip.catalog.ingest.splits import split_rows
from ecclip.catalog.spark.batches import arrow_batches, rows_of

_BATCH_ROWS = 512  # of an Arrow batch; photos inside rows are bounded by _BATCH_BYTES
_BATCH_BYTES = 32 << 20  # of an Arrow batch; bounds the memory
_TALLY = ("attributes_given", "attributes_kept", "categories_given", "categories_kept")
_EXTRA = {"reason": "string", "detail": "string", "row": "string", "content": "string"} | dict.fromkeys(_TALLY, "int")
_SPARK = {field.name: KINDS[field.kind].spark for field in DUMP_FIELDS} | _EXTRA
_ARROW = {
    "string": pa.string(),
    "array<string>": pa.list_(pa.string()),
    "map<string,string>": pa.map_(pa.string(), pa.string()),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
    "binary": pa.binary(),
    "int": pa.int32(),
}
_REASONS = {*ROW_PROBLEMS, *(f"bad_{field.name}" for field in DUMP_FIELDS), "missing_listing_id", "missing_title"}
PARSED_SCHEMA = ", ".join(f"{name} {kind}" for name, kind in _SPARK.items())
_SCHEMA = pa.schema([(name, _ARROW[kind]) for name, kind in _SPARK.items()])


def row_parser(limits: Limits) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what ``mapInArrow`` runs over splits: every row of them, parsed once, as ``PARSED_SCHEMA`` says."""

    def parse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = (parse_row(row, split, limits) for split in rows_of(batches) for row in split_rows(split))
        return arrow_batches(rows, _SCHEMA, _bytes_of, most_rows=_BATCH_ROWS, most_bytes=_BATCH_BYTES)

    return parse


def _bytes_of(row: dict[str, Any]) -> int:
    return len(row["image"] or b"") + len(row["row"])


def parse_row(row: Row, split: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Return a row of ``PARSED_SCHEMA``: the values and no reason, or the reason why it is refused."""
    refused = _refused(row, split)
    if refused is not None:
        return refused
    cells = {field.name: row.cells.get(field.name) for field in DUMP_FIELDS} if row.cells else {}
    parsed = parse_cells(cells, limits)
    image = cells.pop("image", None)
    text = row.text if row.text.startswith("{") else shown(json_text(cells))
    content = json.dumps(cells, sort_keys=True, default=str) + text
    hashed = hashlib.sha256(content.encode("utf-8", "backslashreplace"))
    hashed.update(image if isinstance(image, bytes) else b"")
    return {
        **parsed.values,
        "reason": parsed.reason,
        "detail": parsed.detail,
        "row": text,
        "content": hashed.hexdigest(),
        **_tally(cells, parsed),
    }


def _refused(row: Row, split: dict[str, Any]) -> dict[str, Any] | None:
    if row.problem is not None:
        place = f"{Path(split['path']).name}, line {row.line}" + (
            f" from byte {split['start']}" if split["start"] else ""
        )
        return _problem(row.problem, f"{place}: {row.detail}", row.text)
    problem, detail, raw = (row.cells.get(name) if row.cells else None for name in PROBLEM_COLUMNS)
    if problem is None:
        return None
    return _problem(_known(str(problem)), shown(str(detail or "")), shown(str(raw or "")))


def _known(reason: str) -> str:
    """Return a mapping's reason reduced to a known set, because it becomes a name in counts and metrics."""
    if reason in _REASONS:
        return reason
    return "bad_attributes" if reason.startswith("bad_") else MALFORMED


def _problem(reason: str, detail: str, text: str) -> dict[str, Any]:
    empty = dict.fromkeys(_SPARK) | dict.fromkeys(_TALLY, 0)
    content = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
    return {
        **empty,
        "reason": reason,
        "detail": detail[:500],
        "row": text,
        "content": content,
        **dict.fromkeys(_TALLY, 0),
    }


def _tally(cells: dict[str, Any], parsed: ParsedCells) -> dict[str, int]:
    """Return how many attributes and categories the row came with, and how many of them have a value."""
    attributes, category = cells.get("attributes"), cells.get("category")
    kept = len(parsed.values["attributes"] or ())
    return {
        "attributes_given": max(_length(attributes), kept),
        "attributes_kept": kept,
        "categories_given": int(bool(category.strip() if isinstance(category, str) else category)),
        "categories_kept": int(bool(parsed.values["category"])),
    }


def _length(attributes: Any) -> int:
    if isinstance(attributes, str):
        try:
            attributes = json.loads(attributes)
        except (ValueError, RecursionError):
            return 0
    return len(attributes) if isinstance(attributes, dict) else 0
