"""Read foreign tables row by row in bounded memory, through fsspec, by the same rules as native listing files."""

from __future__ import annotations

import glob
import gzip
import posixpath
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import IO, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.catalog.dump.record import UNDECODABLE, Row
from ecclip.catalog.dump.rows import (
    Dialect,
    Format,
    detect,
    parquet_records,
    plain_stream,
    propose_encoding,
    read_sample,
    text_records,
)
from ecclip.catalog.mapping.columns import ColumnNames, folded_name
from ecclip.catalog.mapping.listing import SourceRow
from ecclip.catalog.mapping.model import Join, TableFiles
from ecclip.core import ConfigError, ContractError


class Source:
    """A folder or a single file, anywhere that fsspec reaches."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.filesystem, root = fsspec.core.url_to_fs(url)
        if not self.filesystem.exists(root):
            raise ConfigError("there is no such source", value=url, next_step="correct the path or URL")
        self._file = None if self.filesystem.isdir(root) else root
        self.root = posixpath.dirname(root) if self._file else root.rstrip("/")

    def files(self, table: TableFiles) -> list[str]:
        """Return the files of a table; a source that is one file is the table itself, joined tables are next to it."""
        if self._file and not isinstance(table, Join):
            return [self._file]
        root = glob.escape(self.root)  # no glob: the name may contain pattern characters
        found = [path for pattern in table.files for path in sorted(self.filesystem.glob(f"{root}/{pattern}"))]
        if not found:
            raise ConfigError(
                "the source has no such file",
                value=", ".join(table.files),
                limit=self.url,
                next_step="correct files in the mapping, or check whether the export is complete",
            )
        for path in found:
            if self.filesystem.isdir(path):
                raise ConfigError(
                    "the files of the source are a folder", value=path, next_step="name the files: folder/*.csv"
                )
        return list(dict.fromkeys(found))

    def rows(self, table: TableFiles, names: ColumnNames, columns: set[str] | None = None) -> Iterator[SourceRow]:
        """Yield the rows of a table, file after file, with the columns named as the mapping names them.

        Args:
            table: Which files, and how they are written.
            names: The names of the mapping.
            columns: Only these columns, where reading fewer is cheaper (Parquet).

        Raises:
            ContractError: a file is damaged or cut off, or two of its columns have one name.
        """
        for path in self.files(table):
            short = path.removeprefix(self.root).lstrip("/")
            try:
                for row in self._records(path, table, columns):
                    named = row if row.cells is None else row._replace(cells=names.apply(row.cells))
                    yield SourceRow(named, short)
            except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowInvalid) as error:
                raise ContractError(
                    "a file of the source is damaged",
                    value=short,
                    limit=table.format,
                    next_step="export it again, or correct the format in the mapping",
                ) from error
            except ContractError as error:
                if short in str(error):
                    raise
                raise ContractError(
                    f"{short}: {error.what}", value=error.value, limit=error.limit, next_step=error.next_step
                ) from error

    def proposed_encoding(self, file: str) -> str | None:
        """Return the encoding that a file which is not UTF-8 most likely has."""
        return propose_encoding(self._sample(f"{self.root}/{file}"))

    def _records(self, path: str, table: TableFiles, columns: set[str] | None) -> Generator[Row, None, None]:
        if table.format == "parquet":
            with self.filesystem.open(path, "rb") as file:
                names = None if columns is None or table.aliases else _among(file, columns)
                yield from parquet_records(file, names)
            return
        kind = cast(Format, "csv" if table.format == "csv" else "json")
        requested = Dialect(table.encoding, table.delimiter, table.quote, table.escape, rows=table.rows)
        dialect = detect(self._sample(path), kind, requested)
        with ExitStack() as opened:
            stream = opened.enter_context(self.filesystem.open(path, "rb"))
            yield from text_records(plain_stream(stream, path, opened), kind, dialect)

    def _sample(self, path: str) -> bytes:
        with ExitStack() as opened:
            stream = opened.enter_context(self.filesystem.open(path, "rb"))
            return read_sample(plain_stream(stream, path, opened))


def _among(stream: IO[bytes], wanted: set[str]) -> list[str]:
    """Return the columns of a Parquet file that are wanted, in any case, objects whole."""
    folded = {part for name in wanted for part in (folded_name(name), folded_name(name.split(".")[0]))}
    return [name for name in pq.ParquetFile(stream).schema_arrow.names if folded_name(name) in folded]


def setting_for(problem: str) -> str:
    """Return which setting of a mapping fixes rows that are refused for ``problem``."""
    if problem == "bad_age_restricted":
        return "age_restricted"
    return _SETTINGS.get(problem, problem.replace("bad_", "columns.") if problem.startswith("bad_") else "")


def column_missing(what: str, column: str, names: list[str], next_step: str) -> ConfigError:
    """Return the error of a column that a table does not have."""
    return ConfigError(what, value=column, limit=", ".join(names), next_step=next_step)


_SETTINGS = {
    UNDECODABLE: "source.encoding",
    "malformed_record": "source.format, source.quote, source.escape",
    "too_many_cells": "source.delimiter, source.quote, source.escape",
    "too_few_cells": "source.delimiter, source.quote, source.escape",
    "bad_price": "columns.price: number",
}
