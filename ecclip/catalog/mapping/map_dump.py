"""Import of foreign dumps: a mapping.yaml says where each field of the dump contract comes from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError

from ecclip.catalog.dump.contract import mapped_schema
from ecclip.catalog.mapping.listing import listing_of
from ecclip.catalog.mapping.model import Mapping
from ecclip.catalog.mapping.photos import MARKER, Photos
from ecclip.catalog.mapping.prices import Numbers
from ecclip.catalog.mapping.rows import ForeignRows
from ecclip.catalog.mapping.tables import Source
from ecclip.catalog.mapping.tally import Tally
from ecclip.core import (
    ConfigError,
    ContractError,
    Counts,
    canonical_json,
    folder_lock,
    get_logger,
    parse_night,
    recover_folder,
    replace_folder,
    sha256_bytes,
    write_atomic,
)

ROWS_PER_FILE = 5000  # of the mapped dump; by judgment
_CHUNK = 32  # rows whose photos are read at once; bounds the memory
_GROUP_ROWS, _GROUP_BYTES = 250, 64 << 20  # of a row group, which is held in memory whole; by judgment
THREADS = 8  # that read photos, which wait for disk or network most of the time
_SHIPPED = Path(__file__).parent / "shipped"
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
        raise ConfigError(
            "there is no such mapping",
            value=path,
            limit=f"a file, or one of {limit}",
            next_step="give a path, or a name from this list",
        )
    try:
        return Mapping.model_validate(yaml.safe_load(found.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "(top)"
        raise ConfigError(
            f"the mapping is wrong at {where}: {first['msg']}", value=first["input"], next_step=f"edit {found}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError("the mapping is not YAML", value=str(error), next_step=f"edit {found}") from error


def map_dump(
    mapping: Mapping | Path,
    source: str,
    output: Path,
    night: str,
    limit: int | None = None,
    spark_bytes: int | None = None,
) -> Counts:
    """Write ``output`` (the dump folder of one night) in the form of Dump v1 from a foreign dump.

    Every source row becomes one row of ``listings-0000.parquet`` and following, except those that the mapping skips; a
    row that cannot be used becomes one with its reason and raw text, so that ingest quarantines it. Photos
    named by a path are copied to the same path below it. ``_SUCCESS`` is written last, the folder appears at once
    and whole. Memory is bounded by some hundred rows. Rows read = listings + the sum of what was dropped.

    Args:
        mapping: The declaration, its file, or the name of a shipped one.
        source: Folder or file of the foreign dump, as a path or an fsspec URL.
        output: The dump folder to write; an older mapped dump there is replaced, anything else is refused.
        night: ISO date that the marker names.
        limit: Take only this many rows, from the beginning.
        spark_bytes: An export of several files that are at least as large together is mapped by Spark, to the same
            bytes, if its mapping needs no other rows; None: never.

    Raises:
        ConfigError: the mapping is wrong, names a column or a file that the source does not have, or leaves open what a
            number or a currency means.
        ContractError: the source has no rows, a file of it is damaged, or too much of it cannot be used.
    """
    declared = mapping if isinstance(mapping, Mapping) else load_mapping(mapping)
    night = parse_night(night)
    with folder_lock(output):
        recover_folder(output)
        _refuse_other(output)
        temporary = output.with_name(f".{output.name}.tmp-{os.getpid()}")
        temporary.mkdir()
        try:
            counts = _map(declared, Source(source), temporary, limit, spark_bytes)
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
    get_logger().info("foreign dump mapped", night=night, **counts.written, **counts.dropped)
    return counts


def _refuse_other(output: Path) -> None:
    if output.exists() and not (output / MARKER).is_file():
        raise ConfigError(
            "the target holds something that is not a mapped dump",
            value=output,
            next_step="choose another night, or remove the folder",
        )


def _digest(mapping: Mapping) -> str:
    return sha256_bytes(canonical_json(mapping.model_dump(mode="json")).encode())


def _map(mapping: Mapping, source: Source, folder: Path, limit: int | None, spark_bytes: int | None) -> Counts:
    with ExitStack() as opened:
        rows = ForeignRows(mapping, source, folder, opened)
        numbers = Numbers(mapping)
        rows.infer_notation(numbers)
        tally = Tally(mapping, source)
        if limit is None and _is_for_spark(mapping, source, spark_bytes):
            from ecclip.catalog.mapping.with_spark import map_by_spark

            map_by_spark(mapping, numbers, source, folder, rows, tally)
        else:
            photos = Photos(mapping, source.filesystem, source.root, folder)
            listings = (
                tally.listing(row, listing_of(mapping, numbers, row, rows.notes)) for row in islice(rows, limit)
            )
            with ThreadPoolExecutor(THREADS) as pool:
                _write(with_photos(listings, photos, tally, pool), folder)
    if not rows.read:
        raise ContractError(
            "the source has no rows", value=source.url, next_step="check the export, and files in the mapping"
        )
    tally.refuse_shares()
    return Counts(
        read={"rows": rows.read, "photos": tally.named_photos},
        written={"listings": tally.listings, "photos": tally.photos["found"]},
        dropped=dict(sorted({**tally.refused, **rows.left_out}.items())),
        detail={name: count for name, count in sorted({**rows.notes, **tally.photo_detail()}.items()) if count},
    )


def _is_for_spark(mapping: Mapping, source: Source, spark_bytes: int | None) -> bool:
    if spark_bytes is None:
        return False
    from ecclip.catalog.mapping.with_spark import is_for_spark

    return is_for_spark(mapping, source, spark_bytes)


def with_photos(
    listings: Iterator[dict[str, Any]], photos: Photos, tally: Tally, pool: ThreadPoolExecutor
) -> Iterator[dict[str, Any]]:
    """Yield the listings with their photos, in order, and count the outcomes of the photos."""
    while chunk := list(islice(listings, _CHUNK)):
        for listing, outcome in pool.map(photos.bring, chunk):
            tally.photo(listing, outcome)
            yield listing


def _write(listings: Iterator[dict[str, Any]], folder: Path) -> None:
    """Write the listing files."""
    for part in count():
        first = next(listings, None)
        if first is None:
            return
        write_part(folder, part, chain([first], islice(listings, ROWS_PER_FILE - 1)))


def write_part(folder: Path, part: int, listings: Iterator[dict[str, Any]]) -> None:
    """Write one listing file, in row groups of bounded size."""
    path = folder / f"listings-{part:04d}.parquet"
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd", write_page_checksum=True) as writer:
        for group in _groups(listings):
            writer.write_batch(pa.RecordBatch.from_pylist(group, schema=_SCHEMA))


def _groups(listings: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = 0
    for listing in listings:
        group.append(listing)
        size += len(listing["image"] or b"") + len(listing["description"] or "")
        if len(group) >= _GROUP_ROWS or size > _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
