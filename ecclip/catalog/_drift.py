"""Schema drift: say what changed before a single row is judged."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.catalog._contract import DUMP_FIELDS, KINDS, Field
from ecclip.catalog._files import csv_header, format_of, read_rows
from ecclip.core import ContractError

_NEXT = "ask the shop what changed, or rename the column with a mapping.yaml"


def refuse_drift(files: list[Path], sample_rows: int) -> list[str]:
    """Compare each file's columns with the dump contract; return the names of added columns, which may pass.

    JSON has no schema: its first ``sample_rows`` objects are looked at, and a field has another type when most of
    its values have.

    Raises:
        ContractError: a required column is missing, or a column has another type.
    """
    known = {field.name for field in DUMP_FIELDS}
    added: set[str] = set()
    headers: set[tuple[str, ...]] = set()
    for path in files:
        kind = format_of(path)
        if kind == "parquet":
            schema = pq.read_schema(path)
            columns = set(schema.names)
            wrong = [_wrong_arrow(field, schema) for field in DUMP_FIELDS]
        elif kind == "csv":
            header = csv_header(path)
            headers.add(tuple(header))
            columns, wrong = set(header), []
        else:
            rows = list(itertools.islice(read_rows(path), sample_rows))
            columns = {name for row in rows for name in row}
            wrong = [_wrong_json(field, rows) for field in DUMP_FIELDS]
        if columns or kind != "json":  # a JSON file without one good line says nothing about its columns
            _refuse(path, columns, [text for text in wrong if text])
        added |= columns - known
    if len(headers) > 1:
        raise ContractError("the CSV files of the dump have different headers", value=sorted(headers), next_step=_NEXT)
    return sorted(added)


def _refuse(path: Path, columns: set[str], wrong: list[str]) -> None:
    missing = [field.name for field in DUMP_FIELDS if field.required and field.name not in columns]
    if missing:
        raise ContractError(
            f"schema drift: a required column is missing: {', '.join(missing)}",
            value=f"{path.name} has {', '.join(sorted(columns))}",
            next_step=_NEXT,
        )
    if wrong:
        raise ContractError(
            f"schema drift: a column has another type: {'; '.join(wrong)}", value=path.name, next_step=_NEXT
        )


def _wrong_json(field: Field, rows: list[dict[str, Any]]) -> str | None:
    allowed = KINDS[field.kind].json
    found = Counter(type(row[field.name]) for row in rows if row.get(field.name) is not None)
    # bool is an int to Python, but a price of true is drift
    odd = {kind: count for kind, count in found.items() if kind not in allowed}
    if sum(odd.values()) * 2 <= found.total():
        return None
    names = ", ".join(sorted(kind.__name__ for kind in odd))
    return f"{field.name} is {names}, not {' or '.join(kind.__name__ for kind in allowed) or 'in JSON at all'}"


def _wrong_arrow(field: Field, schema: pa.Schema) -> str | None:
    if field.name not in schema.names:
        return None
    found = schema.field(field.name).type
    text = pa.types.is_string(found) or pa.types.is_large_string(found)
    checks = {
        "text": text,
        "path": text or pa.types.is_list(found) or pa.types.is_large_list(found),
        "map": text or pa.types.is_map(found) or pa.types.is_struct(found),
        "number": text or pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found),
        "flag": text or pa.types.is_boolean(found),
        "time": text or pa.types.is_timestamp(found),
        "bytes": pa.types.is_binary(found) or pa.types.is_large_binary(found),
    }
    if checks[field.kind] or pa.types.is_null(found):
        return None
    return f"{field.name} is {found}, not {field.kind}"
