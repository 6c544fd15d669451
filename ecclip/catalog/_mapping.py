"""Import of foreign dumps: a mapping.yaml says where each field of the dump contract comes from."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError

from ecclip.catalog._contract import mapped_schema
from ecclip.catalog._mapping_model import Mapping
from ecclip.catalog._mapping_read import JoinTable, Source, SourceRow
from ecclip.catalog._mapping_values import listing_of, unknown_columns
from ecclip.core import (
    ConfigError,
    ContractError,
    Counts,
    canonical_json,
    folder_lock,
    get_logger,
    parse_night,
    replace_folder,
    settle_folder,
    sha256_bytes,
    write_atomic,
)

MARKER = "mapped.json"
ROWS_A_FILE = 5000
_CHUNK = 250  # rows with their photos that are in memory at once
_THREADS = 8
_SHIPPED = Path(__file__).parent / "mappings"
_SCHEMA = mapped_schema()


def shipped_mappings() -> dict[str, Path]:
    """Return the mappings that come with ecclip, by name."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.yaml"))}


def load_mapping(path: Path) -> Mapping:
    """Return the mapping of a file, or the shipped one of that name.

    Raises:
        ConfigError: there is no such file, or a field in it is wrong; the message names the field.
    """
    found = path if path.is_file() else shipped_mappings().get(str(path), path)
    if not found.is_file():
        limit = ", ".join(shipped_mappings())
        raise ConfigError("there is no such mapping", value=path, limit=f"a file, or one of {limit}")
    try:
        return Mapping.model_validate(yaml.safe_load(found.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "(top)"
        raise ConfigError(
            f"the mapping is wrong at {where}: {first['msg']}", value=first["input"], next_step=f"edit {found}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError("the mapping is not YAML", value=str(error), next_step=f"edit {found}") from error


def map_dump(mapping: Mapping | Path, source: str, output: Path, night: str, limit: int | None = None) -> Counts:
    """Write ``output`` (the dump folder of one night) in the form of Dump v1 from a foreign dump.

    Every source row becomes one row of ``listings-0000.parquet`` and following; a row that cannot be read becomes one
    without listing_id, so that ingest quarantines and counts it. ``_SUCCESS`` is written last, the folder appears
    at once and whole. Memory is bounded by some hundred rows with their photos.

    Args:
        mapping: The declaration, its file, or the name of a shipped one.
        source: Folder or file of the foreign dump, as a path or an fsspec URL.
        output: The dump folder to write; an older mapped dump there is replaced, anything else is refused.
        night: ISO date; ``updated_at`` of rows that have none.
        limit: Take only this many rows, from the beginning.

    Raises:
        ConfigError: the mapping is wrong or names a column or a file that the source does not have.
        ContractError: the source has no rows, or a file of it is damaged.
    """
    declared = mapping if isinstance(mapping, Mapping) else load_mapping(mapping)
    night = parse_night(night)
    with folder_lock(output):
        settle_folder(output)
        _refuse_other(output)
        temporary = output.with_name(f".{output.name}.tmp-{os.getpid()}")
        temporary.mkdir()
        try:
            counts = _map(declared, Source(source), temporary, night, limit)
            marker = {
                "schema": "ecclip.mapped/1",
                "night": night,
                "mapping": _digest(declared),
                "rows": counts.read["rows"],
            }
            write_atomic(temporary / MARKER, canonical_json(marker))
            write_atomic(temporary / "_SUCCESS", "")
            replace_folder(temporary, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    get_logger().info("foreign dump mapped", night=night, **counts.written)
    return counts


def _refuse_other(output: Path) -> None:
    if output.exists() and not (output / MARKER).is_file():
        raise ConfigError(
            "something that is not a mapped dump lies where it would be written",
            value=output,
            next_step="choose another night, or remove the folder",
        )


def _digest(mapping: Mapping) -> str:
    return sha256_bytes(canonical_json(mapping.model_dump(mode="json")).encode())


def _map(mapping: Mapping, source: Source, folder: Path, night: str, limit: int | None) -> Counts:
    notes: Counter[str] = Counter()
    with ExitStack() as opened:
        joins = [
            opened.enter_context(closing(JoinTable(source, join, folder / f".join-{number}")))
            for number, join in enumerate(mapping.join)
        ]
        rows = opened.enter_context(closing(source.rows(mapping.source)))
        written = _write(mapping, source, islice(_joined(rows, joins, notes), limit), folder, night, notes)
    if not written:
        raise ContractError("the source has no rows", value=source.url)
    notes.update({"duplicate_join_keys": sum(join.repeated for join in joins)})
    return Counts(
        read={"rows": written},
        written={"listings": written, "photos": notes.pop("photos", 0)},
        detail={name: count for name, count in sorted(notes.items()) if count},
    )


def _joined(rows: Iterable[SourceRow], joins: list[JoinTable], notes: Counter[str]) -> Iterator[SourceRow]:
    for row in rows:
        if row is not None:
            for join in joins:
                found = join.lookup(row)
                notes[f"without_{join.name}"] += not found
                row = {**row, **dict.fromkeys(join.columns), **found}
        yield row


def _write(
    mapping: Mapping, source: Source, rows: Iterator[SourceRow], folder: Path, night: str, notes: Counter[str]
) -> int:
    """Write the listing files chunk by chunk; return the number of rows."""
    written = part = 0
    writer: pq.ParquetWriter | None = None
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            while chunk := list(islice(rows, _CHUNK)):
                if not written:
                    _refuse_unknown(mapping, chunk)
                listings = [listing_of(mapping, row, night, notes) for row in chunk]
                listings = list(pool.map(lambda listing: source.with_photo(mapping, listing), listings))
                notes["photos"] += sum(listing["image"] is not None for listing in listings)
                if writer is None or written // ROWS_A_FILE != part:
                    part = written // ROWS_A_FILE
                    writer = _next_writer(writer, folder / f"listings-{part:04d}.parquet")
                writer.write_batch(pa.RecordBatch.from_pylist(listings, schema=_SCHEMA))
                written += len(listings)
    finally:
        if writer is not None:
            writer.close()
    return written


def _next_writer(writer: pq.ParquetWriter | None, path: Path) -> pq.ParquetWriter:
    if writer is not None:
        writer.close()
    return pq.ParquetWriter(path, _SCHEMA, compression="zstd", write_page_checksum=True)


def _refuse_unknown(mapping: Mapping, chunk: list[SourceRow]) -> None:
    """Say which field asks for a column that no row of the first chunk has."""
    names = {name for row in chunk if row is not None for name in row}
    missing = unknown_columns(mapping, names) if names else {}
    if missing:
        field, column = next(iter(missing.items()))
        raise ConfigError(
            f"the mapping of {field} names a column that the source does not have",
            value=column,
            limit=", ".join(sorted(names)),
            next_step=f"correct {field} in the mapping",
        )
