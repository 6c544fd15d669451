"""The rows of a listing file or of any foreign table: one model for CSV, tab-separated text, JSON and Parquet.

Every reader of the catalog goes through here (native dumps, mappings, photos' addresses), so that no two of them see
different rows in one file. A row that cannot be read is still a row: it has a reason, its raw text and its line number.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Set
from contextlib import ExitStack
from typing import IO, cast

from ecclip.catalog.dump.csv_records import csv_names, csv_records
from ecclip.catalog.dump.dialect import Dialect, Format, ResolvedDialect, detect, propose_encoding, read_sample
from ecclip.catalog.dump.json_document import document_records
from ecclip.catalog.dump.json_records import array_records, json_records
from ecclip.catalog.dump.lines import is_wide, text_lines
from ecclip.catalog.dump.parquet_records import parquet_records
from ecclip.catalog.dump.record import Row

__all__ = [
    "Dialect",
    "Format",
    "ResolvedDialect",
    "Row",
    "can_be_split",
    "column_names",
    "detect",
    "parquet_records",
    "plain_stream",
    "propose_encoding",
    "read_sample",
    "text_records",
]


def plain_stream(stream: IO[bytes], name: str, opened: ExitStack) -> IO[bytes]:
    """Return the stream of a file's content: unpacked where its name ends in .gz."""
    if not name.lower().endswith(".gz"):
        return stream
    return cast(IO[bytes], opened.enter_context(gzip.GzipFile(fileobj=stream)))


def text_records(
    stream: IO[bytes],
    kind: Format,
    dialect: ResolvedDialect,
    *,
    start: int = 0,
    end: int | None = None,
    header: list[str] | None = None,
    asked: Set[str] | None = None,
) -> Iterator[Row]:
    """Yield the rows of a text file, or those whose line begins in the bytes ``start`` to ``end`` of it.

    Args:
        stream: the plain bytes (see ``plain_stream``), at their beginning; seekable where ``start`` is not 0.
        kind: csv or json.
        dialect: how it is written (see ``detect``).
        start, end: only where ``can_be_split``.
        header: names of the columns of CSV; None: the first record.
        asked: the columns that matter: what cannot be written in another one of JSON costs no row; None: all.

    Raises:
        ContractError: two columns have one name.
        EOFError, gzip.BadGzipFile, zlib.error: the file is damaged or cut off.
    """
    if kind == "json" and dialect.rows:
        return document_records(stream, dialect.encoding, dialect.rows, asked)
    if kind == "json" and dialect.array:
        return array_records(stream, dialect.encoding, asked)
    lines = text_lines(stream, dialect.encoding, start=start, end=end)
    if kind == "json":
        return json_records(lines, asked)
    return csv_records(
        lines, dialect.delimiter, dialect.quote, dialect.escape, header=header, trust_quotes=dialect.trust_quotes
    )


def column_names(stream: IO[bytes], dialect: ResolvedDialect) -> list[str]:
    """Return the names of the columns of CSV, its first record.

    Raises:
        ContractError: two columns have one name, or the record cannot be read.
    """
    lines = text_lines(stream, dialect.encoding)
    return csv_names(lines, dialect.delimiter, dialect.quote, dialect.escape)


def can_be_split(kind: Format, dialect: ResolvedDialect) -> bool:
    """Return whether a line's end always ends a record, so that a file may be read in ranges of bytes."""
    return not is_wide(dialect.encoding) and not dialect.array and (kind == "json" or not dialect.quote)
