"""The listing files of a dump without Spark: which they are, how each is written, and their rows."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.atomic import canonical_json
from ecclip.catalog.dump.contract import DUMP_FIELDS, PROBLEM_COLUMNS
from ecclip.catalog.dump.rows import (
    Dialect,
    Format,
    ResolvedDialect,
    Row,
    column_names,
    detect,
    parquet_records,
    plain_stream,
    read_sample,
    text_records,
)
from ecclip.core import ContractError

FORMATS: dict[str, Format] = {
    ".jsonl": "json",
    ".jsonl.gz": "json",
    ".json": "json",
    ".json.gz": "json",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    ".tsv.gz": "csv",
    ".parquet": "parquet",
}
DIALECTS = "dialects.json"
_COLUMNS = frozenset({field.name for field in DUMP_FIELDS} | {*PROBLEM_COLUMNS})
_LISTINGS = "listings"
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".avif", ".heic", ".tif", ".tiff")
# companions of listing files that hold no rows: checksums, signatures, photos
_BESIDE = (".md5", ".md5sum", ".sha1", ".sha256", ".sha256sum", ".sha512", ".crc", ".crc32", ".asc", ".sig")


def listing_files(folder: Path) -> list[Path]:
    """Return the files of a dump that hold listings (``listings*``), by name.

    Raises:
        ContractError: there are none; one has an unsupported format, is a link that leads out of the folder, or no
            regular file.
    """
    named = sorted(path for path in folder.glob("*") if says_listings(path.name))
    files = [path for path in named if _is_readable(path)]
    if not files:
        raise ContractError(
            "the dump has no listing files",
            value=folder,
            limit=_readable(),
            next_step="put listings.csv, .tsv, .jsonl, .json or .parquet into the folder; see docs/dump.md",
        )
    for path in files:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ContractError(
                "a listing file is a link out of the dump", value=path, next_step="put the file itself into the dump"
            )
        if not path.is_file():
            raise ContractError(
                "a listing file is not a regular file", value=path, next_step="put the file itself into the dump"
            )
    return files


def says_listings(name: str) -> bool:
    """Return whether the name of a file or folder of a dump says that it holds listings, read or not."""
    return name.lower().startswith(_LISTINGS) and not name.lower().endswith(_BESIDE + PHOTO_SUFFIXES)


def _is_readable(path: Path) -> bool:
    """Return False for a folder without listings; one that holds an unknown format must not be skipped silently."""
    kind = format_of(path)
    if path.is_dir() and not kind and not any(format_of(inner) for inner in path.iterdir()):
        return False
    if path.is_dir() or kind is None or not path.name.startswith(_LISTINGS):
        what = "folder" if path.is_dir() else "file"
        raise ContractError(
            f"a listing {what} has an unsupported format",
            value=path,
            limit=_readable(),
            next_step=f"have the shop write files of these forms; a {what} without listings needs another name",
        )
    return True


def _readable() -> str:
    return f"{_LISTINGS}*" + f", {_LISTINGS}*".join(FORMATS)


def format_of(path: Path) -> Format | None:
    """Return json, csv or parquet by the file's suffix, None for anything else."""
    for suffix, name in FORMATS.items():
        if path.name.endswith(suffix):
            return name
    return None


def write_dialects(folder: Path, declared: Dialect) -> dict[str, ResolvedDialect]:
    """Detect the dialect of each listing file of a folder and write it next to them, for every reader to use."""
    found = {}
    for path in listing_files(folder):
        kind = format_of(path)
        if kind in ("csv", "json"):
            found[path.name] = _detect(path, kind, declared)
    (folder / DIALECTS).write_text(canonical_json({name: known._asdict() for name, known in found.items()}))
    return found


def dialect_of(path: Path) -> ResolvedDialect:
    """Return how a text file is written: as ``write_dialects`` found it, else by its beginning."""
    kept = path.with_name(DIALECTS)
    if kept.is_file():
        known = json.loads(kept.read_text()).get(path.name)
        if known is not None:
            return ResolvedDialect(**known)
    return _detect(path, format_of(path) or "json", Dialect())


def sample_of(path: Path) -> bytes:
    """Return the beginning of a file, unpacked."""
    with ExitStack() as opened:
        return read_sample(plain_stream(opened.enter_context(path.open("rb")), path.name, opened))


def listing_rows(
    path: Path,
    columns: list[str] | None = None,
    *,
    start: int = 0,
    end: int | None = None,
    header: list[str] | None = None,
    row_groups: list[int] | None = None,
) -> Iterator[Row]:
    """Yield the rows of a listing file, or of a part of it (see ``text_records`` and ``parquet_records``).

    ``columns`` saves reading the others in Parquet; text gives every column.

    Raises:
        ContractError: two columns have one name; the message names the file.
    """
    kind = format_of(path)
    with ExitStack() as opened:
        opened.enter_context(_named(path))
        if kind == "parquet":
            yield from parquet_records(str(path), columns, row_groups)
            return
        stream = plain_stream(opened.enter_context(path.open("rb")), path.name, opened)
        dialect = dialect_of(path)
        yield from text_records(stream, kind or "json", dialect, start=start, end=end, header=header, asked=_COLUMNS)


def read_rows(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the cells of the rows of a listing file that can be read, in bounded memory."""
    for row in listing_rows(path, columns):
        if row.cells is not None:
            yield row.cells


def verify_readable(path: Path) -> None:
    """Read a compressed or Parquet file to its end; ContractError names a file that is cut off or damaged."""
    try:
        if path.name.endswith(".gz"):
            with gzip.open(path) as file:
                while file.read(1 << 20):
                    pass
        elif format_of(path) == "parquet":
            for _ in pq.ParquetFile(path, page_checksum_verification=True).iter_batches(256):
                pass
    except (OSError, EOFError, ValueError, zlib.error, pa.ArrowException) as error:
        raise ContractError(
            "a listing file is damaged or cut off", value=path, next_step="have the shop write the dump again"
        ) from error


def csv_header(path: Path) -> list[str]:
    """Return the column names of a CSV file, before the first row of it."""
    with ExitStack() as opened:
        opened.enter_context(_named(path))
        stream = plain_stream(opened.enter_context(path.open("rb")), path.name, opened)
        return column_names(stream, dialect_of(path))


def _detect(path: Path, kind: Format, declared: Dialect) -> ResolvedDialect:
    requested = declared._replace(delimiter="\t") if ".tsv" in path.name and declared.delimiter is None else declared
    with _named(path):
        return detect(sample_of(path), kind, requested)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except ContractError as error:
        raise ContractError(
            f"{path.name}: {error.what}", value=error.value, limit=error.limit, next_step=error.next_step
        ) from error
