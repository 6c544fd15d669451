"""Read foreign tables row by row in bounded memory, through fsspec; join a second table through a file on disk."""

from __future__ import annotations

import csv
import gzip
import io
import json
import posixpath
import sqlite3
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.catalog._mapping_model import Join, Mapping, TableFiles
from ecclip.catalog._mapping_values import text_of
from ecclip.core import ConfigError, ContractError

SourceRow = dict[str, Any] | None  # None: a row that could not be read
_BATCH = 256
_FIELD_CHARACTERS = 1 << 26
_PHOTO_BYTES = 20_000_000


class Source:
    """A folder or a single file, anywhere that fsspec reaches."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        if not self._fs.exists(root):
            raise ConfigError("there is no such source", value=url)
        self._file = None if self._fs.isdir(root) else root
        self._root = posixpath.dirname(root) if self._file else root.rstrip("/")

    def files(self, table: TableFiles) -> list[str]:
        """Return the files of a table; a source that is one file is the table itself, joined ones lie beside it."""
        if self._file and not isinstance(table, Join):
            return [self._file]
        found = [path for pattern in table.files for path in sorted(self._fs.glob(f"{self._root}/{pattern}"))]
        if not found:
            raise ConfigError("the source has no such file", value=", ".join(table.files), limit=self.url)
        return list(dict.fromkeys(found))

    def rows(self, table: TableFiles, columns: list[str] | None = None) -> Generator[SourceRow, None, None]:
        """Yield the rows of a table, file after file; None for a row that cannot be read.

        Raises:
            ContractError: a file is damaged or cut off.
        """
        readers = {"csv": _csv_rows, "jsonl": _json_rows}
        for path in self.files(table):
            try:
                with ExitStack() as opened:
                    file = opened.enter_context(self._fs.open(path, "rb"))
                    if table.format == "parquet":
                        yield from _parquet_rows(file, columns)
                        continue
                    plain = opened.enter_context(gzip.GzipFile(fileobj=file)) if path.endswith(".gz") else file
                    encoding = "utf-8-sig" if table.encoding.lower() in ("utf-8", "utf8") else table.encoding
                    text = opened.enter_context(io.TextIOWrapper(plain, encoding, errors="replace", newline=""))
                    yield from readers[table.format](text, table)
            except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowInvalid, UnicodeError) as error:
                raise ContractError("a file of the source is damaged", value=path, limit=table.format) from error

    def with_photo(self, mapping: Mapping, listing: dict[str, Any]) -> dict[str, Any]:
        """Return the listing with the bytes of the photo that it names, where the mapping says ``read``.

        A photo that cannot be read leaves its name in ``image_uri``: the landing stage counts it as missing.
        """
        declared, name = mapping.columns.image, listing["image_uri"]
        if declared is None or not declared.read or not name:
            return listing
        try:
            data = self._photo(name, declared.read_from)
        except (OSError, ValueError):
            return listing
        return {**listing, "image": data, "image_uri": None}

    def _photo(self, name: str, allowed: list[str]) -> bytes:
        if any(name.startswith(prefix) for prefix in allowed):
            with fsspec.open(name, "rb") as file:
                return _whole(file)
        path = posixpath.normpath(f"{self._root}/{name}")
        # rows come from strangers: they may name what lies below the source and nothing else
        if "://" in name or name.startswith("/") or not path.startswith(f"{self._root}/"):
            raise ValueError("outside the source")
        if self._is_link_out(path):
            raise ValueError("outside the source")
        with self._fs.open(path, "rb") as file:
            return _whole(file)

    def _is_link_out(self, path: str) -> bool:
        local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))
        return local and not Path(path).resolve().is_relative_to(Path(self._root).resolve())


def _whole(file: IO[bytes]) -> bytes:
    data = file.read(_PHOTO_BYTES + 1)
    if len(data) > _PHOTO_BYTES:
        raise ValueError("too large")
    return data


def _parquet_rows(file: IO[bytes], columns: list[str] | None) -> Iterator[SourceRow]:
    table = pq.ParquetFile(file)
    missing = sorted(set(columns or []) - set(table.schema_arrow.names))
    if missing:
        raise _no_column(missing[0], table.schema_arrow.names)
    for batch in table.iter_batches(_BATCH, columns=columns):
        yield from batch.to_pylist(maps_as_pydicts="lossy")


def _csv_rows(text: IO[str], table: TableFiles) -> Iterator[SourceRow]:
    csv.field_size_limit(_FIELD_CHARACTERS)  # the default refuses descriptions of more than 128 KiB
    reader = csv.reader(text, delimiter=table.delimiter)
    header = next(reader, [])
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        if row:
            yield dict(zip(header, row, strict=True)) if len(row) == len(header) else None


def _json_rows(text: IO[str], _table: TableFiles) -> Iterator[SourceRow]:
    for line in text:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        yield row if isinstance(row, dict) and row else None


def _no_column(column: str, names: list[str]) -> ConfigError:
    return ConfigError("the joined table has no such column", value=column, limit=", ".join(names))


class JoinTable:
    """A table found by key, kept in a file beside the output because photos do not fit into memory."""

    def __init__(self, source: Source, join: Join, path: Path) -> None:
        self.columns, self._left, self._path = join.columns, join.left, path
        self.name = posixpath.basename(join.files[0]).split(".")[0]
        self.repeated = 0
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path)
        try:
            self._fill(source, join)
        except BaseException:
            self.close()
            raise

    def _fill(self, source: Source, join: Join) -> None:
        # the file is thrown away at the end: no journal, no waiting for the disk
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        names = ", ".join(f"c{index}" for index in range(len(self.columns)))
        marks = ", ".join("?" * (len(self.columns) + 1))
        self._database.execute(f"CREATE TABLE joined (key TEXT PRIMARY KEY, {names})")
        with closing(source.rows(join, [join.right, *join.columns])) as rows:
            self._insert(join, (row for row in rows if row is not None), marks)
        self._database.commit()

    def _insert(self, join: Join, rows: Iterator[dict[str, Any]], marks: str) -> None:
        for place, row in enumerate(rows):
            missing = [name for name in (join.right, *join.columns) if name not in row] if place == 0 else []
            if missing:
                raise _no_column(missing[0], sorted(row))
            cells = [cell if isinstance(cell, bytes) else text_of(cell) for cell in (row.get(n) for n in self.columns)]
            added = self._database.execute(
                f"INSERT OR IGNORE INTO joined VALUES ({marks})", (text_of(row.get(join.right)), *cells)
            )
            self.repeated += added.rowcount == 0

    def lookup(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the joined columns of a row, empty when its key is not there."""
        if self._left not in row:
            raise ConfigError("the join names a column that the source does not have", value=self._left)
        key = text_of(row[self._left])
        found = self._database.execute("SELECT * FROM joined WHERE key = ?", (key,)).fetchone()
        return {} if found is None else dict(zip(self.columns, found[1:], strict=True))

    def close(self) -> None:
        """Remove the file."""
        self._database.close()
        self._path.unlink(missing_ok=True)
