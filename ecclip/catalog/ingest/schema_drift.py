"""Schema drift: report what changed before a single row is parsed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.catalog.dump.contract import DUMP_FIELDS, KINDS, PROBLEM_COLUMNS, Field, Kind
from ecclip.catalog.dump.csv_records import refuse_repeated
from ecclip.catalog.dump.listing_files import csv_header, format_of, read_rows
from ecclip.catalog.dump.record import shown
from ecclip.core import ContractError

_TEXT_ONLY = ("listing_id",)  # an identifier that was once a number has lost its leading zeros
_NAMES, _NAME_CHARACTERS = 200, 200  # a stranger's JSON may have a different key in every row
_NEXT = "ask the shop what changed, or rename the column with a mapping.yaml"


def refuse_drift(files: list[Path], sample_rows: int) -> list[str]:
    """Compare each file's columns with the dump contract; return the names of added columns, which may pass.

    Files may differ in the types that the contract allows (a price as int, as float and as text) and in the columns
    that they have: each cell is parsed by its own field. JSON has no schema: its first ``sample_rows`` objects are
    looked at, and a field has another type when most of its values have.

    Raises:
        ContractError: a required column is missing, a column has another type, or two columns have one name.
    """
    known = {*(field.name for field in DUMP_FIELDS), *PROBLEM_COLUMNS}
    added: set[str] = set()
    for path in files:
        columns, wrong = _FINDERS[format_of(path) or "json"](path, sample_rows)
        if columns:  # an empty file, or JSON without one good line, says nothing about its columns
            _refuse(path, columns, [text for text in wrong if text])
        added |= columns - known
    return sorted(shown(name)[:_NAME_CHARACTERS] for name in added)[:_NAMES]


def _of_parquet(path: Path, _sample_rows: int) -> tuple[set[str], list[str | None]]:
    schema = pq.read_schema(path)
    refuse_repeated(schema.names)
    return set(schema.names), [_wrong_arrow(field, schema) for field in DUMP_FIELDS]


def _of_csv(path: Path, _sample_rows: int) -> tuple[set[str], list[str | None]]:
    names = csv_header(path)
    columns = {name for name in names if name} or {"" for _ in names[:1]}
    held = [field for field in DUMP_FIELDS if field.kind == "bytes" and field.name in columns]
    return columns, [f"{field.name} is text, not {KINDS[field.kind].words}" for field in held]


def _of_json(path: Path, sample_rows: int) -> tuple[set[str], list[str | None]]:
    rows = list(itertools.islice(read_rows(path), sample_rows))
    return {name for row in rows for name in row}, [_wrong_json(field, rows) for field in DUMP_FIELDS]


_FINDERS = {"parquet": _of_parquet, "csv": _of_csv, "json": _of_json}


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
    allowed = (str,) if field.name in _TEXT_ONLY else KINDS[field.kind].json
    found = Counter(type(row[field.name]) for row in rows if _is_given(row.get(field.name)))
    # bool is an int to Python, but a price of true is drift
    odd = {kind: count for kind, count in found.items() if kind not in allowed}
    if sum(odd.values()) * 2 <= found.total():
        return None
    names = ", ".join(sorted(kind.__name__ for kind in odd))
    return f"{field.name} is {names}, not {' or '.join(kind.__name__ for kind in allowed) or 'in JSON at all'}"


def _is_given(cell: Any) -> bool:
    return cell is not None and cell == cell


def _wrong_arrow(field: Field, schema: pa.Schema) -> str | None:
    if field.name not in schema.names:
        return None
    found = schema.field(field.name).type
    plain = found.value_type if pa.types.is_dictionary(found) else found
    if pa.types.is_null(plain) or any(check(plain) for check in _CHECKS[field.kind]):
        return None
    if field.kind == "text" and field.name not in _TEXT_ONLY and _is_number(plain):
        return None  # pandas turns identifiers that look like numbers into numbers
    return f"{field.name} is {found}, not {KINDS[field.kind].words}"


def _is_text(kind: pa.DataType) -> bool:
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(
        texts or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    )  # older writers do not mark binary columns as text


def _is_list_of_text(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists:
        return False
    inner = kind.value_type.value_type if pa.types.is_dictionary(kind.value_type) else kind.value_type
    return _is_text(inner) or pa.types.is_null(inner)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


_CHECKS: dict[Kind, tuple[Callable[[pa.DataType], bool], ...]] = {
    "text": (_is_text,),
    "path": (_is_text, _is_list_of_text),
    "map": (_is_text, pa.types.is_map, pa.types.is_struct),
    "number": (_is_text, _is_number),
    "flag": (_is_text, pa.types.is_boolean, _is_number),
    "time": (_is_text, pa.types.is_timestamp, pa.types.is_date),
    "bytes": (_is_bytes,),
}
