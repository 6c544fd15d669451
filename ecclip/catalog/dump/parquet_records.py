"""Records of a Parquet file in bounded memory: one value per cell, whatever type pandas or Spark gave its column."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecclip.catalog.dump.csv_records import refuse_repeated
from ecclip.catalog.dump.record import MALFORMED, MAX_NESTING, TOO_DEEP, UNDECODABLE, Row, json_text, refused

_ROWS = 256  # read at once; by judgment
_ROWS_OF_BYTES = 16  # these hold photos; by judgment
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def parquet_records(
    source: str | IO[bytes], columns: list[str] | None = None, row_groups: list[int] | None = None
) -> Iterator[Row]:
    """Yield the rows of a file, or of some of its row groups; ``columns`` that it does not have are left out.

    Timestamps are datetimes in UTC (one without a zone is taken for UTC) to the microsecond, dates are dates, moments
    outside the years 1 to 9999 are their distance from 1970 as text; dictionaries are their values.

    Raises:
        ContractError: two columns have one name.
    """
    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow
        refuse_repeated(schema.names)
        wanted = [name for name in schema.names if columns is None or name in columns]
        heavy = any(_is_bytes(schema.field(name).type) for name in wanted)
        groups = list(range(file.num_row_groups)) if row_groups is None else row_groups
        line = sum(file.metadata.row_group(before).num_rows for before in range(min(groups, default=0)))
        rows = _ROWS_OF_BYTES if heavy else _ROWS
        for batch in file.iter_batches(rows, row_groups=groups, columns=wanted):
            for cells in _rows(batch):
                line += 1
                yield _checked(cells, line)


class _Unreadable(str):
    """Stands for a cell that cannot be read: what to show of it, and the reason."""

    problem = MALFORMED


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    if not batch.num_columns:
        yield from ({} for _ in range(batch.num_rows))
        return
    names = batch.schema.names
    for cells in zip(*[_values(column) for column in batch.columns], strict=True):
        yield dict(zip(names, cells, strict=True))


def _checked(cells: dict[str, Any], line: int) -> Row:
    for name, cell in cells.items():
        if isinstance(cell, _Unreadable):
            plain = {key: value for key, value in cells.items() if not isinstance(value, bytes)}
            return refused(cell.problem, json_text(plain), line, f"{name}: {cell}")
        if isinstance(cell, list | dict) and is_deep(cell):
            return refused(TOO_DEEP, str(line), line, f"{name} is nested more than {MAX_NESTING} levels")
    return Row(cells, None, "", line)


def is_deep(value: list[Any] | dict[str, Any]) -> bool:
    """Return whether lists and objects are nested more than ``MAX_NESTING`` levels, without recursion."""
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _values(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return [_moment(value, _PER_SECOND[kind.unit]) for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_date32(kind):
        return [_day(value) for value in column.cast(pa.int32()).to_pylist()]
    if pa.types.is_date64(kind):
        return [_moment(value, 1_000) for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _texts(column)
    try:
        return list(column.to_pylist(maps_as_pydicts="strict"))
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        return [_one(partial(cell.as_py, maps_as_pydicts="strict")) for cell in column]


def _texts(column: pa.Array) -> list[Any]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        raw = pc.cast(column, pa.large_binary()).to_pylist()
        return [data if data is None else _one(data.decode) for data in raw]


def _one(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (ValueError, OverflowError, KeyError, pa.ArrowException) as error:
        lost = _Unreadable(str(error)[:200])
        lost.problem = UNDECODABLE if isinstance(error, UnicodeDecodeError) else MALFORMED
        return lost


def _moment(value: int | None, per_second: int) -> dt.datetime | str | None:
    if value is None:
        return None
    try:
        return _EPOCH + dt.timedelta(microseconds=value * 1_000_000 // per_second)
    except OverflowError:
        return f"{value // per_second} s from 1970"


def _day(value: int | None) -> dt.date | str | None:
    if value is None:
        return None
    try:
        return _EPOCH.date() + dt.timedelta(days=value)
    except OverflowError:
        return f"{value} days from 1970"


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
